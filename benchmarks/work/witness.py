"""Writers and readers of the same rows, who know what was committed when."""

from __future__ import annotations

import mmap
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.work.base import Bench, Work
from benchmarks.work.queries import SETTLING_SECONDS

ROWS = 8
MOST_WRITERS = 8
#: What was committed of each row, the newest that any reader has seen of it, and who is done.
BYTES = (2 * ROWS + MOST_WRITERS) * 8
#: How long readers wait for a writer that has died.
PATIENCE_SECONDS = 120.0


class Witness(Work):
    """Part of a group of processes that share a board of numbers.

    Each row is written by one process only, always with the next number. The number is put on the
    board when the database has executed the statement (in autocommit: committed it), before the
    cache hears of it.

    Args:
        bench: whose.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._committing: tuple[int, int] | None = None
        self._board = Path()

    def join(self, board: str) -> dict[str, Any]:
        """Take part.

        Args:
            board: the file of the board, `BYTES` long.
        """
        from django.db import connection

        self._board = Path(board)
        connection.execute_wrappers.append(self._published)
        return {}

    def settle(self) -> dict[str, Any]:
        """Read until reads are served: a store that has just been started waits for a lease."""
        from benchmarks.shop.models import Parcel

        deadline = time.monotonic() + SETTLING_SECONDS
        while self.contender.serves and time.monotonic() < deadline:
            self.bench.reached = 0
            Parcel.objects.get(pk=1)
            if not self.bench.reached:
                break
            time.sleep(0.01)
        return {}

    def write(self, writer: int, rows: list[int], seconds: float, pause: float) -> dict[str, Any]:
        """Write rows in turn for so long, each once at least; return how many writes.

        Args:
            writer: the number of this one.
            rows: which.
            seconds: how long.
            pause: after each write, in seconds.
        """
        from benchmarks.shop.models import Parcel

        committed, _, finished = self._numbers
        deadline = time.monotonic() + seconds
        done = 0
        while done < len(rows) or time.monotonic() < deadline:
            row = rows[done % len(rows)]
            number = committed[row] + 1
            self._committing = row, number
            Parcel(pk=row + 1, code="witnessed", weight=number).save(force_update=True)
            self._committing = None
            done += 1
            time.sleep(pause)
        finished[writer] = 1
        return {"done": done}

    def read(self, writers: int) -> dict[str, Any]:
        """Read rows in turn until all writers are done, and each once more.

        Args:
            writers: how many there are.

        Returns:
            Reads, how many were stale, how many went back, and how many reached the database.
        """
        _, _, finished = self._numbers
        deadline = time.monotonic() + PATIENCE_SECONDS
        total = [0, 0, 0, 0]
        last = False
        while not last and time.monotonic() < deadline:
            last = all(finished[writer] for writer in range(writers))
            for row in range(ROWS):
                total = [sum(pair) for pair in zip(total, self._read(row), strict=True)]
        return dict(zip(("reads", "stale", "back", "reached"), total, strict=True))

    def _read(self, row: int) -> tuple[int, bool, bool, bool]:
        from benchmarks.shop.models import Parcel

        committed, seen, _ = self._numbers
        must, had = committed[row], seen[row]
        self.bench.reached = 0
        found = Parcel.objects.get(pk=row + 1).weight
        # Another reader may put an older number there at this moment, which hides one that goes
        # back and never makes one up.
        seen[row] = max(seen[row], found)
        return 1, found < must, found < had, self.bench.reached > 0

    @cached_property
    def _numbers(self) -> tuple[Any, Any, Any]:
        with self._board.open("r+b") as file:
            whole = memoryview(mmap.mmap(file.fileno(), BYTES)).cast("Q")
        return whole[:ROWS], whole[ROWS : 2 * ROWS], whole[2 * ROWS :]

    def _published(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if self._committing is not None and sql.startswith("UPDATE"):
            row, number = self._committing
            self._numbers[0][row] = number
        return result

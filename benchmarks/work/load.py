"""Traffic from many threads at once."""

from __future__ import annotations

import threading
import time
from typing import Any

from benchmarks.work.base import Bench, Work

START_SECONDS = 60.0


class Load(Work):
    """Threads with a connection and a traffic of their own each."""

    def go(self, threads: int, seconds: float, writes: int, seed: int) -> dict[str, Any]:
        """Let threads run for so long; return how many operations they did a second.

        Args:
            threads: how many.
            seconds: how long.
            writes: in 100 operations.
            seed: of the traffic; each thread has another.
        """
        ready = threading.Barrier(threads)
        crew = [
            _Thread(self.bench, ready, seconds, writes, seed * 100 + number)
            for number in range(threads)
        ]
        for one in crew:
            one.start()
        for one in crew:
            one.join()
        for one in crew:
            if one.error is not None:
                raise one.error
        return {
            "per_second": sum(one.done / one.spent for one in crew),
            "reads": sum(one.reads for one in crew),
            "reached": sum(one.reached for one in crew),
        }


class _Thread(threading.Thread):
    def __init__(
        self, bench: Bench, ready: threading.Barrier, seconds: float, writes: int, seed: int
    ) -> None:
        super().__init__(daemon=True)
        # Counts what this thread's connection is given.
        self._own = Bench(bench.contender, bench.store)
        self._ready = ready
        self._seconds = seconds
        self._writes = writes
        self._seed = seed
        self.done = self.reads = self.reached = 0
        self.spent = seconds
        self.error: Exception | None = None

    def run(self) -> None:
        from django.db import connection

        try:
            connection.ensure_connection()
            self._own.watch()
            self._ready.wait(START_SECONDS)
            self._go()
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits for this one
            self._ready.abort()
            self.error = error
        finally:
            connection.close()

    def _go(self) -> None:
        from benchmarks.traffic import Traffic

        traffic = Traffic(self._seed)
        own = self._own
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < self._seconds:
            is_read, act = traffic.next(self._writes)
            own.reached = 0
            act()
            self.done += 1
            if is_read:
                self.reads += 1
                self.reached += own.reached
        self.spent = spent

"""What the processes of a run know of each other: who they are, and what all of them do now."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

#: What the board's first byte tells all workers: to work, to read only, to compare.
GO, READ_ONLY, QUIET = 0, 1, 2
_BOARD_BYTES = 8192
_PROGRESS, _DONE = 8, 512


@dataclass(frozen=True, slots=True)
class Spec:
    """What a worker is.

    Args:
        name: unique in its run, since its files are named after it.
        role: "reader" or "writer".
        number: of the registers that a writer writes; of a reader, any.
        generation: how many have had this role and number before it.
        store: URL of the store as it sees it; empty: as the crew does.
        isolation: level of its transactions; empty: Django's usual one.
        step: of the store at which a fault meets it (see `mishaps`); empty: none.
        mishap: what then happens to it.
        lives: operations until the mishap is armed.
        mutant: mechanism of querycache that it goes without; empty: none.
        between: reads of all workers between two writes of a writer, on average.
        lag: seconds that a read may be stale.
        patience: seconds that it waits, at the end, for hits to come.
    """

    name: str
    role: str
    number: int
    generation: int = 0
    store: str = ""
    isolation: str = ""
    step: str = ""
    mishap: str = ""
    lives: int = 0
    mutant: str = ""
    between: float = 20.0
    lag: float = 0.0
    patience: float = 10.0


class Board:
    """A page of memory that a run's processes share.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "board"
        with path.open("ab+") as file:
            file.truncate(_BOARD_BYTES)
            self._memory = mmap.mmap(file.fileno(), _BOARD_BYTES)
        self._view = memoryview(self._memory).cast("Q")

    @property
    def state(self) -> int:
        """`GO`, `READ_ONLY` or `QUIET`."""
        return self._memory[0]

    @state.setter
    def state(self, state: int) -> None:
        self._memory[0] = state

    def advance(self, place: int) -> None:
        """Count a read of the worker at a place."""
        self._view[_PROGRESS + place] += 1

    def reads(self) -> int:
        """Return how many reads were counted."""
        return sum(self._view[_PROGRESS:_DONE])

    def leave(self, place: int) -> None:
        """Note that the worker at a place does no more."""
        self._view[_DONE + place] = 1

    def has_left(self, place: int) -> bool:
        """Tell whether the worker at a place does no more."""
        return bool(self._view[_DONE + place])

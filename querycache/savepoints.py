"""The savepoints of an open transaction, and what it had written at each."""

from __future__ import annotations

from typing import NamedTuple


class Savepoint(NamedTuple):
    """What a rollback to it leaves written.

    Args:
        name: its own; several may have it, and the latest is meant.
        written: see `Transaction.written`.
        changes: see `Transaction.changes`.
    """

    name: str
    written: dict[str, int]
    changes: frozenset[str]


class Savepoints:
    """Those that are there, in their order."""

    __slots__ = ("_there",)

    def __init__(self) -> None:
        self._there: list[Savepoint] = []

    def made(self, name: str, written: dict[str, int], changes: frozenset[str]) -> None:
        """Note one that was made; see `Savepoint`."""
        self._there.append(Savepoint(name, dict(written), changes))

    def back_to(self, name: str) -> Savepoint | None:
        """Return the latest of a name, which stays, and forget those after it; None: not seen."""
        index = self._index(name)
        if index is None:
            return None
        del self._there[index + 1 :]
        found = self._there[index]
        return found._replace(written=dict(found.written))

    def released(self, name: str) -> None:
        """Forget the latest of a name, and those after it."""
        index = self._index(name)
        if index is not None:
            del self._there[index:]

    def clear(self) -> None:
        """Forget all: the transaction is over."""
        self._there.clear()

    def _index(self, name: str) -> int | None:
        for index in range(len(self._there) - 1, -1, -1):
            if self._there[index].name == name:
                return index
        return None

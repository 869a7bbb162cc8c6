"""A dict that is bounded in bytes: what is asked for stays, what is not goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Generations(Generic[T]):
    """Items in two generations; safe between threads.

    Items are written into the young one, which becomes the old one when it has taken half the room;
    what was in the old one and never asked for is dropped. So a look at a young item costs one dict
    lookup, takes no lock and keeps no order.

    Args:
        size: what all items may cost together.
    """

    __slots__ = ("_lock", "_old", "_old_cost", "_young", "_young_cost", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.empty()

    def empty(self) -> None:
        """Begin anew, with a lock that no thread of a forked process's parent holds."""
        self._lock = threading.Lock()
        self._young: dict[bytes, tuple[T, int]] = {}
        self._old: dict[bytes, tuple[T, int]] = {}
        self._young_cost = 0
        self._old_cost = 0

    def get(self, key: bytes) -> T | None:
        """Return an item; None when it is not there."""
        found = self._young.get(key)
        if found is None:
            found = self._promote(key)
            if found is None:
                return None
        return found[0]

    def put(self, key: bytes, item: T, cost: int) -> None:
        """Keep an item in place of what has its key; one that costs half the room is not kept."""
        with self._lock:
            self._drop(key)
            self._put(key, (item, cost))

    def drop(self, key: bytes) -> None:
        """Drop an item if it is there."""
        with self._lock:
            self._drop(key)

    def drop_all(self, start: bytes) -> None:
        """Drop every item whose key begins with `start`."""
        with self._lock:
            for key in [*self._young, *self._old]:
                if key.startswith(start):
                    self._drop(key)

    @property
    def cost(self) -> int:
        """What all items cost together."""
        return self._young_cost + self._old_cost

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            return iter([*self._young, *self._old])

    def _promote(self, key: bytes) -> tuple[T, int] | None:
        if key not in self._old:
            # The generations may change places meanwhile: then it is at worst not found.
            return self._young.get(key)
        with self._lock:
            found = self._old.pop(key, None)
            if found is None:
                return self._young.get(key)
            self._old_cost -= found[1]
            self._put(key, found)
            return found

    def _put(self, key: bytes, found: tuple[T, int]) -> None:
        cost, half = found[1], self.size // 2
        if cost > half:
            return
        if self._young_cost + cost > half:
            self._old, self._old_cost = self._young, self._young_cost
            self._young, self._young_cost = {}, 0
        self._young[key] = found
        self._young_cost += cost

    def _drop(self, key: bytes) -> None:
        if (found := self._young.pop(key, None)) is not None:
            self._young_cost -= found[1]
        if (found := self._old.pop(key, None)) is not None:
            self._old_cost -= found[1]

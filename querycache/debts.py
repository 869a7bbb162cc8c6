"""Writes that the store has to be told of as soon as it answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping


class Debts:
    """Stamps that must change before this process serves from the cache again.

    Its methods are called with `lock` held, but for reading `owed`.
    """

    __slots__ = ("lock", "owed")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Stamp → a mark of the write; replaced, never changed.
        self.owed: Mapping[bytes, object] = {}

    def add(self, keys: Iterable[bytes]) -> None:
        """Owe these stamps a change, for a write that is not any earlier one."""
        self.owed = {**self.owed, **dict.fromkeys(keys, object())}

    def pay(self, paid: Mapping[bytes, object]) -> bool:
        """Strike out what was paid, and tell whether nothing has been added meanwhile."""
        self.owed = {key: mark for key, mark in self.owed.items() if paid.get(key) is not mark}
        return not self.owed

    def after_fork(self) -> None:
        """Give up a lock that a thread of the parent may hold."""
        self.lock = threading.Lock()

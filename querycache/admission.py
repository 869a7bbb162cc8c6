"""`ADMISSION = "cost"`: what the database answers more quickly than the store is left to it.

Both are timed on misses alone, so a hit pays nothing: each miss times its own query, and one in a
few also times a read of the store. A query is told by its text. Until it has been run a few times
nothing is known, and it is cached like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from querycache.stores.base import Store

Result = TypeVar("Result")

#: Runs of a query before it may be left to the database: the first ones connect, plan and warm up.
WARMING = 8
#: One miss in so many times a read of the store; and one read in so many that are left to the
#: database, or nothing would be known of a store that has recovered.
SAMPLED = 16
SELDOM = 64

# The weight of a new time against what was known. A query that waits for a lock counts for little.
_WEIGHT = 1 / 8
_LARGEST_STEP = 4.0
# Neither side is changed for the sake of a few per cent.
_MARGIN = 1.1
_REMEMBERED = 4096


class Average:
    """A moving average that one long wait does not carry away.

    Args:
        warming: how many first values do not count.
    """

    __slots__ = ("_left", "seconds")

    def __init__(self, warming: int) -> None:
        self._left = warming
        #: None until there were enough values.
        self.seconds: float | None = None

    def add(self, seconds: float) -> None:
        """Take a value into account."""
        if self._left:
            self._left -= 1
        elif self.seconds is None:
            self.seconds = seconds
        else:
            step = min(seconds, self.seconds * _LARGEST_STEP) - self.seconds
            self.seconds += step * _WEIGHT


class Admission:
    """What queries and the store cost this process, and which queries are not worth the store."""

    def __init__(self) -> None:
        #: Digests of the texts of queries that are left to the database; asked by every read.
        self.declined: set[bytes] = set()
        self.store = Average(1)
        self._queries: dict[bytes, Average] = {}
        self._turn = 0

    def timed(self, digest: bytes, run: Callable[[], Result]) -> Result:
        """Run a query and learn from how long it takes.

        Args:
            digest: of its text.
            run: runs it.
        """
        start = time.perf_counter()
        result = run()
        self._learn(digest, time.perf_counter() - start)
        return result

    def sample(self, store: Store, entry: bytes, stamps: Sequence[bytes], every: int) -> None:
        """Learn what a read of the store takes, once in a while.

        Args:
            store: that is read.
            entry: the key of an entry.
            stamps: the keys of its stamps.
            every: how many calls it takes.

        Raises:
            StoreError: the store does not answer.
        """
        self._turn += 1
        if self._turn % every == 0:
            start = time.perf_counter()
            store.read(entry, stamps)
            self.store.add(time.perf_counter() - start)

    def costs(self, digest: bytes) -> tuple[float | None, float | None]:
        """Return what a query and a read of the store take, in seconds; None: not known yet."""
        query = self._queries.get(digest)
        return (None if query is None else query.seconds), self.store.seconds

    def _learn(self, digest: bytes, seconds: float) -> None:
        average = self._queries.get(digest)
        if average is None:
            if len(self._queries) >= _REMEMBERED:
                self._queries.clear()
                self.declined.clear()
            average = self._queries[digest] = Average(WARMING)
        average.add(seconds)
        query, store = average.seconds, self.store.seconds
        if query is None or store is None:
            return
        if digest in self.declined:
            if query > store * _MARGIN:
                self.declined.discard(digest)
        elif query * _MARGIN < store:
            self.declined.add(digest)

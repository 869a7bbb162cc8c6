"""Entries on their way into the file of the LMDB store: several at a time, a moment later.

A transaction costs several times what one more entry in it does, and a query that was a miss need
not wait for one. Its own process finds what waits; others find it a moment later. No promise hangs
on when an entry is there, since its stamps say whether it is served.

Whoever uses the store writes what has waited, and no thread does: `docs/explanation/decisions.md`
says what one costs.
"""

from __future__ import annotations

import atexit
import logging
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

logger = logging.getLogger("querycache.lmdb")

#: Nanoseconds after which an entry is written by whoever reads or writes another.
DELAY = 100_000_000

#: Entries that wait at most, and bytes of them.
MOST = 32
MOST_BYTES = 256 * 1024


class Item(NamedTuple):
    """An entry that waits.

    Args:
        value: what it holds.
        deadline: when it ends, in ms of the machine's clock.
        made: when it was put here, in ns of that clock.
    """

    value: bytes
    deadline: int
    made: int


class Waiting:
    """What is written together, by whoever adds the last one or comes when the first has waited.

    Args:
        write: writes entries in one transaction; raises what LMDB raises.
    """

    def __init__(self, write: Callable[[dict[bytes, Item]], None]) -> None:
        self._write = write
        #: What waits. A dict is safe between threads, and what their races may lose is an entry.
        self.items: dict[bytes, Item] = {}
        self._bytes = 0
        self._since = 0
        atexit.register(_flush_at_exit, weakref.ref(self))

    def put(self, entry: bytes, item: Item) -> None:
        """Have an entry written; writes all that wait if they are many, or have waited."""
        if not self.items:
            self._since = item.made
        self.items[entry] = item
        self._bytes += len(item.value)
        many = len(self.items) >= MOST or self._bytes >= MOST_BYTES
        if many or item.made - self._since >= DELAY:
            self.flush()

    def flush(self) -> None:
        """Write what waits; what fails to be written is dropped."""
        items = dict(self.items)
        if not items:
            return
        self._bytes = 0
        # Other threads need not write the same meanwhile.
        self._since = time.monotonic_ns()
        try:
            self._write(items)
        finally:
            for entry, item in items.items():
                # Unless another value has come meanwhile.
                if self.items.get(entry) is item:
                    self.items.pop(entry, None)

    def flush_old(self) -> None:
        """Write what has waited; never raises."""
        if time.monotonic_ns() - self._since >= DELAY:
            self.flush_quietly()

    def flush_quietly(self) -> None:
        """Write what waits where nobody can be told of a failure."""
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 - whatever it is
            # Who reads or writes next meets it as well, and knows what to do.
            logger.debug("entries were not written: %s", error)

    def drop(self, start: bytes) -> None:
        """Drop what waits under keys that begin with `start`."""
        for entry in [entry for entry in list(self.items) if entry.startswith(start)]:
            self.items.pop(entry, None)


def _flush_at_exit(found: weakref.ref[Waiting]) -> None:
    waiting = found()
    if waiting is not None:
        waiting.flush_quietly()

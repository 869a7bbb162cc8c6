"""Entries on their way into the file of the LMDB store: several at a time, a moment later.

A transaction costs several times what one more entry in it does, and a query that was a miss need
not wait for one. Its own process finds what waits; others find it a moment later. No promise hangs
on when an entry is there, since its stamps say whether it is served.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from querycache.stores.lmdb_files import Environment

logger = logging.getLogger("querycache.lmdb")

#: Seconds for which an entry waits.
DELAY = 0.02

#: Entries that wait at most, and bytes of them.
MOST = 32
MOST_BYTES = 256 * 1024

#: Seconds after which a thread with nothing to do ends.
_IDLE = 1.0


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
    """What is written together: by whoever adds the last one, or by a thread after a while.

    Args:
        files: where it is written to; one environment has one of these in a process.
        write: writes entries in one transaction; raises what LMDB raises.
    """

    def __init__(self, files: Environment, write: Callable[[dict[bytes, Item]], None]) -> None:
        self._write = write
        #: What waits. A dict is safe between threads, and what their races may lose is an entry.
        self.items: dict[bytes, Item] = {}
        self._bytes = 0
        self._since = 0.0
        self.after_fork()
        files.helpers.append(self)
        atexit.register(_flush_at_exit, weakref.ref(self))

    def put(self, entry: bytes, item: Item) -> None:
        """Have an entry written; writes all that wait if they are many, or have waited."""
        now = time.monotonic()
        first = not self.items
        if first:
            self._since = now
        self.items[entry] = item
        self._bytes += len(item.value)
        many = len(self.items) >= MOST or self._bytes >= MOST_BYTES
        if many or now - self._since >= DELAY or (first and not self._wake_thread()):
            self.flush()

    def flush(self) -> None:
        """Write what waits; what fails to be written is dropped."""
        items = dict(self.items)
        if not items:
            return
        self._bytes = 0
        try:
            self._write(items)
        finally:
            for entry, item in items.items():
                # Unless another value has come meanwhile.
                if self.items.get(entry) is item:
                    self.items.pop(entry, None)

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

    # -- the thread ----------------------------------------------------------------------------

    def pause(self) -> None:
        """End the thread, before a fork; the next entry starts another."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            self._wake.set()
            thread.join(_IDLE)
            self._stop.clear()

    def after_fork(self) -> None:
        """Begin anew in a child, with a thread and locks of its own; it may write the same."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _wake_thread(self) -> bool:
        self._wake.set()
        if self._thread is not None and self._thread.is_alive():
            return True
        thread = threading.Thread(target=self._run, name="querycache-lmdb", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are none here, or the interpreter is about to end.
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        wake, stop = self._wake, self._stop
        while wake.wait(_IDLE) and not stop.is_set():
            wake.clear()
            stop.wait(DELAY)
            self.flush_quietly()
        self._thread = None
        # For an entry that came when it was too late to wake this thread.
        self.flush_quietly()


def _flush_at_exit(found: weakref.ref[Waiting]) -> None:
    waiting = found()
    if waiting is not None:
        waiting.flush_quietly()

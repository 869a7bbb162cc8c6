"""The circuit breaker: an outage of the store costs one attribute per query, and one log line."""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger("querycache.store")

#: Seconds between two attempts to reach a store that is down.
RETRY = 1.0


class Breaker:
    """Knows whether the store is down and who may try it next.

    Args:
        retry: seconds between two attempts while the store is down.
    """

    __slots__ = ("_lock", "_retry", "_retry_at", "_since", "down")

    def __init__(self, retry: float = RETRY) -> None:
        #: Read by every query; everything else here runs only during an outage.
        self.down = False
        self._retry = retry
        self._retry_at = 0.0
        self._since = 0.0
        self._lock = threading.Lock()

    def trip(self, error: Exception | str) -> None:
        """Open the breaker; the first error of an outage is logged."""
        now = time.monotonic()
        self._retry_at = now + self._retry
        if not self.down:
            self.down = True
            self._since = now
            logger.error("the store failed, reads go to the database: %s", error)

    def acquire_probe(self) -> bool:
        """Tell whether the caller may try the store now; it must then `release_probe`."""
        if time.monotonic() < self._retry_at or not self._lock.acquire(blocking=False):
            return False
        if self.down:
            return True
        # Another thread has just found the store back.
        self._lock.release()
        return False

    def reset(self) -> None:
        """Close the breaker: the store answers, and has been told everything."""
        self.down = False
        logger.warning("the store is back after %.1f s", time.monotonic() - self._since)

    def release_probe(self) -> None:
        """End an attempt."""
        self._retry_at = time.monotonic() + self._retry
        self._lock.release()

    def after_fork(self) -> None:
        """Forget an attempt that a thread of the parent was making when it forked."""
        self._lock = threading.Lock()

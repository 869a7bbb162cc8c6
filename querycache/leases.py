"""Leases of writes in flight, and the thread that renews those of long statements."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from querycache.stores.base import StoreError, StoreUnusable

logger = logging.getLogger("querycache.leases")


class Lease:
    """A writer's lease on the stamps of everything that it writes.

    Args:
        keys: the stamps' keys.
        token: who holds it, 16 random bytes.
    """

    __slots__ = ("ended", "keys", "lock", "renewed", "token")

    def __init__(self, keys: Sequence[bytes], token: bytes) -> None:
        self.keys = keys
        self.token = token
        self.renewed = time.monotonic()
        self.ended = False
        # Renewing after `end` would keep readers out for a whole lease more.
        self.lock = threading.Lock()


class LeaseKeeper:
    """Renews leases that have run for a third of their length.

    Args:
        renew: called with a lease's keys and token; may raise what stores raise.
        length: of a lease, in seconds.
    """

    def __init__(self, renew: Callable[[Sequence[bytes], bytes], None], length: float) -> None:
        self._renew = renew
        self._interval = length / 3
        self._held: dict[bytes, Lease] = {}
        self._stop = threading.Event()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hold(self, lease: Lease) -> None:
        """Keep a lease renewed until it is released."""
        self._held[lease.token] = lease
        if self._thread is None:
            self._start()

    def release(self, lease: Lease) -> None:
        """Renew a lease no more; when this returns, no renewal of it is on its way."""
        self._held.pop(lease.token, None)
        with lease.lock:
            lease.ended = True

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def after_fork(self) -> None:
        """Forget the parent's leases and thread, neither of which the child has."""
        self._held = {}
        self._thread = None
        self._stop = threading.Event()
        self._start_lock = threading.Lock()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="querycache-leases", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(self._interval / 2):
            # Values are copied at once, since writers come and go meanwhile.
            for lease in list(self._held.values()):
                if time.monotonic() - lease.renewed >= self._interval:
                    self._renew_one(lease)

    def _renew_one(self, lease: Lease) -> None:
        with lease.lock:
            if lease.ended:
                return
            started = time.monotonic()
            try:
                self._renew(lease.keys, lease.token)
            except (StoreError, StoreUnusable) as error:
                logger.warning("a lease could not be renewed: %s", error)
            else:
                lease.renewed = started

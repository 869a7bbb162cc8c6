"""Leases of writes in flight, the thread that renews them, and how readers see those of others."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter

from querycache import stamps
from querycache.memos import remember
from querycache.stamps import TOKEN_BYTES
from querycache.stores.base import StoreError, StoreUnusable

logger = logging.getLogger("querycache.leases")

#: Renewals in a row whose acknowledgement may come too late before the store counts as failed.
MOST_RENEWALS = 5

#: Stamps that are remembered as being written, before it starts afresh.
MOST_SEEN = 4096

#: Of a lease, between two questions whether a quarantine is over before its time.
PAUSE = 0.05

#: Seconds of this machine's own clock. Where the kernel offers one that goes on while the machine
#: sleeps, it is that: the store's clock goes on meanwhile.
clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


class Lease:
    """A writer's lease on the stamps of everything that it writes.

    Args:
        keys: the stamps' keys.
        token: who holds it, 16 random bytes.
    """

    __slots__ = ("ended", "keys", "lock", "renewed", "token", "tried")

    def __init__(self, keys: Sequence[bytes], token: bytes) -> None:
        self.keys = keys
        self.token = token
        #: When the latest acknowledged `begin` was sent: the lease in the store is no older.
        self.renewed = clock()
        #: When a renewal was last tried.
        self.tried = self.renewed
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
        self._length = length
        self._interval = length / 3
        self._held: dict[bytes, Lease] = {}
        self._stop = threading.Event()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told_of_no_thread = False

    def hold(self, lease: Lease) -> None:
        """Keep a lease renewed until it is released; the write may go out when this returns.

        Raises:
            StoreError: the lease has grown old and could not be renewed; it is not held.
            StoreUnusable: likewise.
        """
        self._held[lease.token] = lease
        if self._thread is None or not self._thread.is_alive():
            self._start()
        try:
            self.refresh(lease)
        except BaseException:
            self.release(lease)
            raise

    def refresh(self, lease: Lease) -> None:
        """Renew a lease that is older than a third of its length.

        What went by while `begin` was on its way, or while this process stood still, is missing at
        the end of the lease: so this comes right before what commits.

        Raises:
            StoreError: it could not be renewed, or only so slowly that it was old again.
            StoreUnusable: it could not be renewed.
        """
        for _ in range(MOST_RENEWALS):
            if clock() - lease.renewed < self._interval:
                return
            self._renew_one(lease)
        if clock() - lease.renewed >= self._interval:
            raise StoreError("it acknowledges leases only when they have grown old")

    def covers(self, lease: Lease) -> bool:
        """Tell whether a lease has lasted until now, by this machine's clock.

        Two clocks do not run alike to the last, so the end of it does not count.
        """
        return clock() - lease.renewed < self._length * 0.9

    def release(self, lease: Lease) -> None:
        """Renew a lease no more; when this returns, no renewal of it is on its way."""
        self._held.pop(lease.token, None)
        with lease.lock:
            lease.ended = True

    def stop(self) -> None:
        """End the thread, once nothing is held."""
        self._stop.set()

    def after_fork(self) -> None:
        """Forget the parent's leases and thread, neither of which the child has."""
        for lease in self._held.values():
            # The child has a copy of what the parent is doing. Its `end` must not end the parent's
            # lease, nor wait for a renewal by a thread that the child does not have.
            lease.token = os.urandom(TOKEN_BYTES)
            lease.lock = threading.Lock()
        self._held = {}
        self._thread = None
        self._stop = threading.Event()
        self._start_lock = threading.Lock()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._run, name="querycache-leases", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The limit of threads is reached, there are none here, or the interpreter is about
                # to end. The lease covers a statement that is no longer than it.
                if not self._told_of_no_thread:
                    self._told_of_no_thread = True
                    logger.warning("leases are not renewed, since no thread can start: %s", error)
            else:
                self._thread = thread

    def _run(self) -> None:
        stop = self._stop
        # Half as long as a lease may wait, and so two more tries after one that fails. A thread
        # that was told to stop stays for the writes that are under way.
        while True:
            if stop.wait(self._interval / 2):
                if not self._held:
                    return
                time.sleep(self._interval / 2)
            try:
                self._renew_old()
            except Exception:
                # Without this thread, later leases would run out under their writers.
                logger.exception("the leases of this process could not be looked through")

    def _renew_old(self) -> None:
        now = clock()
        # Values are copied at once, since writers come and go meanwhile. Those that were tried
        # longest ago come first: one that fails, slowly, must not keep others waiting each time.
        for lease in sorted(self._held.values(), key=attrgetter("tried")):
            if now - lease.renewed >= self._interval:
                try:
                    self._renew_one(lease)
                except (StoreError, StoreUnusable) as error:
                    logger.warning("a lease could not be renewed: %s", error)

    def _renew_one(self, lease: Lease) -> None:
        with lease.lock:
            if lease.ended:
                return
            started = lease.tried = clock()
            self._renew(lease.keys, lease.token)
            lease.renewed = started


class SeenLeases:
    """Leases of others, as readers of this process have seen them.

    Asking the store to settle costs a round trip. So a reader waits until leases that it has
    watched unchanged for a whole lease must be over; the store's clock then decides. Of what a
    store may end at any moment it asks at once, and then now and again.

    Args:
        lease: how long a writer's lease lasts, in seconds.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        # Stamp → a hash of what it was, and when that was first seen; or None, and when
        # it was asked about.
        self._stamps: dict[bytes, tuple[int | None, float]] = {}

    def all_over(
        self, found: Iterable[tuple[bytes, bytes | None]], *, companions: bool
    ) -> list[bytes]:
        """Return the keys of those that the store may be able to settle; watch the others.

        Args:
            found: keys, and the stamps as they are now.
            companions: see `over`.
        """
        return [key for key, stamp in found if self.over(key, stamp, companions=companions)]

    def over(self, key: bytes, stamp: bytes | None, *, companions: bool) -> bool:
        """Tell whether the store may be able to settle a stamp.

        Args:
            key: of the stamp.
            stamp: as it is now.
            companions: whether the store asks a stamp's companion, and so may end its quarantine at
                any moment.
        """
        if stamp is None or not stamps.is_writing(stamp):
            return not stamps.is_settled(stamp)
        if companions and stamps.in_quarantine(stamp) and stamps.companion_of(key) is not None:
            return self._rested(key)
        seen = self._stamps.get(key)
        now = time.monotonic()
        # Of others' making, and perhaps large: a hash of it will do, since the store decides.
        if seen is None or seen[0] != hash(stamp):
            self._note(key, hash(stamp), now)
            return False
        return now - seen[1] >= self._lease

    def _rested(self, key: bytes) -> bool:
        """Tell whether the store was not asked about a stamp for a while."""
        seen = self._stamps.get(key)
        now = time.monotonic()
        if seen is not None and seen[0] is None and now - seen[1] < self._lease * PAUSE:
            return False
        self._note(key, None, now)
        return True

    def _note(self, key: bytes, what: int | None, now: float) -> None:
        remember(self._stamps, key, (what, now), MOST_SEEN)

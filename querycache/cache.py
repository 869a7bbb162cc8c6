"""The cache between compilers and a store: reads, writes in flight, outages."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from querycache import codec, stamps
from querycache.admission import Admission
from querycache.breaker import RETRY, Breaker
from querycache.conf import Config
from querycache.counters import Counters
from querycache.debts import Debts
from querycache.entries import Forged, Sealer, has_all_rows
from querycache.exceptions import StoreUnavailable
from querycache.keys import entry_key
from querycache.leases import Lease, LeaseKeeper, SeenLeases
from querycache.lists import HEAD, Lists
from querycache.near import NearCache
from querycache.rows import seal_of
from querycache.serving import Claim
from querycache.stores.base import Store, StoreError, StoreUnusable

if TYPE_CHECKING:
    from querycache.reading import Read
    from querycache.watch import Watch

logger = logging.getLogger("querycache.cache")

#: Bodies above this many bytes are compressed for stores that are reached over a network.
COMPRESS_ABOVE = 64 * 1024

Row = tuple[Any, ...]

#: A server that turns out to be too old, say, is an outage to pages; checks and commands say more.
FAILURES = (StoreError, StoreUnusable)


class QueryCache:
    """One configuration with its store.

    Args:
        config: the settings.
        secret: the project's `SECRET_KEY`.
        open_store: makes the store when the first query needs it; it connects to nothing.
    """

    def __init__(
        self, config: Config, secret: str | bytes, open_store: Callable[[], Store]
    ) -> None:
        self.config = config
        self.counters = Counters()
        self.breaker = Breaker()
        self.sealer = Sealer(secret)
        self.entry_prefix = f"{config.namespace}:e:{self.sealer.tag}:"
        self.strict = config.consistency == "strict"
        self.ignores_raw = config.raw_sql == "ignore"
        #: Writes that the store cannot be told of are written down in their database.
        self.journals = config.on_store_failure == "journal"
        #: Seconds after an outage in which writers that are not back yet write into journals: each
        #: tries the store again after `RETRY`, and one that has just given up is about to commit.
        self.quiet = RETRY + config.timeout
        #: Of each database; weak, since in-memory databases come and go.
        self.watches: WeakSet[Watch] = WeakSet()
        #: Shadow mode never serves: every hit is run on the database and compared.
        self.shadow = config.mode == "shadow"
        self.inspects = self.shadow or config.verify > 0
        self.lease = config.lease_ms / 1000
        self.near = None if config.near == "off" else NearCache(config.near_bytes)
        self.lists = Lists()
        #: What queries and the store cost; None where every query is cached that may be.
        self.admission = Admission() if config.admission == "cost" else None
        self.keeper = LeaseKeeper(self._renew, self.lease)
        self._open_store = open_store
        self._debts = Debts()
        #: The store answers again, and is being told what it missed: writes go to it already.
        self._paying = False
        self._seen = SeenLeases(self.lease)
        self._reported_damage = False

    @cached_property
    def store(self) -> Store:
        """The store, opened by the first use."""
        store = self._open_store()
        if self.near is not None and self.config.near == "push":
            self.near.follower = store.follow()
        return store

    @cached_property
    def claim(self) -> Claim:
        """The store, as databases name it."""
        return Claim(self.store, self.config.lease_ms)

    @property
    def up(self) -> bool:
        """Whether the store may be used; during an outage, tries it once in a while."""
        return not self.breaker.down or self._recover()

    # -- reads ---------------------------------------------------------------------------------

    def lookup(
        self, fingerprint: bytes, query: Read, *, ask: bool = False
    ) -> tuple[list[Row] | None, Sequence[bytes | None] | None]:
        """Look for the result of a query.

        Args:
            fingerprint: of the query.
            query: what its result depends on; the entry may tell that more has to be asked for.
            ask: whether the stamps must be those of the store now, also where it tells of changes.

        Returns:
            The rows, or None on a miss; and the stamps, or None when the store did not answer.
        """
        near = self.near
        listed = query.listed
        try:
            if near is not None:
                held, stamps_now = near.look(self.store, fingerprint, query.keys, listed, ask=ask)
                if held is not None:
                    self.counters.near += 1
                if stamps_now is not None:
                    return held, stamps_now
            follower = None if near is None else near.follower
            ticket = None if follower is None else follower.ticket()
            found = self.store.read(entry_key(self.entry_prefix, fingerprint), query.keys)
            entry, current = found[0], found[1:]
            if follower is not None:
                # The next one need not ask for them.
                follower.note(ticket, query.keys, current)
            if entry is None:
                return None, current
            if listed is not None:
                listed, current = self.lists.ask(self.store, fingerprint, listed, entry, current)
                query.listed, query.keys = listed, listed.keys
        except FAILURES as error:
            self.failed(error)
            return None, None
        try:
            if listed is not None:
                joined = listed.under(entry[HEAD], current)
            elif query.rows and has_all_rows(entry):
                joined = seal_of(current)
            else:
                joined = b"".join(current)  # type: ignore[arg-type]
            body = self.sealer.open(fingerprint, joined, entry)
            if body is None:
                return None, current
            result = codec.decode(body)
            if near is not None:
                near.put(fingerprint, joined, result, body)
            return result, current
        except TypeError:
            # A stamp is absent.
            return None, current
        except (Forged, codec.Damaged) as error:
            self._damaged(error)
            return None, current

    def read_stamps(self, keys: Sequence[bytes]) -> Sequence[bytes | None] | None:
        """Return the stamps as they are now, or None when the store did not answer."""
        try:
            return self.store.stamps(keys)
        except FAILURES as error:
            self.failed(error)
            return None

    def clock(self) -> stamps.Clock | None:
        """Return the store's clock, or None when it did not answer."""
        if self.breaker.down and not self.up:
            return None
        try:
            return self.store.clock()
        except FAILURES as error:
            self.failed(error)
            return None

    def usable(self, keys: Sequence[bytes], found: Sequence[bytes | None]) -> bytes | None:
        """Return the joined stamps if results may be stored under them, else None.

        Absent stamps, and leases that must have run out, are settled on the way; this must be
        called before the query runs.
        """
        joined = stamps.joined(found)
        return stamps.joined(self.settled(keys, found)) if joined is None else joined

    def settled(
        self, keys: Sequence[bytes], found: Sequence[bytes | None]
    ) -> Sequence[bytes | None]:
        """Return the stamps, where those that are absent or must have run out were settled."""
        if all(map(stamps.is_settled, found)):
            return found
        companions = self.store.companions
        waiting = self._seen.all_over(zip(keys, found, strict=True), companions=companions)
        if not waiting:
            return found
        try:
            renewed = dict(zip(waiting, self.store.settle(waiting), strict=True))
        except FAILURES as error:
            self.failed(error)
            return found
        # From now on they are watched, not only from the next query on.
        self._seen.all_over(renewed.items(), companions=companions)
        return [renewed.get(key, stamp) for key, stamp in zip(keys, found, strict=True)]

    def keep(self, fingerprint: bytes, joined: bytes, rows: Sequence[Row]) -> None:
        """Store a result under the stamps as they were before its query ran; never raises."""
        body = self.encode(rows, compress=self.store.remote)
        if body is None:
            return
        if self.near is not None:
            self.near.put(fingerprint, joined, rows, body)
        entry = self.sealer.seal(fingerprint, joined, body)
        try:
            self.store.write(entry_key(self.entry_prefix, fingerprint), entry, self.config.ttl)
        except FAILURES as error:
            self.failed(error)
        else:
            self.counters.stored += 1

    def flush(self) -> None:
        """Have other processes find what was stored; never raises."""
        try:
            if "store" in self.__dict__:
                self.store.flush()
        except FAILURES as error:
            self.failed(error)

    def encode(self, rows: Sequence[Row], *, compress: bool = False) -> bytes | None:
        """Encode rows that may be kept, else return None.

        Args:
            rows: the result.
            compress: whether large bodies are worth compressing.
        """
        if len(rows) > self.config.max_rows:
            return None
        try:
            body = codec.encode(rows, compress_above=COMPRESS_ABOVE if compress else None)
        except codec.Unencodable as error:
            logger.debug("a result is not cached: %s", error)
            return None
        return body if len(body) <= self.config.max_bytes else None

    def _damaged(self, error: Exception) -> None:
        self.counters.damaged += 1
        if not self._reported_damage:
            self._reported_damage = True
            logger.error(
                "the store holds an entry that is damaged or not ours (%s); it and others are"
                " counted as `damaged` and served from the database",
                type(error).__name__,
            )

    # -- writes --------------------------------------------------------------------------------

    def begin(self, keys: Sequence[bytes]) -> Lease | None:
        """Announce a write; it may commit once this has returned.

        Returns:
            The lease to `end`, None where the store knows nothing of the write.

        Raises:
            StoreUnavailable: the store did not acknowledge, and `ON_STORE_FAILURE` is ``"raise"``.
        """
        if not self.strict:
            return None
        if self._paying or self.up:
            lease = Lease(keys, os.urandom(stamps.TOKEN_BYTES))
            try:
                self.store.begin(keys, lease.token)
                self.keeper.hold(lease)
            except FAILURES as error:
                self.failed(error)
            else:
                return lease
        self.refuse("querycache's store cannot be told of it")
        return None

    def refuse(self, reason: str) -> None:
        """Raise where a write that readers do not hear of may not go on.

        Raises:
            StoreUnavailable: `ON_STORE_FAILURE` is ``"raise"``.
        """
        if self.config.on_store_failure == "raise":
            raise StoreUnavailable(f'the write was refused: {reason} (ON_STORE_FAILURE is "raise")')

    def end(self, keys: Sequence[bytes], lease: Lease | None) -> None:
        """Announce that a write is over, whatever became of it; never raises."""
        if not self.told(keys, lease):
            self.owe(keys)

    def told(self, keys: Sequence[bytes], lease: Lease | None) -> bool:
        """Announce that a write is over, and tell whether no entry from before it is ever a hit."""
        self.counters.invalidations += 1
        if lease is None:
            return self.touch(keys)
        self.keeper.release(lease)
        # One that has lasted runs out by itself. After another, readers may have stored old rows.
        covered = self.keeper.covers(lease)
        try:
            self.store.end(keys, lease.token)
            if not covered:
                self.store.touch(keys)
        except FAILURES as error:
            self.failed(error)
            return covered
        return True

    def touch(self, keys: Sequence[bytes]) -> bool:
        """Invalidate without a lease; tells whether the store has acknowledged."""
        try:
            if self._paying or self.up:
                self.store.touch(keys)
                return True
        except FAILURES as error:
            self.failed(error)
        return False

    def owe(self, keys: Iterable[bytes]) -> None:
        """Remember stamps that must change before this process serves from the cache again."""
        with self._debts.lock:
            first = not self._debts.owed
            self._debts.add(keys)
            if not self.breaker.down:
                self.breaker.trip("it was not told of a write")
        if first:
            logger.error(
                "a write went on while the store was down; until it is back and has been told,"
                " other processes may serve rows from before the write"
            )

    def _renew(self, keys: Sequence[bytes], token: bytes) -> None:
        self.store.begin(keys, token)

    # -- outages -------------------------------------------------------------------------------

    def failed(self, error: Exception) -> None:
        """Note that a call to the store failed."""
        self.counters.failures += 1
        self.breaker.trip(error)

    def _recover(self) -> bool:
        if not self.breaker.acquire_probe():
            return False
        try:
            # A store that answers and changes nothing (it is full, say) is down as well.
            self.store.touch([f"{self.config.namespace}:s:probe".encode()])
            # From here on writes announce themselves, so that the debts come to an end.
            self._paying = True
            while not self._paid():
                pass
        except FAILURES:
            self.counters.failures += 1
            return False
        else:
            return True
        finally:
            self._paying = False
            self.breaker.release_probe()

    def _paid(self) -> bool:
        """Announce the writes that the store has missed; tells whether no other came meanwhile."""
        owed = self._debts.owed
        if owed:
            self.store.touch(sorted(owed))
        with self._debts.lock:
            if not self._debts.pay(owed):
                return False
            # Nothing is served before the journals have been read, and the others are back.
            for watch in list(self.watches):
                watch.expire(self.quiet if self.journals else 0.0)
            # Under the lock, so that no write is owed by a process that serves.
            self.breaker.reset()
            return True

    # -- life ----------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """Drop what a child process must not share with its parent."""
        self.breaker.after_fork()
        self._debts.after_fork()
        self._paying = False
        for watch in list(self.watches):
            watch.after_fork()
        self.keeper.after_fork()
        self.lists.empty()
        if self.near is not None:
            self.near.empty()

    def close(self) -> None:
        """Stop the keeper and let go of the store."""
        self.keeper.stop()
        if "store" in self.__dict__:
            self.store.close()

"""A cache with a hooked store, a register of one row, and a store that loses things on demand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from django.db import connections, transaction
from django.db.models import Model

import querycache
from querycache import install
from querycache import stamps as protocol
from querycache.cache import QueryCache
from querycache.changes import dependencies_on
from querycache.keys import EVERYTHING
from querycache.leases import SeenLeases
from querycache.state import transaction_of
from querycache.stores.base import Store, StoreOptions
from querycache.stores.memory import MemoryStore
from tests.environment import configure
from tests.hooks import Actor, HookedStore, point
from tests.library.models import Publisher

_prefixes = itertools.count()


class LossyStore(MemoryStore):
    """A store that loses what a test tells it to, by a clock that the test sets.

    Args:
        options: what every store is opened with.
        careless: steps ("begin", "end", "touch", "settle") that put nothing in quarantine.
        one_lease: whether all writers share one lease, in place of a set.
        nonces: whether settled stamps have a random part.
    """

    durable: ClassVar[bool] = False

    def __init__(
        self,
        options: StoreOptions,
        *,
        careless: Sequence[str] = (),
        one_lease: bool = False,
        nonces: bool = True,
    ) -> None:
        super().__init__(options)
        self.now = 1_000_000
        self.careless = frozenset(careless)
        self.one_lease = one_lease
        self.nonces = nonces

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        token = self._owner(token)
        self._apply("begin", stamps, lambda stamp, step: protocol.begin(stamp, token, step))

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        token = self._owner(token)
        self._apply("end", stamps, lambda stamp, step: protocol.end(stamp, token, step))

    def touch(self, stamps: Sequence[bytes]) -> None:
        self._apply("touch", stamps, protocol.touch)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        return self._apply("settle", stamps, protocol.settle)

    def evict(self) -> None:
        """Lose every stamp; entries stay."""
        with self._lock:
            self._stamps.clear()

    def evict_counter(self) -> None:
        """Lose the counter: it begins anew, and another era."""
        with self._lock:
            self._sequence = 0
            self._era = os.urandom(protocol.ERA_BYTES)

    def pass_lease(self) -> None:
        """Let the store's clock run on until every lease is over."""
        self.now += self.options.lease + 1

    def _owner(self, token: bytes) -> bytes:
        return b"1" * protocol.TOKEN_BYTES if self.one_lease else token

    def _apply(
        self,
        name: str,
        stamps: Sequence[bytes],
        change: Callable[[bytes | None, protocol.Step], bytes],
    ) -> list[bytes]:
        def changed(stamp: bytes | None, step: protocol.Step) -> bytes:
            return change(
                stamp,
                protocol.Step(
                    now=self.now,
                    wall=0,
                    lease=step.lease,
                    sequence=step.sequence,
                    nonce=step.nonce if self.nonces else bytes(protocol.NONCE_BYTES),
                    durable=name in self.careless,
                ),
            )

        return self._change(stamps, changed)


class Stage:
    """A cache whose store is hooked, and the actors of one test.

    Args:
        cache: what is installed.
        alias: the database that actors work on.
        store: in place of the cache's own; None: the cache's own.
    """

    def __init__(self, cache: QueryCache, alias: str, store: Store | None = None) -> None:
        self.cache = cache
        self.alias = alias
        self.store = HookedStore(store or cache.store)
        vars(cache)["store"] = self.store
        self.keep = cache.keep
        vars(cache)["keep"] = self._keep
        # Readers ask the store at their second look whether leases are over: its clock decides.
        cache._seen = SeenLeases(0.0)
        self._stack = ExitStack()

    def _keep(self, fingerprint: bytes, joined: bytes, rows: Any) -> None:
        point("before keep")
        self.keep(fingerprint, joined, rows)

    def actor(self, work: Callable[[], Any]) -> Actor:
        """Make a thread that can be stopped; it is let go of when the stage closes."""
        actor = Actor(work, self.alias)
        self._stack.callback(actor.release)
        return actor

    def close(self) -> None:
        """Let all actors run to their end."""
        self._stack.close()


@contextmanager
def staged(
    alias: str, store: Callable[[StoreOptions], Store] | None = None, **settings: Any
) -> Iterator[Stage]:
    """Install querycache on a hooked store with nothing in it.

    Args:
        alias: the database that actors work on.
        store: makes the store; None: the one of the settings.
        settings: of ``QUERYCACHE``.
    """
    settings.setdefault("STORE", "memory://")
    settings.setdefault("LEASE", 60)
    cache = configure(KEY_PREFIX=f"stage{next(_prefixes)}", **settings).cache
    # Connections of before the installation keep entries to themselves: what was SET is not known.
    connections.close_all()
    options = cache.config.store_options()
    stage = Stage(cache, alias, None if store is None else store(options))
    try:
        yield stage
    finally:
        stage.close()
        install.uninstall()


class Register:
    """One row with one value, read and written through the ORM.

    Args:
        stage: where it lives.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.alias = stage.alias
        Publisher.objects.using(self.alias).create(pk=1, name="old")

    def rows(self) -> Any:
        """Return the queryset that every read runs."""
        # Not by its key: these tests are about the stamp of the table.
        found = Publisher.objects.using(self.alias).filter(pk__lte=1)
        return found.values_list("name", flat=True)

    def read(self) -> str:
        """Read the value, from the cache where it may."""
        return str(next(iter(self.rows())))

    def fresh(self) -> str:
        """Read the value from the database."""
        return str(next(iter(querycache.bypass(self.rows()))))

    def write(self, value: str = "new") -> None:
        """Write a value in autocommit."""
        Publisher.objects.using(self.alias).filter(pk=1).update(name=value)

    def write_atomically(self, value: str = "new") -> None:
        """Write a value in a transaction."""
        with transaction.atomic(self.alias):
            self.write(value)

    def other_write(self) -> None:
        """Write the same table, and not this row."""
        Publisher.objects.using(self.alias).create(pk=2, name="another")

    @property
    def hit(self) -> bool:
        """Whether the next read is served from the cache."""
        return querycache.explain(self.rows()).hit

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys of the stamps that the value depends on, and of what writes change besides."""
        return keys_of(self.alias, Publisher)

    def warm(self) -> None:
        """Have the value in the cache, as if the quarantine of absent stamps were over."""
        plant(self.stage.store, self.keys)
        self.read()
        assert self.hit


def keys_of(alias: str, *models: type[Model]) -> tuple[bytes, ...]:
    """Return the keys of all stamps that hits on tables need, and that writes to them change."""
    tables = [EVERYTHING, *(model._meta.db_table for model in models)]
    database = transaction_of(connections[alias]).database
    columns = [
        database.stamp_key(dependency)
        for model in models
        for dependency in dependencies_on(model._meta.db_table, columns_of(model))
    ]
    written = database.stamp_keys(tables)
    return tuple(dict.fromkeys((*database.read_keys(tables), *written, *columns)))


def columns_of(model: type[Model]) -> list[str]:
    """Return the columns of a model's own table."""
    return [field.column or "" for field in model._meta.local_concrete_fields]


def plant(store: Store, keys: Sequence[bytes]) -> None:
    """Put fresh settled stamps into a store, as a quarantine that is over leaves them."""
    # A write to something else makes the counter, where nothing has.
    scratch = f"{store.options.prefix}:s:scratch".encode()
    put(store, scratch, protocol.settled(1, 1, os.urandom(protocol.NONCE_BYTES)))
    store.touch([scratch])
    now = store.clock()
    for key in keys:
        nonce = now.era + os.urandom(protocol.NONCE_BYTES - protocol.ERA_BYTES)
        put(store, key, protocol.settled(now.sequence, now.wall, nonce))


def put(store: Store, key: bytes, value: bytes | None) -> None:
    """Put a value under a key of a store behind its back; None takes away what is there."""
    if isinstance(store, HookedStore):
        store = store.inner
    if isinstance(store, MemoryStore):
        if value is None:
            store._stamps.pop(key, None)
            store.delete(key)
        else:
            store._stamps[key] = value
    elif type(store).__name__ == "RedisStore":
        from querycache.stores.redis_wire import Link, pack

        command = pack(b"DEL", key) if value is None else pack(b"SET", key, value)
        store._links.call(Link.ask, command)  # type: ignore[attr-defined]
    elif type(store).__name__ == "MemcachedStore":
        work = (lambda c: c.delete(key)) if value is None else (lambda c: c.set(key, value))
        store._nodes[0].call(work)  # type: ignore[attr-defined]
    else:
        assert value is not None, "an LMDB store loses no stamps"
        files = store._stamps  # type: ignore[attr-defined]
        files.check_process()
        with files.writing, files.begin(write=True) as txn:
            txn.put(key, value)

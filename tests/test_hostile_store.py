"""What somebody gets who can write to the store: misses, delays, and one thing that is a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db import connections
from django.test import override_settings

import querycache
from querycache import keys, stamps
from querycache.entries import Sealer
from querycache.keys import EVERYTHING
from querycache.state import transaction_of
from tests.environment import STORES, Environment, configure
from tests.hooks import eventually
from tests.library.models import Publisher
from tests.stages import Register, put, staged

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])

on_redis = pytest.mark.parametrize("store_url", ["redis"], indirect=True)


def entry_key_of(register: Register) -> bytes:
    return (querycache.explain(register.rows()).key or "").encode()


# -- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_url", STORES, indirect=True)
def test_old_entry_alone_is_a_miss(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=0.2) as stage:
        register = Register(stage)
        eventually(lambda: register.read() == "old" and register.hit, "it is cached")
        key = entry_key_of(register)
        old = stage.store.inner.read(key, [])[0]
        assert old is not None
        register.write()
        eventually(lambda: register.read() == "new" and register.hit, "it is cached again")
        stage.store.inner.write(key, old, 60)
        assert not register.hit
        assert register.read() == "new"


@pytest.mark.parametrize("store_url", ["memory", "redis", "memcached"], indirect=True)
def test_old_entry_with_its_old_stamps_is_a_hit(database: str, store_url: str) -> None:
    """The limit that the documentation names: stamps have no MAC."""
    with staged(database, STORE=store_url) as stage:
        register = Register(stage)
        register.warm()
        key = entry_key_of(register)
        old = stage.store.inner.read(key, register.keys)
        register.write()
        assert register.read() == "new"
        for name, value in zip((key, *register.keys), old, strict=True):
            assert value is not None
            if name == key:
                stage.store.inner.write(name, value, 60)
            else:
                put(stage.store, name, value)
        assert register.read() == "old"
        # Until the next write, or until somebody invalidates.
        querycache.invalidate(using=database)
        assert register.read() == "new"


# -- names that collide --------------------------------------------------------------------------


class Tenant:
    """Who asks, as a `CONTEXT` tells."""

    name = "one"

    def __call__(self, connection: Any) -> str:
        return self.name


@pytest.mark.parametrize("mac", [True, False], ids=["with the MAC", "without"])
def test_weak_hash_of_names(database: str, mac: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters, result types and tenants collide, as a visitor could make xxHash do."""
    monkeypatch.setattr(keys, "xxh3_128_hexdigest", lambda data: "0" * 32)
    if not mac:
        monkeypatch.setattr(Sealer, "_mac", lambda self, fingerprint, rest: bytes(16))
    tenant = Tenant()
    cache = configure(STORE="memory://", CONTEXT=tenant).cache
    publishers = Publisher.objects.using(database)
    for pk, name in ((1, "mine"), (2, "theirs")):
        publishers.create(pk=pk, name=name)
    # Not by key: entries of other rows have other stamps, too.
    mine, theirs = (
        publishers.filter(pk__gte=pk, pk__lte=pk).values_list("name", flat=True) for pk in (1, 2)
    )
    assert list(theirs.all()) == ["theirs"]
    assert (list(mine.all()) == ["mine"]) is mac
    assert cache.counters.damaged == mac
    # Another tenant, and the same tenant asking for one row in place of all.
    list(mine.all())
    before = cache.counters.hits
    tenant.name = "two"
    list(mine.all())
    assert (cache.counters.hits == before) is mac
    mine.first()
    assert (cache.counters.hits == before) is mac


def test_entry_of_another_database(database: str, environment: Environment) -> None:
    """Moved under the name that it would have here, with the stamps as they are here."""
    other = environment.database("sqlite")
    cache = configure(STORE="memory://").cache
    Publisher.objects.using(database).all().delete()
    Publisher.objects.using(other).all().delete()
    Publisher.objects.using(database).create(pk=1, name="ours")
    Publisher.objects.using(other).create(pk=1, name="theirs")
    found = {}
    for alias in (database, other):
        rows = Publisher.objects.using(alias).values_list("name", flat=True)
        list(rows)
        key = (querycache.explain(rows).key or "").encode()
        database_of = transaction_of(connections[alias]).database
        names = database_of.read_keys([EVERYTHING, "library_publisher"])
        found[alias] = key, names, cache.store.read(key, names)
    assert found[database][0] != found[other][0]
    key, names, _ = found[database]
    for name, stamp in zip(names, found[other][2][1:], strict=True):
        put(cache.store, name, stamp)
    theirs = found[other][2][0]
    assert theirs is not None
    cache.store.write(key, theirs, None)
    rows = Publisher.objects.using(database).values_list("name", flat=True)
    assert list(rows) == ["ours"]
    assert cache.counters.damaged == 1
    connections[other].close()


def test_secret_key_that_was_changed(database: str) -> None:
    """Old entries are misses, whatever `SECRET_KEY_FALLBACKS` says; writes reach both."""
    cache = configure(STORE="memory://", KEY_PREFIX="rotation").cache
    store = cache.store
    publishers = Publisher.objects.using(database).values_list("name", flat=True)
    Publisher.objects.using(database).create(name="old")
    assert list(publishers.all()) == ["old"]
    assert querycache.explain(publishers.all()).hit
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["tests"]):
        later = configure(STORE="memory://", KEY_PREFIX="rotation").cache
        vars(later)["store"] = store
        assert not querycache.explain(publishers.all()).hit
        assert list(publishers.all()) == ["old"]
        assert querycache.explain(publishers.all()).hit
        assert later.counters.damaged == 0
        Publisher.objects.using(database).update(name="new")
    # A process that still has the old key.
    again = configure(STORE="memory://", KEY_PREFIX="rotation").cache
    vars(again)["store"] = store
    assert not querycache.explain(publishers.all()).hit
    assert list(publishers.all()) == ["new"]


# -- floods and foreign values -------------------------------------------------------------------


@pytest.mark.parametrize("store_url", ["memory", "redis", "memcached"], indirect=True)
def test_flood_of_leases(database: str, store_url: str) -> None:
    """It keeps a table from the cache for as long as it lasts, and no longer."""
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        flood = {os.urandom(16): 10**15 for _ in range(stamps.MOST_LEASES + 1)}
        for key in register.keys:
            put(stage.store, key, stamps.writing(flood))
        register.write("newer")
        for stamp in stage.store.inner.stamps(register.keys):
            assert len(stamps.leases(stamp)) <= 2
        assert register.read() == "newer"
        eventually(lambda: register.read() == "newer" and register.hit, "it is cached again")


@pytest.fixture
def on_server(
    database: str, store_url: str, environment: Environment
) -> Iterator[tuple[Register, redis.Redis]]:
    """A register that is cached on Redis, and a client that may do anything there."""
    with (
        staged(database, STORE=store_url, LEASE=0.1) as stage,
        redis.Redis.from_url(environment.redis.url) as client,
    ):
        register = Register(stage)
        register.warm()
        yield register, client


@on_redis
@pytest.mark.parametrize("kind", ["list", "hash", "set", "zset", "stream"])
def test_keys_that_hold_another_type(on_server: tuple[Register, redis.Redis], kind: str) -> None:
    register, client = on_server
    stage = register.stage

    def replace(key: bytes) -> None:
        client.delete(key)
        make: dict[str, Any] = {
            "list": lambda: client.rpush(key, "x"),
            "hash": lambda: client.hset(key, "x", "y"),
            "set": lambda: client.sadd(key, "x"),
            "zset": lambda: client.zadd(key, {"x": 1}),
            "stream": lambda: client.xadd(key, {"x": "y"}),
        }
        make[kind]()

    prefix = stage.cache.config.namespace
    for key in (
        entry_key_of(register),
        *register.keys,
        f"{prefix}:sequence".encode(),
        f"{prefix}:epoch".encode(),
    ):
        replace(key)
        # The identity is looked at by new connections.
        stage.store.inner.close()
        assert register.read() == register.fresh()
        register.write(f"after {key.decode()}")
        assert register.read() == f"after {key.decode()}"
        eventually(lambda: cached(register), "it is cached again")
    assert stage.cache.counters.failures == 0


def cached(register: Register) -> bool:
    assert register.read() == register.fresh()
    return register.hit


@on_redis
@pytest.mark.parametrize(
    "value", [b"", b"x", b"9" * 16, b"9" * 24, b"9" * 16 + b"eraseras", b"0" * 200_000]
)
def test_counter_of_another_making(on_server: tuple[Register, redis.Redis], value: bytes) -> None:
    register, client = on_server
    client.set(f"{register.stage.cache.config.namespace}:sequence", value)
    register.write()
    assert register.read() == "new"
    eventually(lambda: cached(register), "it is cached again")


# -- names of things -----------------------------------------------------------------------------

NAMES = [
    *('a b', 'a\r\nSET x 1\r\n', "a\tb", "ключ", "a'b;--", "*", "?", "[a]", "%s", "x" * 300),
    *("a:b", "{a}", "\udce9", "../../x", "a\x7f\x01b"),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("store_url", STORES, indirect=True)
def test_names_of_tables_are_no_part_of_keys(database: str, store_url: str, name: str) -> None:
    with staged(database, STORE=store_url) as stage:
        key = keys.stamp_key(stage.cache.config.namespace, f"sqlite:/{name}.db", name)
        assert key.isascii()
        assert not set(key) & set(b" \r\n\t\0*?[]{}'")
        assert len(key) < 100
        assert key != keys.stamp_key(stage.cache.config.namespace, "sqlite:/b", name)
        store = stage.store.inner
        store.begin([key], b"t" * 16)
        store.end([key], b"t" * 16)
        if store.durable:
            assert stamps.is_settled(store.stamps([key])[0])


def test_table_with_a_name_of_its_own(database: str) -> None:
    configure(STORE="memory://")
    quoted = '"a ""b"";\n DROP TABLE x -- ключ"'
    with connections[database].cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {quoted} (id integer)")
        cursor.execute(f"INSERT INTO {quoted} VALUES (1)")
        seen = Publisher.objects.using(database).extra(where=[f"1 IN (SELECT id FROM {quoted})"])
        Publisher.objects.using(database).create(name="one")
        for expected in (1, 0):
            for _ in range(2):
                assert len(seen.all()) == expected
            cursor.execute(f"DELETE FROM {quoted}")
        cursor.execute(f"DROP TABLE {quoted}")

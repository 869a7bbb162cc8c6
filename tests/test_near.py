"""The near cache: rows from the process, as long as the store's stamps say that they are right."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import os
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

import querycache
from querycache import codec, install
from querycache.cache import QueryCache
from querycache.near import NearCache
from querycache.state import transaction_of
from querycache.stores import open_store
from querycache.stores.base import Follower
from tests.environment import STORES, Environment, configure, elsewhere
from tests.hooks import HookedStore
from tests.library.models import Publisher
from tests.processes import Peer, Place
from tests.servers import required

STAMPS = b"s" * 49

START, DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(1)


@pytest.fixture
def near(database: str, store_url: str) -> Iterator[QueryCache]:
    """querycache with a near cache in front of the store."""
    installed = configure(
        STORE=store_url, NEAR="checked", LEASE=0.2, KEY_PREFIX=f"near{os.urandom(4).hex()}"
    )
    yield installed.cache
    install.uninstall()


def names(alias: str) -> list[str]:
    return list(Publisher.objects.using(alias).order_by("pk").values_list("name", flat=True))


def warm(cache: QueryCache, alias: str) -> None:
    """Read until the result is held: a store without memory of writers waits for a lease first."""
    while not cache.counters.near:
        names(alias)


@pytest.mark.parametrize("store_url", STORES, indirect=True)
class TestOnEveryStore:
    def test_a_held_result_is_served_without_its_entry(
        self, near: QueryCache, database: str
    ) -> None:
        Publisher.objects.using(database).create(name="old")
        warm(near, database)
        near.store.clear()
        before = near.counters.snapshot()
        with connections[database].execute_wrapper(_no_query):
            assert names(database) == ["old"]
        after = near.counters.snapshot()
        assert (after.near, after.hits) == (before.near + 1, before.hits + 1)

    def test_a_write_of_anybody_is_seen_at_once(self, near: QueryCache, database: str) -> None:
        Publisher.objects.using(database).create(name="old")
        warm(near, database)

        def write() -> None:
            Publisher.objects.using(database).update(name="new")

        elsewhere(write)
        assert names(database) == ["new"]


@pytest.mark.parametrize("store_url", ["lmdb", "redis", "memcached"], indirect=True)
def test_a_write_of_another_process_is_seen_at_once(
    near: QueryCache, database: str, store_url: str
) -> None:
    from tests.library.models import Thing

    Thing.objects.using(database).create(pk=1, code="a", number=1)
    things = Thing.objects.using(database).values_list("number", flat=True)
    while not near.counters.near:
        list(things.all())
    place = Place(database, dict(connections[database].settings_dict), {})
    with Peer("fork", place) as peer:
        for value in range(2, 6):
            peer.call("write", 1, value)
            assert list(things.all()) == [value]


def test_a_hit_asks_for_the_stamps_alone(near: QueryCache, database: str) -> None:
    Publisher.objects.using(database).create(name="old")
    warm(near, database)
    store = HookedStore(near.store)
    vars(near)["store"] = store
    asked = store.calls
    names(database)
    assert asked == ["stamps"]
    Publisher.objects.using(database).update(name="new")
    del asked[:]
    names(database)
    # What is held is old; somebody may have stored the new result meanwhile.
    assert asked == ["stamps", "read", "write"]
    del asked[:]
    names(database)
    assert asked == ["stamps"]


@pytest.fixture
def pushed(database: str, environment: Environment) -> Iterator[QueryCache]:
    """querycache with a near cache that Redis tells of changes."""
    with required():
        url = environment.store_url("redis")
    prefix = f"push{os.urandom(4).hex()}"
    yield configure(STORE=url, NEAR="push", LEASE=0.2, KEY_PREFIX=prefix).cache
    install.uninstall()


class TestPush:
    def test_a_hit_asks_nobody(self, pushed: QueryCache, database: str) -> None:
        Publisher.objects.using(database).create(name="old")
        self.know(pushed, database)
        with connections[database].execute_wrapper(_no_query):
            assert names(database) == ["old"]

    def test_own_writes_are_seen_at_once(self, pushed: QueryCache, database: str) -> None:
        Publisher.objects.using(database).create(name="0")
        for value in range(1, 30):
            self.know(pushed, database)
            Publisher.objects.using(database).update(name=str(value))
            assert names(database) == [str(value)]

    def test_others_writes_are_seen_when_they_are_told(
        self, pushed: QueryCache, database: str
    ) -> None:
        Publisher.objects.using(database).create(name="0")
        for value in range(1, 10):
            self.know(pushed, database)
            # What another process does to the store.
            keys = _stamp_keys(database)
            other = open_store(pushed.config.store, pushed.config.store_options())
            token = os.urandom(16)
            other.begin(keys, token)
            with querycache.disabled(), connections[database].cursor() as cursor:
                cursor.cursor.execute("UPDATE library_publisher SET name = %s", [str(value)])
            other.end(keys, token)
            other.close()
            while names(database) != [str(value)]:
                pass

    def test_a_result_from_the_store_makes_its_stamps_known(
        self, pushed: QueryCache, database: str
    ) -> None:
        Publisher.objects.using(database).create(name="old")
        self.know(pushed, database)
        assert pushed.near is not None
        pushed.near.empty()
        _follower(pushed).forget(_stamp_keys(database))
        names(database)
        assert vars(pushed)["store"].calls == ["read"]
        assert names(database) == ["old"]
        assert vars(pushed)["store"].calls == ["read"]

    def know(self, cache: QueryCache, database: str) -> None:
        """Read until a hit asks nobody."""
        store = cache.store if not isinstance(cache.store, HookedStore) else cache.store.inner
        hooked = HookedStore(store)
        vars(cache)["store"] = hooked
        while True:
            del hooked.calls[:]
            names(database)
            if not hooked.calls:
                return


def _follower(cache: QueryCache) -> Follower:
    assert cache.near is not None
    assert cache.near.follower is not None
    return cache.near.follower


def _stamp_keys(database: str) -> tuple[bytes, ...]:
    return transaction_of(connections[database]).database.stamp_keys({Publisher._meta.db_table})


def test_callers_share_no_list(near: QueryCache) -> None:
    near.near.put(b"f", STAMPS, [(1, "a"), (2, "b")], b"body")  # type: ignore[union-attr]
    held = near.near.get(b"f")  # type: ignore[union-attr]
    assert held is not None
    first = held.rows()
    first.clear()
    assert held.rows() == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("value", [[1], {"a": 1}, bytearray(b"a"), (1, [2])])
def test_values_that_can_be_changed_are_made_anew(near: QueryCache, value: Any) -> None:
    rows = [(value,)]
    near.near.put(b"f", STAMPS, rows, codec.encode(rows))  # type: ignore[union-attr]
    held = near.near.get(b"f")  # type: ignore[union-attr]
    assert held is not None
    assert held.rows() == rows
    assert held.rows()[0][0] is not held.rows()[0][0]
    assert held.rows()[0][0] is not value


def test_values_that_cannot_be_changed_are_shared() -> None:
    near = NearCache(1_000_000)
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    rows = [(decimal.Decimal("1.5"), moment, None, True, b"x", "text")]
    near.put(b"f", STAMPS, rows, b"not read")
    held = near.get(b"f")
    assert held is not None
    assert held.rows()[0] is rows[0]


def hold(near: NearCache, name: bytes, rows: list[tuple[Any, ...]]) -> None:
    near.put(name, STAMPS, rows, codec.encode(rows, compress_above=100))


def test_it_never_takes_more_than_its_size() -> None:
    near = NearCache(100_000)
    for number in range(1000):
        hold(near, b"%d" % number, [(number, "x" * 50)] * 10)
        assert near.used <= 100_000
    assert 10 < len(near) < 100
    # However small they are when compressed; the last is held as it is encoded.
    for value in ("x" * 60_000, b"x" * 60_000, 10**200_000, [os.urandom(60_000).hex()]):
        hold(near, b"large", [(1, None), (2, value)])
        assert near.get(b"large") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda number: (number, f"name {number}", f"slug-{number}", None, True),
        lambda number: (10**18 + number, 1.5 * number, decimal.Decimal(number) / 7),
        lambda number: (START + number * DAY, (START + number * DAY).date(), DAY * number),
        lambda number: (uuid.UUID(int=number << 70), f"é{number}" * 9, b"%d" % number * 9),
        lambda number: (ipaddress.ip_address(number << 70), ipaddress.ip_address(number + 2**20)),
        lambda number: (ipaddress.ip_interface(((number + 1) << 70, 64)), "x"),
        lambda number: (ipaddress.ip_network(number << 70), ipaddress.ip_network(number)),
    ],
)
def test_what_results_take_is_estimated_well(make: Callable[[int], tuple[Any, ...]]) -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        # Many, since Python keeps some thousand tuples for use again, which are not traced.
        rows = [make(number) for number in range(20_000)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    near = NearCache(1_000_000_000)
    hold(near, b"rows", rows)
    assert 0.7 * taken < near.used < 1.5 * taken


def test_explain_tells_of_what_is_held(near: QueryCache, database: str) -> None:
    Publisher.objects.using(database).create(name="old")
    warm(near, database)
    near.store.clear()
    found = querycache.explain(
        Publisher.objects.using(database).order_by("pk").values_list("name", flat=True)
    )
    assert (found.hit, found.reason) == (True, "this process holds the result, and it is valid")


def test_off_holds_nothing(cache: QueryCache) -> None:
    assert cache.near is None


def _no_query(execute: Any, sql: str, *args: Any) -> Any:
    raise AssertionError(f"a hit ran {sql}")

"""`ADMISSION = "cost"`: queries that the database answers more quickly than the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

import querycache
from querycache import admission, install
from querycache.admission import SAMPLED, SELDOM, WARMING, Admission, Average
from querycache.cache import QueryCache
from tests.environment import configure
from tests.hooks import HookedStore
from tests.library.models import Publisher


class Clock:
    """The clock by which queries and the store are timed; both take what the test says.

    Args:
        monkeypatch: puts it in place.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.query = self.store = 0.001
        monkeypatch.setattr(admission, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def run_query(self, execute: Any, *args: Any) -> Any:
        self.now += self.query
        return execute(*args)


class SlowStore(HookedStore):
    """A store that takes its time.

    Args:
        inner: the store that does the work.
        clock: what time it takes.
    """

    def __init__(self, inner: Any, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    def read(self, *args: Any) -> Any:
        self._clock.now += self._clock.store
        return super().read(*args)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock(monkeypatch)
    yield clock
    monkeypatch.undo()


@pytest.fixture
def choosy(database: str, clock: Clock) -> Iterator[QueryCache]:
    cache = configure(STORE="memory://", ADMISSION="cost").cache
    vars(cache)["store"] = SlowStore(cache.store, clock)
    with connections[database].execute_wrapper(clock.run_query):
        yield cache
    install.uninstall()


def read(alias: str, number: int = 0) -> list[str]:
    rows = Publisher.objects.using(alias).filter(pk__gte=number).values_list("name", flat=True)
    return list(rows)


def explained(alias: str) -> querycache.Explanation:
    return querycache.explain(
        Publisher.objects.using(alias).filter(pk__gte=1).values_list("name", flat=True)
    )


def learn(alias: str, times: int = 10 * SAMPLED) -> None:
    """Run one text so often, each time with another value, so that it is a miss."""
    for _ in range(times):
        learn.number += 1  # type: ignore[attr-defined]
        read(alias, learn.number)  # type: ignore[attr-defined]


learn.number = 0  # type: ignore[attr-defined]


def test_a_cheap_query_is_left_to_the_database(
    choosy: QueryCache, database: str, clock: Clock
) -> None:
    clock.query, clock.store = 0.0002, 0.0004
    learn(database)
    before = choosy.counters.snapshot()
    calls = len(choosy.store.calls)  # type: ignore[attr-defined]
    assert read(database) == read(database) == []
    after = choosy.counters.snapshot()
    assert after.declined == before.declined + 2
    assert (after.hits, after.misses) == (before.hits, before.misses)
    assert len(choosy.store.calls) - calls <= 1  # type: ignore[attr-defined]
    found = explained(database)
    assert (found.cacheable, found.hit) == (True, False)
    assert found.reason == ("the database takes 0.20 ms for it, and the store 0.40 ms (ADMISSION)")


def test_a_dear_query_is_cached(choosy: QueryCache, database: str, clock: Clock) -> None:
    clock.query, clock.store = 0.005, 0.0004
    learn(database)
    assert choosy.counters.declined == 0
    read(database, 1)
    assert explained(database).hit


def test_a_cold_start_caches(choosy: QueryCache, database: str, clock: Clock) -> None:
    clock.query, clock.store = 0.0002, 0.0004
    learn(database, WARMING)
    assert choosy.counters.declined == 0
    assert choosy.counters.stored == WARMING
    read(database, 1)
    assert explained(database).hit


def test_what_gets_dear_is_cached_again(choosy: QueryCache, database: str, clock: Clock) -> None:
    clock.query, clock.store = 0.0002, 0.0004
    learn(database)
    assert choosy.counters.declined
    clock.query = 0.005
    learn(database)
    read(database, 1)
    assert explained(database).hit


def test_a_store_that_recovers_is_used_again(
    choosy: QueryCache, database: str, clock: Clock
) -> None:
    clock.query, clock.store = 0.0005, 0.05
    learn(database)
    assert choosy.counters.declined
    clock.store = 0.0001
    learn(database, 40 * SELDOM)
    read(database, 1)
    assert explained(database).hit


def test_a_hit_is_not_timed(
    choosy: QueryCache, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(database)
    monkeypatch.setattr(admission, "time", None)
    for _ in range(SAMPLED + 1):
        read(database)
    assert choosy.counters.hits == SAMPLED + 1


def test_a_store_that_fails_while_it_is_timed_is_an_outage(
    choosy: QueryCache, database: str
) -> None:
    from querycache.stores.base import StoreError

    def fail(*args: Any) -> Any:
        raise StoreError("gone")

    vars(choosy.store)["read"] = fail
    for _ in range(SAMPLED + 1):
        assert read(database) == []
    assert choosy.breaker.down


def test_one_long_wait_changes_little() -> None:
    average = Average(0)
    for _ in range(10):
        average.add(0.001)
    average.add(60.0)
    assert average.seconds is not None
    assert average.seconds < 0.002


def test_what_is_remembered_is_bounded() -> None:
    costs = Admission()
    costs.store.add(1.0)
    costs.store.add(1.0)
    for number in range(20_000):
        for _ in range(WARMING + 1):
            costs.timed(b"%d" % number, time.monotonic)
    assert len(costs._queries) <= 4096
    assert len(costs.declined) <= 4096

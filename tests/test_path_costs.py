"""What a hit, a miss and a write cost, in things that can be counted: no more than they must.

Times depend on the machine. Steps of the store, commands on the wire, statements, compilations and
calls of the library's own functions do not, so they are held here. Who needs more of them has to
say so here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import redis
from django.db import connections, transaction
from django.db.models.sql.compiler import SQLCompiler

import querycache
from querycache import install, watch
from querycache.cache import QueryCache
from tests.environment import STORES, configure
from tests.hooks import HookedStore
from tests.library.models import Author, Publisher
from tests.stages import keys_of, plant

LIBRARY = str(Path(querycache.__file__).parent)

#: Calls of the library's functions in a hit, the store's own included: what is needed now. Half of
#: them stand in for several hundred of Django's compiler.
CALLS = {"memory": 36, "lmdb": 42, "redis": 43, "memcached": 46}
#: Likewise in a miss that is stored, and in a `save()` in autocommit, where a dozen stand in for
#: Django's compiler.
MISS_CALLS = {"memory": 61, "lmdb": 66, "redis": 75, "memcached": 71}
SAVE_CALLS = {"memory": 73, "lmdb": 85, "redis": 92, "memcached": 136}


class Counted:
    """What happened in a block."""

    def __init__(self) -> None:
        self.store: list[str] = []
        self.statements: list[str] = []
        self.compiled = 0


@contextmanager
def counting(cache: QueryCache, alias: str) -> Iterator[Counted]:
    """Count what happens in the block: the store's steps, statements, compilations."""
    counted = Counted()
    hooked = HookedStore(cache.store)
    as_sql = SQLCompiler.as_sql

    def compiled(self: Any, *args: Any, **kwargs: Any) -> Any:
        counted.compiled += 1
        return as_sql(self, *args, **kwargs)

    # The library tells whose method it is by this.
    compiled.__module__ = as_sql.__module__

    def reached(execute: Any, sql: str, *args: Any) -> Any:
        counted.statements.append(sql)
        return execute(sql, *args)

    with pytest.MonkeyPatch.context() as patch, connections[alias].execute_wrapper(reached):
        patch.setitem(vars(cache), "store", hooked)
        patch.setattr(SQLCompiler, "as_sql", compiled)
        yield counted
    counted.store = hooked.calls


def calls_of(work: Callable[[], Any]) -> int:
    """Return how many functions of the library a piece of work calls."""
    count = 0

    def called(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        code = frame.f_code
        # Comprehensions are functions to Python 3.11 and none to later ones.
        if event == "call" and code.co_filename.startswith(LIBRARY) and code.co_name[0] != "<":
            count += 1

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def names(alias: str, start: str = "") -> list[str]:
    rows = Publisher.objects.using(alias).filter(name__gte=start).order_by("pk")
    return list(rows.values_list("name", flat=True))


@pytest.fixture
def quick(database: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueryCache]:
    """querycache with one row that is cached; leases and looks do not grow old meanwhile."""
    monkeypatch.setattr(watch, "LOOK_EVERY", 1e6)
    cache = configure(STORE=store_url, LEASE=600, TIMEOUT=10, KEY_PREFIX="costs").cache
    Publisher.objects.using(database).create(pk=1, name="old")
    if cache.store.remote:
        # As if the quarantine of stamps that were not there were over.
        plant(cache.store, keys_of(database, Publisher, Author))
    names(database)
    names(database)
    assert cache.counters.hits
    yield cache
    cache.store.clear()
    install.uninstall()


@pytest.mark.parametrize("store_url", STORES, indirect=True)
class TestSteps:
    def test_a_hit_reads_once(self, quick: QueryCache, database: str) -> None:
        with counting(quick, database) as counted:
            names(database)
        assert (counted.store, counted.statements, counted.compiled) == (["read"], [], 0)

    def test_a_miss_reads_and_writes_once(self, quick: QueryCache, database: str) -> None:
        with counting(quick, database) as counted:
            names(database, "a")
        assert (counted.store, counted.compiled) == (["read", "write"], 0)
        assert len(counted.statements) == 1

    def test_a_save_begins_and_ends_once(self, quick: QueryCache, database: str) -> None:
        publisher = Publisher.objects.using(database).get()
        with counting(quick, database) as counted:
            publisher.save()
        assert counted.store == ["begin", "end"]
        assert len(counted.statements) == 1

    def test_a_transaction_begins_and_ends_once(self, quick: QueryCache, database: str) -> None:
        with counting(quick, database) as counted, transaction.atomic(using=database):
            for number in range(5):
                Publisher.objects.using(database).create(name=str(number))
                Author.objects.using(database).create(name=str(number))
        # A store that costs nothing to ask tells its clock first: a transaction of SQLite sees one
        # state, which reads in it may need to place.
        assert counted.store == [*(["clock"] if not quick.store.remote else []), "begin", "end"]

    def test_what_is_not_cached_asks_nobody(self, quick: QueryCache, database: str) -> None:
        with counting(quick, database) as counted, querycache.disabled():
            names(database)
        assert (counted.store, counted.compiled, len(counted.statements)) == ([], 0, 1)
        by_chance = Publisher.objects.using(database).order_by("?")
        list(by_chance.all())
        with counting(quick, database) as counted:
            list(by_chance.all())
        assert (counted.store, counted.compiled, len(counted.statements)) == ([], 0, 1)

    def test_what_a_text_depends_on_is_found_out_once(
        self, quick: QueryCache, database: str
    ) -> None:
        found = []
        for name in ("a", "b", "c"):
            with counting(quick, database) as counted:
                list(Publisher.objects.using(database).filter(name=name, pk__gt=0))
            found.append((counted.compiled, len(counted.statements)))
        assert found == [(2, 1), (0, 1), (0, 1)]


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
def test_commands_on_the_wire(quick: QueryCache, database: str, store_url: str) -> None:
    """One command for each step of the store, and nothing else."""
    with redis.Redis.from_url(store_url) as client:

        def commands(work: Callable[[], Any]) -> dict[str, int]:
            client.config_resetstat()
            work()
            # By when it has an answer the server has done what was sent before.
            quick.store.info()
            found: dict[str, Any] = client.info("commandstats")
            counts = {name.removeprefix("cmdstat_"): s["calls"] for name, s in found.items()}
            # What we ask ourselves, and what the scripts do within the server.
            ours = ("config|resetstat", "info", "get", "set", "time")
            return {name: calls for name, calls in counts.items() if name not in ours}

        publisher = Publisher.objects.using(database).get()
        assert commands(lambda: names(database)) == {"mget": 1}
        assert commands(lambda: names(database, "b")) == {"mget": 1}
        # Within the server each script reads with one MGET, and writes with one MSET.
        assert commands(publisher.save) == {"evalsha": 2, "mget": 2, "mset": 2}
        # Nobody has waited for the answer to `end`, nor to an entry.
        store: Any = quick.store
        for work in (publisher.save, lambda: names(database, "c")):
            work()
            assert [len(link._owed) for link in store._links._idle].count(1) == 1
            store.info()


@pytest.mark.parametrize("store_url", STORES, indirect=True)
def test_calls(quick: QueryCache, database: str, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["store_url"]
    names(database)
    # What is due once a second may fall into one of them, not into each.
    assert min(calls_of(lambda: names(database)) for _ in range(3)) <= CALLS[kind]
    publisher = Publisher.objects.using(database).get()
    publisher.save()
    names(database, "b")
    starts = iter("cde")
    assert min(calls_of(lambda: names(database, next(starts))) for _ in "cde") <= MISS_CALLS[kind]
    # A server that is quick has its replies read one by one.
    assert min(calls_of(publisher.save) for _ in range(8)) <= SAVE_CALLS[kind]

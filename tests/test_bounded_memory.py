"""What grows with what visitors choose has a bound."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.db import connections, transaction

from querycache import dependencies, leases, memos, overlay, planning, plans, session
from querycache.cache import QueryCache
from querycache.dependencies import Database
from querycache.rawsql import analyse
from querycache.state import transaction_of
from tests.environment import Environment, configure
from tests.library.models import Publisher
from tests.stages import Register, plant, put, staged

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])


def known(alias: str) -> Database:
    return transaction_of(connections[alias]).database


def test_texts_that_visitors_make_longer(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of values after IN is often a visitor's choice."""
    monkeypatch.setattr(memos, "MOST", 20)
    publishers = Publisher.objects.using(database)
    found = known(database)
    for length in [*range(1, 50), *range(8000, 8010)]:
        assert list(publishers.filter(pk__in=range(length))) == []
        with connections[database].cursor() as cursor:
            marks = ", ".join(["%s"] * length)
            cursor.execute(
                f"DELETE FROM library_publisher WHERE id IN ({marks})", list(range(length))
            )
        for memo in (found.plans, found.effects):
            assert len(memo) <= 20
            assert max(map(len, memo), default=0) <= plans._LONGEST
    # Long texts are remembered all the same.
    analysed: list[str] = []

    def noted(sql: str, vendor: str) -> Any:
        analysed.append(sql)
        return analyse(sql, vendor)

    for module in (dependencies, planning):
        monkeypatch.setattr(module, "analyse", noted)
    for _ in range(3):
        list(publishers.filter(pk__in=range(8009)))
    assert not analysed
    assert cache.counters.hits


def test_names_of_tables_and_functions(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memos, "MOST", 20)
    state = transaction_of(connections[database])
    found = state.database
    for number in range(100):
        found.effect(state, f"DELETE FROM t{number} WHERE f{number}(1)")
        found.stamp_key(f"t{number}")
        assert len(found._stamp_keys) <= 20
        knowledge = found.known(state)
        assert knowledge is not None
        assert len(knowledge.purities) <= 20
    assert found.stamp_key("t1") == found.stamp_key("t1")
    assert found.stamp_key("t1") != found.stamp_key("t2")


def test_stamps_that_are_seen_being_written(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MOST_SEEN", 10)
    with staged(database) as stage:
        for number in range(50):
            key = b"k%d" % number
            # As large as a store takes it, and somebody puts it there.
            put(stage.store, key, b"W" + os.urandom(32) * 1000)
            assert stage.cache.usable([key], stage.store.stamps([key])) is None
            seen = stage.cache._seen._stamps
            assert 0 < len(seen) <= 10
            assert all(type(mark) is int for mark, _ in seen.values())


@pytest.mark.parametrize("name", ["'app.v%d'", "lower('app.v%d')"])
def test_settings_with_names_that_are_made_up(
    environment: Environment, database: str, name: str
) -> None:
    """A connection may live as long as its process."""
    from tests.servers import required

    with required():
        alias = environment.database("postgresql")
    configure(STORE="memory://")
    connection = connections[alias]
    contexts = set()
    with connection.cursor() as cursor:
        for number in range(session._MOST_CHANGES + 50):
            cursor.execute(f"SELECT set_config({name % number}, 'x', false)")
            contexts.add(transaction_of(connection).session.context)
    assert len(contexts) == session._MOST_CHANGES + 50
    assert len(transaction_of(connection).session._changes) <= session._MOST_CHANGES + 1


def test_overlay_counts_the_parameters(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "OVERLAY_BYTES", 100_000)
    publishers = Publisher.objects.using(database)
    with transaction.atomic(database):
        publishers.create(name="own")
        state = transaction_of(connections[database])
        for number in range(50):
            assert not publishers.filter(name=f"{number}" + "x" * 10_000).exists()
            assert 0 < sum(map(len, state.overlay._results)) <= 100_000
            assert sum(map(len, state.overlay._results)) <= state.overlay._bytes <= 100_000


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
def test_values_that_are_much_too_large(database: str, store_url: str) -> None:
    """They cost a read each, and are gone afterwards."""
    with staged(database, STORE=store_url, TIMEOUT=10, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        import querycache

        key = (querycache.explain(register.rows()).key or "").encode()
        put(stage.store, key, bytes(16) + os.urandom(32 << 20))
        assert register.read() == "old"
        assert register.hit
        # Of the database as a whole and of the table; it reads no others.
        looked_at = register.keys[:2]
        for stamp in looked_at:
            put(stage.store, stamp, b"W" + bytes(32 << 20))
        assert register.read() == "old"
        sizes = [len(stamp or b"") for stamp in stage.store.stamps(looked_at)]
        assert max(sizes) <= 1 + 32
        plant(stage.store, register.keys)
        register.write()
        assert register.read() == "new"

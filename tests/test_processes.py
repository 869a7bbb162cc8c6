"""Processes that share a database and a store: forked, spawned, hammering, killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from querycache.stores.base import Store
from tests import processes
from tests.hooks import eventually
from tests.library.models import Thing
from tests.processes import Board, Peer, Place
from tests.stages import Stage, keys_of, plant, staged

STORES = ("lmdb", "redis", "memcached")
WORKERS = 4

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture
def stage(database: str, store_url: str) -> Iterator[Stage]:
    with staged(database, STORE=store_url, LEASE=2) as found:
        # Real stores only: processes share what is below the hooks.
        vars(found.cache)["store"] = found.store.inner
        yield found


@pytest.fixture
def place(stage: Stage) -> Place:
    options = connections.settings[stage.alias]
    config = stage.cache.config
    settings = {"STORE": config.store, "KEY_PREFIX": config.key_prefix, "LEASE": 2}
    return Place(stage.alias, options, settings)


def fill(stage: Stage, rows: int) -> Store:
    """Make rows with zeros, and stamps as a store has them that has run for a while."""
    things = [Thing(pk=pk + 1, code=f"{pk}") for pk in range(rows)]
    Thing.objects.using(stage.alias).bulk_create(things)
    plant(stage.store, keys_of(stage.alias, Thing))
    return stage.store.inner


@pytest.mark.parametrize(
    ("method", "database"),
    [("fork", "sqlite_wal"), ("fork", "postgresql"), ("spawn", "sqlite_wal")],
    indirect=["database"],
)
@pytest.mark.parametrize("store_url", STORES, indirect=True)
def test_processes_see_each_others_writes_at_once(
    database: str, store_url: str, stage: Stage, place: Place, method: str
) -> None:
    fill(stage, 2)
    assert processes.read(database) == [0, 0]
    assert processes.hit(database)
    with Peer(method, place) as peer, Peer(method, place) as other:
        for value in range(1, 16):
            assert peer.call("read") == processes.read(database)
            # What one has stored serves all.
            assert peer.call("hit")
            assert other.call("hit")
            assert processes.hit(database)
            peer.call("write", 1, value)
            assert processes.read(database) == [value, value - 1]
            assert other.call("read") == [value, value - 1]
            processes.write(database, 2, value)
            assert peer.call("read") == [value, value]
            assert other.call("read") == [value, value]


@pytest.mark.parametrize("store_url", STORES, indirect=True)
@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_connections_to_stores_are_not_shared_with_children(
    database: str, store_url: str, stage: Stage, place: Place
) -> None:
    store = fill(stage, 1)
    assert processes.read(database) == [0]
    with Peer("fork", place) as one, Peer("fork", place) as two:
        # Replies that went to the wrong process would be damaged entries, or other rows.
        for value in range(1, 31):
            one.call("write", 1, value)
            assert {*two.call("read"), *one.call("read"), *processes.read(database)} == {value}
        assert store.stamps([b"nothing"]) == [None]
    # The end of the children ends no connection of ours.
    assert processes.read(database) == [30]
    assert not stage.cache.breaker.down
    assert stage.cache.counters.failures == stage.cache.counters.damaged == 0


@pytest.mark.parametrize(
    ("database", "store_url"),
    [("sqlite_wal", "lmdb"), ("postgresql", "redis"), ("mariadb", "memcached")],
    indirect=True,
    ids=["sqlite_wal-lmdb", "postgresql-redis", "mariadb-memcached"],
)
def test_no_read_is_older_than_a_write_that_had_ended(
    database: str, store_url: str, stage: Stage
) -> None:
    fill(stage, WORKERS)
    board = Board.of(WORKERS)
    started = [
        processes.start_hammer(database, board, worker, 400, worker, "")
        for worker in range(WORKERS)
    ]
    assert [processes.ended(process) for process in started] == [0] * WORKERS
    assert processes.read(database) == processes.read_committed(database) == list(board.completed)
    assert sum(board.hits) > WORKERS


@pytest.mark.parametrize(
    ("database", "store_url"), [("sqlite_wal", "lmdb")], indirect=True, ids=[""]
)
def test_hammer_notices_writes_that_are_not_announced(
    database: str, store_url: str, stage: Stage
) -> None:
    store = fill(stage, WORKERS)
    for step in ("begin", "end"):
        vars(store)[step] = lambda stamps, token: None
    board = Board.of(WORKERS)
    started = [
        processes.start_hammer(database, board, worker, 4000, worker, "")
        for worker in range(WORKERS)
    ]
    assert 2 in [processes.ended(process) for process in started]


@pytest.mark.parametrize(
    ("database", "store_url"),
    [("sqlite_wal", "lmdb"), ("postgresql", "redis")],
    indirect=True,
    ids=["sqlite_wal-lmdb", "postgresql-redis"],
)
def test_writers_that_are_killed_leave_nothing_stale(
    database: str, store_url: str, stage: Stage
) -> None:
    fill(stage, WORKERS)
    board = Board.of(WORKERS)
    steady = [processes.start_hammer(database, board, worker, 800, worker, "") for worker in (0, 1)]
    for where in ("before begin", "after begin", "before end", "after end"):
        doomed = [
            processes.start_hammer(database, board, worker, 40, worker, where) for worker in (2, 3)
        ]
        assert [processes.ended(process) for process in doomed] == [-9, -9]
    assert [processes.ended(process) for process in steady] == [0, 0]
    assert processes.read(database) == processes.read_committed(database)
    # What the dead had begun is over when their leases are.
    eventually(
        lambda: (
            processes.read(database) == processes.read_committed(database)
            and processes.hit(database)
        ),
        "the rows are cached again",
    )
    for worker in range(WORKERS):
        assert board.completed[worker] <= processes.read(database)[worker]

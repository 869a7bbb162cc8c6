"""Stores that die, freeze or come back empty: pages go on at once, and nothing is stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import DatabaseError, connections

import querycache
from tests.hooks import eventually, hook_transactions
from tests.outages import Clock, errors, outages
from tests.servers import MemcachedServer, RedisServer, required
from tests.stages import Register, Stage, staged

AnyServer = RedisServer | MemcachedServer

on_a_server = pytest.mark.parametrize("server", ["redis", "memcached"], indirect=True)
either_way = pytest.mark.parametrize("how", ["killed", "frozen"])
pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hook_transactions(monkeypatch)
    return Clock(monkeypatch)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, AnyServer]]:
    started: dict[str, AnyServer] = {}
    yield started
    for server in started.values():
        server.close()


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: dict[str, AnyServer]) -> Iterator[AnyServer]:
    kinds: dict[str, Callable[[], AnyServer]] = {
        "redis": RedisServer,
        "memcached": MemcachedServer,
    }
    if request.param not in servers:
        servers[request.param] = kinds[request.param]()
    found = servers[request.param]
    with required():
        found.start()
    yield found
    found.resume()


@pytest.fixture
def stage(database: str, server: AnyServer) -> Iterator[Stage]:
    with staged(database, STORE=server.url, LEASE=0.1, TIMEOUT=0.1) as found:
        yield found


def freeze(server: AnyServer) -> None:
    server.pause()
    tasks = Path(f"/proc/{server.pid}/task")

    def stopped() -> bool:
        # The state follows the name, which is in brackets.
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()
        ]
        return set(states) == {"T"}

    # One of its threads may go on for a moment.
    if tasks.exists():
        eventually(stopped, "all threads of the server are stopped")


def stop(server: AnyServer, how: str) -> None:
    if how == "frozen":
        freeze(server)
    else:
        server.kill()


def bring_back(server: AnyServer) -> None:
    server.resume()
    server.start()


# -- reads ---------------------------------------------------------------------------------------


@on_a_server
@either_way
def test_reads_fall_through_and_ask_once_in_a_while(
    server: AnyServer, stage: Stage, how: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(stage)
    register.warm()
    stop(server, how)
    stage.store.calls.clear()
    for _ in range(20):
        assert register.read() == "old"
    assert stage.store.calls == ["read"]
    clock.pass_retry()
    for _ in range(20):
        assert register.read() == "old"
    # One asks again, and the next only when as much time has passed once more.
    assert stage.store.calls == ["read", "touch"]
    assert len(outages(caplog)) == 1
    assert "reads go to the database" in outages(caplog)[0]
    bring_back(server)
    clock.pass_retry()
    assert register.read() == "old"
    assert len(outages(caplog)) == 2
    assert "is back after 2.0 s" in outages(caplog)[1]
    eventually(lambda: register.read() == "old" and register.hit, "it is cached again")
    assert len(outages(caplog)) == 2
    assert errors(caplog) == []


def assert_cached_again(register: Register, value: str, clock: Clock) -> None:
    def cached() -> bool:
        # Each time: on a busy machine the store may be late once more, and is left alone again.
        clock.pass_retry()
        return register.read() == value and register.hit

    eventually(cached, "it is cached again")


@on_a_server
@either_way
@pytest.mark.parametrize("where", ["before read", "before query", "before write"])
def test_outage_in_the_middle_of_a_read(
    server: AnyServer, stage: Stage, how: str, where: str, clock: Clock
) -> None:
    register = Register(stage)
    register.warm()
    register.write("newer")
    reader = stage.actor(register.read).run_to(where)
    stop(server, how)
    assert reader.finish() == "newer"
    # Nobody may have waited for the answer to what it has stored.
    assert register.read() == "newer"
    assert stage.cache.breaker.down
    bring_back(server)
    assert_cached_again(register, "newer", clock)


@on_a_server
def test_server_that_restarts_between_two_reads_is_no_outage(
    server: AnyServer, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(stage)
    register.warm()
    server.restart()
    assert register.read() == "old"
    assert not register.hit
    register.write()
    assert register.read() == "new"
    eventually(lambda: register.read() == "new" and register.hit, "it is cached again")
    assert outages(caplog) == []


# -- writes --------------------------------------------------------------------------------------


@on_a_server
@either_way
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("where", ["before begin", "after begin", "before end"])
def test_outage_in_the_middle_of_a_write(
    server: AnyServer, stage: Stage, how: str, where: str, atomic: bool, clock: Clock
) -> None:
    register = Register(stage)
    register.warm()
    write = register.write_atomically if atomic else register.write
    writer = stage.actor(write).run_to(where)
    stop(server, how)
    writer.finish()
    assert register.fresh() == "new"
    assert register.read() == "new"
    bring_back(server)
    assert_cached_again(register, "new", clock)


@on_a_server
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_writes_of_an_outage_are_announced_before_anything_is_served(
    server: AnyServer,
    stage: Stage,
    clock: Clock,
    mechanism: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vars(stage.cache)["journals"] = False
    register = Register(stage)
    register.warm()
    if not mechanism:
        monkeypatch.setattr(stage.cache, "owe", lambda keys: None)
    # Frozen, so that it still has the entry when it goes on.
    freeze(server)
    assert register.read() == "old"
    register.write("newer")
    register.write_atomically()
    assert register.read() == "new"
    if mechanism:
        assert len(errors(caplog)) == 1
        assert "a write went on while the store was down" in errors(caplog)[0]
    server.resume()
    clock.pass_retry()
    stage.store.calls.clear()
    assert (register.read() == "new") is mechanism
    if mechanism:
        assert stage.store.calls[:3] == ["touch", "touch", "read"]
        eventually(lambda: register.read() == "new" and register.hit, "it is cached again")
        assert len(outages(caplog)) == 2


# -- ON_STORE_FAILURE = "raise" ------------------------------------------------------------------


@on_a_server
def test_refused_writes_leave_nothing_behind(
    database: str, server: AnyServer, clock: Clock
) -> None:
    with staged(
        database, STORE=server.url, LEASE=0.1, TIMEOUT=0.1, ON_STORE_FAILURE="raise"
    ) as stage:
        register = Register(stage)
        register.warm()
        server.kill()
        for write in (register.write, register.write_atomically, register.other_write):
            with pytest.raises(querycache.StoreUnavailable) as refusal:
                write()
            assert isinstance(refusal.value, DatabaseError)
            assert register.fresh() == "old"
            assert register.read() == "old"
            assert register.rows().model.objects.using(database).count() == 1
        with pytest.raises(querycache.StoreUnavailable), connections[database].cursor() as cursor:
            cursor.execute("UPDATE library_publisher SET name = 'new'")
        assert register.fresh() == "old"
        server.start()
        clock.pass_retry()
        register.write()
        assert register.read() == "new"

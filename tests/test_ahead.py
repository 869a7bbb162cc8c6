"""A `begin` that is sent before its statement is ready: who waits for it, and who ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.db import connections

from querycache import stamps
from querycache.ahead import Ahead
from querycache.leases import Lease
from querycache.state import transaction_of
from tests.hooks import hook_transactions
from tests.library.models import Author, Publisher
from tests.stages import Register, Stage, plant, staged

pytestmark = pytest.mark.parametrize(
    ("database", "store_url"),
    [("sqlite_wal", "redis"), ("postgresql", "redis")],
    indirect=True,
    ids=["sqlite_wal", "postgresql"],
)

with_and_without = pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])


@pytest.fixture
def stage(database: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    hook_transactions(monkeypatch)
    with staged(database, STORE=store_url, LEASE=60, TIMEOUT=10) as found:
        yield found


@pytest.fixture
def register(stage: Stage) -> Register:
    register = Register(stage)
    register.warm()
    # What a text changes is known once it has run.
    register.write("older")
    assert register.read() == "older"
    return register


def is_written(stage: Stage, model: Any) -> bool:
    """Tell whether somebody has a lease on a model's stamp."""
    database = transaction_of(connections[stage.alias]).database
    (stamp,) = stage.store.inner.stamps([database.stamp_key(model._meta.db_table)])
    return stamps.is_writing(stamp)


@with_and_without
def test_a_statement_waits_for_its_lease(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `begin` is as slow as it can be: it arrives when somebody waits for it."""
    inner: Any = stage.store.inner
    send = inner.begin_ahead

    def slow(keys: Any, token: bytes) -> Callable[[], bool]:
        return lambda: send(keys, token)()

    monkeypatch.setattr(inner, "begin_ahead", slow)
    if not mechanism:
        monkeypatch.setattr(Ahead, "take", lambda self, keys: Lease(keys, self._lease.token))
    writer = stage.actor(register.write).run_to("before execute")
    assert is_written(stage, Publisher) == mechanism
    writer.finish()
    order = ["ahead", "before begin", "after begin", "before execute"]
    assert [step for step in writer.trace if step in order] == (
        order if mechanism else [order[0], *order[3:], *order[1:3]]
    )
    assert register.read() == "new"


@pytest.mark.parametrize("kind", ["insert", "update", "delete"])
def test_each_kind_of_write_is_announced_ahead(stage: Stage, kind: str) -> None:
    def write(number: int) -> None:
        if kind == "insert":
            Author.objects.using(stage.alias).create(name=f"{number}")
        elif kind == "update":
            Author.objects.using(stage.alias).update(name=f"{number}")
        else:
            Author.objects.using(stage.alias).all()._raw_delete(stage.alias)

    # What a text changes is known once it has run.
    write(0)
    writer = stage.actor(lambda: write(1))
    writer.finish()
    order = ["ahead", "before begin", "after begin", "before execute"]
    assert [step for step in writer.trace if step in order] == order


@with_and_without
def test_what_did_not_happen_is_withdrawn(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mechanism:
        monkeypatch.setattr(Ahead, "withdraw", lambda self: None)

    def refuse(*args: Any) -> Any:
        raise PermissionError

    with connections[stage.alias].execute_wrapper(refuse), pytest.raises(PermissionError):
        register.write()
    assert is_written(stage, Publisher) != mechanism


@with_and_without
def test_a_lease_on_other_stamps_is_none(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was announced is not what comes to be run."""
    database = transaction_of(connections[stage.alias]).database
    plant(stage.store, [database.stamp_key(Author._meta.db_table)])
    if not mechanism:
        take = Ahead.take
        monkeypatch.setattr(Ahead, "take", lambda self, keys: take(self, self._lease.keys))

    def other(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        return execute(f"UPDATE {Author._meta.db_table} SET name = %s", params[:1], *rest)

    def work() -> None:
        with connections[stage.alias].execute_wrapper(other):
            register.write()

    writer = stage.actor(work).run_to("before execute")
    assert is_written(stage, Author) == mechanism
    writer.finish()
    if mechanism:
        assert not is_written(stage, Publisher)


def test_a_connection_that_breaks_meanwhile(
    stage: Stage, register: Register, store_url: str
) -> None:
    writer = stage.actor(register.write).run_to("ahead")
    with redis.Redis.from_url(store_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    writer.run_to("before execute")
    assert is_written(stage, Publisher)
    writer.finish()
    assert stage.store.calls.count("begin") >= 2
    assert not stage.cache.breaker.down
    assert register.read() == "new"

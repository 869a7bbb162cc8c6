"""The order of a write's steps: begin, commit, end, and only then the hooks of the commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from querycache import watch
from tests.hooks import hook_transactions
from tests.library.models import Book
from tests.stages import Register, Stage, staged

PAIRS = (
    ("sqlite_wal", "memory"),
    ("sqlite_wal", "lmdb"),
    ("postgresql", "redis"),
    ("mariadb", "memcached"),
)


def on(*pairs: tuple[str, str]) -> Any:
    return pytest.mark.parametrize(
        ("database", "store_url"), pairs, indirect=True, ids=["-".join(pair) for pair in pairs]
    )


on_every_pair = on(*PAIRS)
#: Where COMMIT looks at foreign keys, and so can fail; MariaDB does so with every statement.
on_pairs_with_late_checks = on(*PAIRS[:3])


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    hook_transactions(monkeypatch)


@pytest.fixture
def stage(database: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    # What is due every second is no part of a write.
    monkeypatch.setattr(watch, "LOOK_EVERY", 600.0)
    with staged(database, STORE=store_url) as found:
        yield found


@pytest.fixture
def register(stage: Stage) -> Register:
    return Register(stage)


@on_every_pair
def test_order_of_a_write_in_autocommit(stage: Stage, register: Register) -> None:
    register.warm()
    writer = stage.actor(register.write)
    writer.finish()
    trace = _writes(writer.trace)
    assert trace[:6] == [
        "before begin",
        "after begin",
        "before execute",
        "after execute",
        "before end",
        "after end",
    ]
    # A database may be asked something when it is over.
    assert set(trace[6:]) <= {"before execute", "after execute"}


@on_every_pair
def test_order_of_a_transaction(stage: Stage, register: Register) -> None:
    register.warm()
    seen: list[str] = []

    def work() -> None:
        with transaction.atomic(register.alias):
            register.write("older")
            register.write()
            transaction.on_commit(lambda: seen.append(register.read()), using=register.alias)

    writer = stage.actor(work)
    writer.finish()
    trace = [step for step in _writes(writer.trace) if "execute" not in step]
    assert trace == [
        "before begin",
        "after begin",
        "before commit",
        "after commit",
        "before end",
        "after end",
    ]
    assert seen == ["new"]


@on_every_pair
def test_hooks_after_a_commit_read_and_store_what_was_committed(
    stage: Stage, register: Register
) -> None:
    register.warm()
    hits: list[bool] = []

    def hook() -> None:
        assert register.read() == "new"
        hits.append(register.hit)

    def work() -> None:
        with transaction.atomic(register.alias):
            register.write()
            transaction.on_commit(hook, using=register.alias)

    stage.actor(work).finish()
    assert hits == [True]
    assert register.hit
    assert register.read() == "new"


@on_every_pair
def test_rolled_back_transaction_announces_nothing(stage: Stage, register: Register) -> None:
    register.warm()

    def work() -> None:
        with transaction.atomic(register.alias):
            register.write()
            transaction.set_rollback(True, using=register.alias)

    writer = stage.actor(work)
    writer.finish()
    assert "before begin" not in writer.trace
    assert register.hit
    assert register.read() == "old"


@on_every_pair
def test_uncommitted_rows_are_the_writers_own(stage: Stage, register: Register) -> None:
    register.warm()
    own: list[str] = []

    def work() -> None:
        with transaction.atomic(register.alias):
            register.write()
            own.append(register.read())
            own.append(register.read())

    writer = stage.actor(work).run_to("before begin")
    assert own == ["new", "new"]
    # A transaction that has not begun to commit keeps nobody from the cache.
    assert register.hit
    assert register.read() == "old"
    writer.finish()
    assert register.read() == "new"


def _writes(trace: list[str]) -> list[str]:
    return [
        step
        for step in trace
        if step.partition(" ")[2] in {"begin", "execute", "commit", "end", "touch"}
    ]


@on_pairs_with_late_checks
def test_commit_that_fails_ends_its_lease(stage: Stage, register: Register) -> None:
    register.warm()

    def work() -> None:
        with transaction.atomic(register.alias):
            register.write()
            Book.objects.using(register.alias).create(author_id=999, title="of nobody")

    writer = stage.actor(work)
    with pytest.raises(IntegrityError):
        writer.finish()
    assert [step for step in writer.trace if step.endswith((" begin", " end"))] == [
        *("before begin", "after begin", "before end", "after end")
    ]
    assert register.fresh() == "old"
    assert register.read() == "old"
    assert register.hit

"""Readers and writers stopped at every step of the protocol: no read is older than a commit.

Each test also runs without the mechanism that it is about, and then finds the stale read: so the
mechanism is needed, and the test would notice its loss.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from django.db import connections

from querycache import stamps as protocol
from querycache.stores.base import StoreOptions
from tests.hooks import HookedStore, hook_transactions
from tests.stages import LossyStore, Register, Stage, staged

FAST = ("sqlite_wal", "memory")
PAIRS = (FAST, ("sqlite_wal", "lmdb"), ("postgresql", "redis"), ("mariadb", "memcached"))

on_every_pair = pytest.mark.parametrize(
    ("database", "store_url"), PAIRS, indirect=True, ids=["-".join(pair) for pair in PAIRS]
)
on_the_fastest = pytest.mark.parametrize(("database", "store_url"), [FAST], indirect=True, ids=[""])
with_and_without = pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    hook_transactions(monkeypatch)


@pytest.fixture
def stage(database: str, store_url: str) -> Iterator[Stage]:
    with staged(database, STORE=store_url) as found:
        yield found


@pytest.fixture
def register(stage: Stage) -> Register:
    return Register(stage)


# -- the mechanisms, taken out -------------------------------------------------------------------


def without_begin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers announce nothing before they commit."""
    monkeypatch.setattr(stage.store, "begin", lambda stamps, token: None)


def without_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers announce nothing at all."""
    without_begin(stage, monkeypatch)
    monkeypatch.setattr(stage.store, "end", lambda stamps, token: None)


def with_stamps_read_last(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers store what they read under the stamps of after their query."""
    cache, keep, usable = stage.cache, stage.keep, stage.cache.usable
    wanted = threading.local()

    def noted(keys: Any, found: Any) -> bytes | None:
        if len(keys) > 1:  # not the look at the schema's stamp alone
            wanted.keys = keys
        return usable(keys, found)

    def late(fingerprint: bytes, joined: bytes, rows: Any) -> None:
        now = stage.store.inner.stamps(wanted.keys)
        keep(fingerprint, b"".join(stamp or b"" for stamp in now), rows)

    monkeypatch.setattr(cache, "usable", noted)
    monkeypatch.setattr(stage, "keep", late)


def with_writing_stamps_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers store under the stamps of writers in flight."""
    monkeypatch.setattr(
        stage.cache, "usable", lambda keys, found: b"".join(stamp or b"" for stamp in found)
    )


# -- readers -------------------------------------------------------------------------------------


@on_every_pair
@with_and_without
def test_result_stored_after_a_later_write_is_never_served(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mechanism:
        with_stamps_read_last(stage, monkeypatch)
    register.warm()
    register.write("older")
    reader = stage.actor(register.read).run_to("before keep")
    register.write()
    assert reader.finish() == "older"
    assert (register.read() == "new") is mechanism


@on_every_pair
def test_stamps_are_read_before_the_query(stage: Stage, register: Register) -> None:
    register.warm()
    register.write()
    reader = stage.actor(register.read)
    assert reader.finish() == "new"
    steps = [step for step in reader.trace if step.startswith("before")]
    assert steps == ["before read", "before query", "before keep", "before write"]


@on_every_pair
def test_write_between_the_stamps_and_the_query(stage: Stage, register: Register) -> None:
    register.warm()
    register.write("older")
    reader = stage.actor(register.read).run_to("before query")
    register.write()
    # It reads the newest rows, and stores them under stamps that are gone.
    assert reader.finish() == "new"
    assert not register.hit
    assert register.read() == "new"
    assert register.hit


@on_every_pair
@with_and_without
def test_write_between_two_reads(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mechanism:
        without_end(stage, monkeypatch)
    register.warm()
    register.write()
    assert (register.read() == "new") is mechanism


@on_every_pair
def test_hit_that_was_looked_up_before_the_write_is_the_only_old_one(
    stage: Stage, register: Register
) -> None:
    register.warm()
    # It has asked the store when the write begins, so it began before the write ended.
    reader = stage.actor(register.read).run_to("after read")
    register.write()
    assert register.read() == "new"
    assert reader.finish() == "old"
    assert register.read() == "new"


# -- begin before commit -------------------------------------------------------------------------


@on_every_pair
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
@with_and_without
def test_read_between_the_commit_and_the_end(
    stage: Stage,
    register: Register,
    atomic: bool,
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not mechanism:
        without_begin(stage, monkeypatch)
    register.warm()
    writer = stage.actor(register.write_atomically if atomic else register.write)
    writer.run_to("after commit" if atomic else "after execute")
    assert register.fresh() == "new"
    assert (register.read() == "new") is mechanism
    writer.finish()
    assert register.read() == "new"


@on_the_fastest
def test_bounded_mode_lags_until_the_end_and_no_longer(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, CONSISTENCY="bounded") as stage:
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write).run_to("before touch")
        assert register.fresh() == "new"
        assert register.read() == "old"
        writer.run_to("after touch")
        assert register.read() == "new"
        writer.finish()
        assert "begin" not in stage.store.calls


@on_the_fastest
def test_bounded_mode_reader_that_stores_late(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, CONSISTENCY="bounded") as stage:
        register = Register(stage)
        register.warm()
        register.write("older")
        reader = stage.actor(register.read).run_to("before write")
        register.write()
        reader.finish()
        assert register.read() == "new"


@on_every_pair
@with_and_without
def test_nothing_is_stored_while_a_write_is_in_flight(
    stage: Stage, register: Register, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.warm()
    if not mechanism:
        with_writing_stamps_used(stage, monkeypatch)
    writer = stage.actor(register.write).run_to("after begin")
    assert register.read() == "old"
    writer.run_to("after execute")
    assert (register.read() == "new") is mechanism
    writer.finish()
    assert register.read() == "new"


# -- what a stamp is -----------------------------------------------------------------------------


@on_every_pair
def test_two_writers_at_once(stage: Stage, register: Register) -> None:
    register.warm()
    first = stage.actor(register.write).run_to("after begin")
    stage.actor(register.other_write).finish()
    assert register.read() == "old"
    first.run_to("after execute")
    assert register.read() == "new"
    first.finish()
    assert register.read() == "new"
    assert register.hit


@on_the_fastest
@with_and_without
def test_each_writer_has_a_lease_of_its_own(database: str, store_url: str, mechanism: bool) -> None:
    def store(options: StoreOptions) -> LossyStore:
        return LossyStore(options, one_lease=not mechanism)

    with staged(database, store) as stage:
        register = Register(stage)
        register.warm()
        first = stage.actor(register.write).run_to("after begin")
        stage.actor(register.other_write).finish()
        # With one lease for both, the end of the second opened the cache to the old row.
        assert register.read() == "old"
        first.run_to("after execute")
        assert (register.read() == "new") is mechanism


@on_the_fastest
@with_and_without
def test_stamp_never_comes_back_with_a_counter_that_was_lost(
    database: str, store_url: str, mechanism: bool
) -> None:
    def store(options: StoreOptions) -> LossyStore:
        return LossyStore(options, nonces=mechanism)

    with staged(database, store) as stage:
        register = Register(stage)
        lossy = stage.store.inner
        assert isinstance(lossy, LossyStore)

        def lose_everything() -> None:
            # Stamps and counter go, entries stay; then the quarantine passes.
            lossy.evict()
            lossy.evict_counter()
            lossy.settle(register.keys)
            lossy.pass_lease()
            assert all(map(protocol.is_settled, lossy.settle(register.keys)))

        lose_everything()
        assert register.read() == "old"
        assert register.hit
        register.write()
        # The server counts as it did before.
        lose_everything()
        assert (register.read() == "new") is mechanism


@on_every_pair
def test_no_two_settled_stamps_are_the_same(stage: Stage, register: Register) -> None:
    register.warm()
    seen: set[bytes | None] = set()
    for count in range(20):
        register.write(f"value {count}")
        stamps = stage.store.inner.stamps(register.keys)
        assert all(map(protocol.is_settled, stamps))
        table = register.keys.index(
            next(key for key, stamp in zip(register.keys, stamps, strict=True) if stamp not in seen)
        )
        assert stamps[table] not in seen
        seen.update(stamps)


@on_every_pair
def test_writer_that_stops_serving_itself_sees_its_own_write(
    stage: Stage, register: Register
) -> None:
    register.warm()

    def work() -> list[str]:
        found = []
        for value in ("a", "b", "c"):
            register.write(value)
            found += [register.read(), register.read()]
        return found

    assert stage.actor(work).finish() == ["a", "a", "b", "b", "c", "c"]


@on_every_pair
def test_many_writers_and_readers_in_every_order_of_two_stops(
    stage: Stage, register: Register
) -> None:
    register.warm()
    value = 0
    for reader_stop in ("after read", "before query", "after query", "before write"):
        for writer_stop in ("before begin", "after begin", "after execute", "after end"):
            register.write(f"start {value}")
            with ExitStack() as cleanup:
                reader = stage.actor(register.read).run_to(reader_stop)
                value += 1
                writer = stage.actor(partial(register.write, f"v{value}"))
                cleanup.callback(writer.release)
                if reader_stop == "after query" and connections[stage.alias].vendor == "sqlite":
                    # The other way about: the writer has begun when the reader queries.
                    reader.run_to("before write")
                writer.run_to(writer_stop)
                assert register.read() == register.fresh()
                reader.finish()
                assert register.read() == register.fresh()
                writer.finish()
                assert register.read() == register.fresh() == f"v{value}"


def test_hooked_store_stops_only_actors(database: str) -> None:
    with staged(database) as stage:
        assert isinstance(stage.store, HookedStore)
        register = Register(stage)
        register.warm()
        reader = stage.actor(register.read).run_to("before read")
        assert register.read() == "old"
        assert reader.finish() == "old"

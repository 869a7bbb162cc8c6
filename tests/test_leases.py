"""Writers that die, freeze or take long, and stores that lose stamps while they write.

As in `test_races`, every mechanism is also taken out, and the stale read then appears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

import querycache
from querycache import stamps as protocol
from querycache.stores.base import StoreError, StoreUnusable
from tests.environment import Environment
from tests.hooks import eventually, hook_transactions
from tests.stages import LossyStore, Register, Stage, put, staged

FAST = ("sqlite_wal", "memory")
PAIRS = (FAST, ("sqlite_wal", "lmdb"), ("postgresql", "redis"), ("mariadb", "memcached"))
LOSSY_PAIRS = PAIRS[2:]

with_and_without = pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])


def on(*pairs: tuple[str, str]) -> Any:
    return pytest.mark.parametrize(
        ("database", "store_url"), pairs, indirect=True, ids=["-".join(pair) for pair in pairs]
    )


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    hook_transactions(monkeypatch)


@pytest.fixture
def lossy(database: str, store_url: str) -> Iterator[Stage]:
    """A store that loses stamps and runs by a clock of its own."""
    with staged(database, LossyStore, STORE=store_url) as stage:
        yield stage


def lossy_store(stage: Stage) -> LossyStore:
    assert isinstance(stage.store.inner, LossyStore)
    return stage.store.inner


def caught_up(register: Register) -> bool:
    """Read rightly, and tell whether the next read is a hit."""
    assert register.read() == register.fresh()
    return register.hit


def cached_again(register: Register) -> bool:
    # A reader asks the store whether leases are over when it sees them for the second time.
    return any(caught_up(register) for _ in range(3))


# -- writers that die ----------------------------------------------------------------------------


@on(*PAIRS)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("committed", [False, True], ids=["before commit", "after commit"])
def test_writer_that_died_leaves_a_lease_that_runs_out(
    database: str, store_url: str, atomic: bool, committed: bool
) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write_atomically if atomic else register.write)
        writer.run_to("before end" if committed else "after begin").kill()
        expected = "new" if committed else "old"
        assert register.read() == register.fresh() == expected
        eventually(lambda: caught_up(register), "the value is cached again")
        assert register.read() == expected


@on(FAST)
def test_lease_of_the_dead_runs_out_by_the_clock_of_the_store(lossy: Stage) -> None:
    register = Register(lossy)
    store = lossy_store(lossy)
    register.warm()
    lossy.actor(register.write).run_to("after begin").kill()
    store.now += store.options.lease - 1
    for _ in range(3):
        assert not caught_up(register)
    store.now += 1
    assert caught_up(register)


@on(FAST)
def test_dead_writer_keeps_no_other_writer_from_the_cache_for_longer(lossy: Stage) -> None:
    register = Register(lossy)
    store = lossy_store(lossy)
    register.warm()
    lossy.actor(register.write).run_to("after begin").kill()
    store.now += store.options.lease // 2
    register.other_write()
    assert not cached_again(register)
    store.now += store.options.lease // 2
    assert cached_again(register)


# -- stamps that are lost ------------------------------------------------------------------------


def reader_finds_it(stage: Stage, register: Register) -> Any:
    first = stage.actor(register.write).run_to("after begin")
    lossy_store(stage).evict()
    assert register.read() == "old"
    return first


def begin_finds_it(stage: Stage, register: Register) -> Any:
    first = stage.actor(register.write).run_to("after begin")
    lossy_store(stage).evict()
    stage.actor(register.other_write).finish()
    return first


def end_finds_it(stage: Stage, register: Register) -> Any:
    first = stage.actor(register.write).run_to("after begin")
    second = stage.actor(register.other_write).run_to("before end")
    lossy_store(stage).evict()
    second.finish()
    return first


def touch_finds_it(stage: Stage, register: Register) -> Any:
    first = stage.actor(register.write).run_to("after begin")
    lossy_store(stage).evict()
    querycache.invalidate("library.Publisher", using=register.alias)
    return first


@on(FAST)
@with_and_without
@pytest.mark.parametrize(
    ("finder", "step"),
    [
        (reader_finds_it, "settle"),
        (begin_finds_it, "begin"),
        (end_finds_it, "end"),
        (touch_finds_it, "touch"),
    ],
)
def test_whoever_finds_a_stamp_lost_waits_for_the_writers_in_flight(
    lossy: Stage,
    finder: Callable[[Stage, Register], Any],
    step: str,
    mechanism: bool,
) -> None:
    store = lossy_store(lossy)
    if not mechanism:
        # The other keys of the query must not wait either, or nothing is ever stored.
        store.careless = frozenset({step})
    register = Register(lossy)
    register.warm()
    everything = [key for key in register.keys if key != _table_key(register)]
    writer = finder(lossy, register)
    for key in everything:
        put(store, key, protocol.settled(9, 9, bytes(16)))
    assert register.read() == "old"
    writer.run_to("after execute")
    assert (register.read() == "new") is mechanism
    writer.finish()
    assert register.read() == "new"


def _table_key(register: Register) -> bytes:
    from querycache.state import transaction_of

    database = transaction_of(connections[register.alias]).database
    return database.stamp_key("library_publisher")


@on(FAST)
def test_quarantine_lasts_as_long_as_a_lease(lossy: Stage) -> None:
    register = Register(lossy)
    store = lossy_store(lossy)
    register.warm()
    store.evict()
    assert not caught_up(register)
    store.now += store.options.lease - 1
    assert not caught_up(register)
    assert not caught_up(register)
    store.now += 1
    assert caught_up(register)


@on(*LOSSY_PAIRS)
def test_stamp_evicted_while_it_is_written(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=2) as stage:
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write).run_to("after begin")
        for key in register.keys:
            put(stage.store, key, None)
        assert register.read() == "old"
        assert not register.hit
        writer.run_to("after execute")
        assert register.read() == "new"
        writer.finish()
        assert register.read() == "new"
        eventually(lambda: caught_up(register), "the value is cached again")


@on(*LOSSY_PAIRS)
def test_store_flushed_while_it_is_written(
    database: str, store_url: str, environment: Environment
) -> None:
    with staged(database, STORE=store_url, LEASE=2) as stage:
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write_atomically).run_to("after begin")
        reader = stage.actor(register.read).run_to("before query")
        if store_url.startswith("redis"):
            environment.redis.run("redis-cli", "-p", str(environment.redis.port), "FLUSHALL")
        else:
            environment.memcached._ask(b"flush_all\r\n")
        assert reader.finish() == "old"
        assert register.read() == "old"
        assert not register.hit
        writer.run_to("after commit")
        assert register.read() == "new"
        writer.finish()
        assert register.read() == "new"
        eventually(lambda: caught_up(register), "the value is cached again")


@on(*LOSSY_PAIRS)
def test_stamp_evicted_between_two_reads_and_a_write(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        for key in register.keys:
            put(stage.store, key, None)
        register.write()
        assert register.read() == "new"
        for key in register.keys:
            put(stage.store, key, None)
        assert register.read() == "new"
        eventually(lambda: caught_up(register), "the value is cached again")


@on(*PAIRS)
def test_entry_that_was_evicted_is_read_again(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url) as stage:
        register = Register(stage)
        register.warm()
        key = querycache.explain(register.rows()).key
        assert key is not None
        stage.store.delete(key.encode())
        assert not register.hit
        assert register.read() == "old"
        assert register.hit


# -- statements that take long -------------------------------------------------------------------


def renewals(stage: Stage) -> int:
    return stage.store.calls.count("begin") - 1


@on(*PAIRS)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
@with_and_without
def test_lease_is_renewed_while_a_statement_runs_on(
    database: str,
    store_url: str,
    atomic: bool,
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        stage.store.calls.clear()
        tried = 0

        def leave(keys: Any, token: bytes) -> None:
            nonlocal tried
            tried += 1

        if not mechanism:
            monkeypatch.setattr(stage.cache.keeper, "_renew", leave)
        writer = stage.actor(register.write_atomically if atomic else register.write)
        writer.run_to("before commit" if atomic else "before execute")
        if mechanism:
            # Each comes a third of the lease after the one before, so a lease has passed.
            eventually(lambda: renewals(stage) >= 8, "the lease is renewed")
            assert register.read() == "old"
            assert not register.hit
        else:
            eventually(lambda: tried and caught_up(register), "the lease runs out")
        writer.run_to("after commit" if atomic else "after execute")
        assert (register.read() == "new") is mechanism
        writer.finish()
        assert register.read() == "new"


@on(FAST)
def test_lease_is_renewed_no_more_after_its_end(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        slow = stage.actor(register.write).run_to("before execute")
        eventually(lambda: renewals(stage) >= 2, "the lease is renewed")
        slow.finish()
        before = stage.store.calls.count("begin")
        # The keeper goes on for others, by which its next rounds can be told.
        other = stage.actor(register.other_write).run_to("before execute")
        eventually(lambda: stage.store.calls.count("begin") >= before + 4, "others are renewed")
        held = stage.store.inner.stamps([_table_key(register)])[0]
        assert len(protocol.leases(held)) == 1
        other.finish()
        assert caught_up(register)


@on(FAST)
@pytest.mark.parametrize("error", [StoreError("no answer"), StoreUnusable("too old")])
def test_renewals_go_on_after_one_has_failed(
    database: str, store_url: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        failed = 0
        renew = stage.cache.keeper._renew

        def sometimes(keys: Any, token: bytes) -> None:
            nonlocal failed
            if failed < 2:
                failed += 1
                raise error
            renew(keys, token)

        monkeypatch.setattr(stage.cache.keeper, "_renew", sometimes)
        stage.store.calls.clear()
        writer = stage.actor(register.write).run_to("before execute")
        eventually(lambda: failed == 2 and renewals(stage) >= 2, "renewals go on")
        writer.finish()
        assert register.read() == "new"


# -- writers that freeze -------------------------------------------------------------------------


@on(FAST)
@pytest.mark.parametrize("durable", [False, True])
def test_writer_that_froze_past_its_lease_invalidates_when_it_ends(
    lossy: Stage, durable: bool
) -> None:
    register = Register(lossy)
    store = lossy_store(lossy)
    if durable:
        store.careless = frozenset({"begin", "end", "touch", "settle"})
    register.warm()
    # Frozen with all its threads, so that nobody renews the lease.
    writer = lossy.actor(register.write).run_to("after begin")
    store.pass_lease()
    assert cached_again(register)
    writer.finish()
    assert register.read() == "new"
    assert register.hit is durable
    store.pass_lease()
    assert cached_again(register)


@on(FAST)
def test_end_of_a_frozen_writer_leaves_the_leases_of_others(lossy: Stage) -> None:
    register = Register(lossy)
    store = lossy_store(lossy)
    register.warm()
    frozen = lossy.actor(register.other_write).run_to("before end")
    store.pass_lease()
    writer = lossy.actor(register.write).run_to("after begin")
    frozen.finish()
    assert register.read() == "old"
    assert not register.hit
    writer.run_to("after execute")
    assert register.read() == "new"
    writer.finish()

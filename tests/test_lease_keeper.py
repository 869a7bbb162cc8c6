"""The keeper of leases: what is renewed when, and what becomes of writes that it cannot cover.

`test_leases` has the races; here time is set by the test, and each mechanism is also taken out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from querycache import leases, stamps
from querycache.exceptions import StoreUnavailable
from querycache.leases import MOST_RENEWALS, Lease, LeaseKeeper
from querycache.stores.base import StoreError
from tests import outages
from tests.hooks import PATIENCE, eventually, hook_transactions
from tests.outages import Faults, errors
from tests.stages import LossyStore, Register, Stage, staged

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])

with_and_without = pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
atomically = pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])


class Clock:
    """The clock by which leases grow old, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "clock", clock)
    return clock


@pytest.fixture
def lossy(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A store that runs by a clock of its own."""
    hook_transactions(monkeypatch)
    with staged(database, LossyStore) as stage:
        yield stage


def pass_lease(stage: Stage, clock: Clock) -> None:
    """Let a lease go by, for the store and for this process."""
    assert isinstance(stage.store.inner, LossyStore)
    stage.store.inner.pass_lease()
    clock.now += stage.cache.config.lease_ms / 1000


def write_of(register: Register, atomic: bool) -> Callable[[], None]:
    return register.write_atomically if atomic else register.write


def cached_again(register: Register) -> bool:
    # A reader asks the store whether leases are over when it sees them for the second time.
    for _ in range(3):
        register.read()
    return register.hit


# -- before the commit ---------------------------------------------------------------------------


@atomically
@pytest.mark.parametrize("share", [0.3, 0.4, 5.0])
def test_lease_that_has_grown_old_is_renewed_before_the_commit(
    lossy: Stage, clock: Clock, atomic: bool, share: float
) -> None:
    """The answer to `begin` was late, or the process stood still after it."""
    register = Register(lossy)
    writer = lossy.actor(write_of(register, atomic)).run_to("after begin")
    clock.now += lossy.cache.config.lease_ms / 1000 * share
    writer.run_to("before commit" if atomic else "before execute")
    assert writer.trace.count("after begin") == (1 if share < 1 / 3 else 2)
    writer.finish()


@atomically
@with_and_without
def test_writer_that_stood_still_before_its_commit_leaves_nothing_stale(
    lossy: Stage, clock: Clock, atomic: bool, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mechanism:
        monkeypatch.setattr(LeaseKeeper, "refresh", lambda self, lease: None)
    register = Register(lossy)
    register.warm()
    writer = lossy.actor(write_of(register, atomic)).run_to("after begin")
    pass_lease(lossy, clock)
    assert cached_again(register)
    writer.run_to("before commit" if atomic else "before execute")
    assert register.hit is not mechanism
    writer.run_to("after commit" if atomic else "after execute")
    assert (register.read() == "new") is mechanism
    writer.finish()
    assert register.read() == "new"


@pytest.mark.parametrize("on_failure", ["raise", "proceed"])
@pytest.mark.parametrize("late", [2, MOST_RENEWALS + 1])
def test_store_that_always_acknowledges_too_late(
    database: str, clock: Clock, on_failure: str, late: int
) -> None:
    with staged(database, ON_STORE_FAILURE=on_failure) as stage:
        register = Register(stage)
        register.warm()
        begin = stage.store.inner.begin
        tokens: list[bytes] = []

        def slow(keys: Sequence[bytes], token: bytes) -> None:
            begin(keys, token)
            tokens.append(token)
            if len(tokens) <= late:
                clock.now += stage.cache.config.lease_ms / 1000 / 2

        stage.store.inner.begin = slow  # type: ignore[method-assign, assignment]
        expected = "new"
        if late == 2 or on_failure == "proceed":
            register.write()
        else:
            with pytest.raises(StoreUnavailable):
                register.write()
            expected = "old"
        assert len(tokens) == min(late, MOST_RENEWALS) + 1
        assert len(set(tokens)) == 1
        assert not stage.cache.keeper._held
        assert register.read() == register.fresh() == expected


# -- the thread ----------------------------------------------------------------------------------


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without threads, as uWSGI makes them, or with no more of them."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "querycache-leases":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.usefixtures("no_threads")
def test_writes_go_on_where_no_thread_can_start(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with staged(database) as stage:
        register = Register(stage)
        register.warm()
        for value in ("newer", "new"):
            register.write(value)
            assert register.read() == value
        assert not stage.cache.keeper._held
    assert [r.message for r in caplog.records if r.name == "querycache.leases"] == [
        "leases are not renewed, since no thread can start: can't start new thread"
    ]


def test_thread_outlives_whatever_a_renewal_raises(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_transactions(monkeypatch)
    with staged(database, LEASE=0.1) as stage:
        register = Register(stage)
        renew = stage.cache.keeper._renew
        raised = 0

        def sometimes(keys: Any, token: bytes) -> None:
            nonlocal raised
            if raised < 2:
                raised += 1
                raise LookupError("a mistake of a store")
            renew(keys, token)

        monkeypatch.setattr(stage.cache.keeper, "_renew", sometimes)
        stage.store.calls.clear()
        writer = stage.actor(register.write).run_to("before execute")
        eventually(lambda: stage.store.calls.count("begin") >= 4, "renewals go on")
        assert raised == 2
        writer.finish()


def test_thread_that_has_ended_is_started_again(database: str) -> None:
    with staged(database) as stage:
        register = Register(stage)
        keeper = stage.cache.keeper
        assert keeper._thread is not None
        keeper.stop()
        keeper._thread.join(PATIENCE)
        assert not keeper._thread.is_alive()
        ended = keeper._thread
        register.write()
        assert keeper._thread is not ended


def test_writes_under_way_are_covered_when_the_settings_change(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_transactions(monkeypatch)
    with staged(database, LEASE=0.1) as stage:
        register = Register(stage)
        writer = stage.actor(register.write).run_to("before execute")
        thread = stage.cache.keeper._thread
        stage.cache.close()
        before = stage.store.calls.count("begin")
        eventually(lambda: stage.store.calls.count("begin") >= before + 4, "it is renewed")
        writer.finish()
        assert thread is not None
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_one_that_fails_keeps_no_other_waiting(clock: Clock, database: str) -> None:
    tried: list[bytes] = []

    def renew(keys: Sequence[bytes], token: bytes) -> None:
        clock.now += 1
        tried.append(token)
        if token == b"a":
            raise StoreError("its node is down")

    keeper = LeaseKeeper(renew, 30)
    held = [Lease([], token) for token in (b"a", b"b", b"c")]
    for lease in held:
        keeper.hold(lease)
    clock.now += 10
    keeper._renew_old()
    assert tried == [b"a", b"b", b"c"]
    clock.now += 10
    keeper._renew_old()
    assert tried[3:] == [b"a", b"b", b"c"]
    # Those that were renewed are young; the one that failed is tried again, each time.
    clock.now += 5
    keeper._renew_old()
    assert tried[6:] == [b"a"]
    clock.now += 5
    keeper._renew_old()
    assert tried[7:] == [b"b", b"c", b"a"]
    for lease in held:
        keeper.release(lease)
    keeper.stop()


# -- processes -----------------------------------------------------------------------------------

EXIT = """
import atexit, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from django.db import connection
from querycache.runtime import runtime
from tests.library.models import Publisher
connection.ensure_connection()
# Past the library, which would start its thread.
connection.connection.execute(
    "CREATE TABLE library_publisher (id integer PRIMARY KEY, name text)"
)
if sys.argv[1] == "hold":
    # The thread of a write that never ends.
    assert runtime.current.cache.begin([b"key"]) is not None
    assert runtime.current.cache.keeper._thread.is_alive()
def write():
    Publisher.objects.create(name="written at the end")
    print(Publisher.objects.get().name)
atexit.register(write)
"""


@pytest.mark.parametrize("first", ["hold", "nothing"])
def test_process_ends_and_may_write_until_it_does(database: str, first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT, first],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "written at the end\n"), done.stderr


@pytest.mark.parametrize("store_url", ["lmdb", "redis"], indirect=True)
def test_forked_child_leaves_its_parents_lease_alone(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url) as stage:
        register = Register(stage)
        keys = register.keys
        lease = stage.cache.begin(keys)
        assert lease is not None
        token = lease.token
        # As if the thread were renewing it at that moment.
        with lease.lock:
            child = os.fork()
            if child == 0:
                signal.alarm(int(PATIENCE))
                try:
                    stage.cache.end(keys, lease)
                finally:
                    os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, "the child waits for a thread that it does not have"
        stamp = stage.store.inner.stamps(keys)[0]
        assert token in stamps.leases(stamp)
        stage.cache.end(keys, lease)
        assert token not in stamps.leases(stage.store.inner.stamps(keys)[0])


# -- outages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_failure", ["proceed", "raise"])
@pytest.mark.parametrize("lapsed", [False, True], ids=["in time", "too late"])
@with_and_without
def test_what_a_lease_that_ran_out_has_let_in_is_owed(
    database: str,
    clock: Clock,
    on_failure: str,
    lapsed: bool,
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The writer's way to the store breaks while its statement runs on; that of others holds."""
    hook_transactions(monkeypatch)
    if not mechanism:
        monkeypatch.setattr(LeaseKeeper, "covers", lambda self, lease: True)
    breaker_clock = outages.Clock(monkeypatch)
    with staged(database, LossyStore, ON_STORE_FAILURE=on_failure) as stage:
        faults = Faults(stage.store.inner)
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write).run_to("before execute")
        if lapsed:
            pass_lease(stage, clock)
            assert cached_again(register)
        faults.only("end")
        writer.finish()
        assert stage.cache.breaker.down
        assert register.read() == "new"
        faults.only()
        breaker_clock.pass_retry()
        stale = lapsed and not mechanism
        assert register.read() == ("old" if stale else "new")
        assert not stage.cache.breaker.down
        assert len(errors(caplog)) == (lapsed and mechanism)


@with_and_without
def test_an_end_that_may_be_lost_is_not_all_that_follows_a_lease_that_ran_out(
    database: str, clock: Clock, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores need not acknowledge an `end`: the lease that it takes off runs out by itself."""
    hook_transactions(monkeypatch)
    if not mechanism:
        monkeypatch.setattr(LeaseKeeper, "covers", lambda self, lease: True)
    with staged(database, LossyStore) as stage:
        register = Register(stage)
        register.warm()
        writer = stage.actor(register.write).run_to("before execute")
        pass_lease(stage, clock)
        assert cached_again(register)
        monkeypatch.setattr(stage.store.inner, "end", lambda keys, token: None)
        writer.finish()
        assert register.read() == ("new" if mechanism else "old")

"""Writes of an outage that only their process remembers (`"proceed"`): told before it serves."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest
from django.db import connections, transaction

import querycache
from querycache.runtime import runtime
from tests.hooks import hook_transactions
from tests.outages import STEPS, Clock, Faults, errors, outages
from tests.stages import Register, Stage, staged

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hook_transactions(monkeypatch)
    return Clock(monkeypatch)


@pytest.fixture
def stage(database: str) -> Iterator[Stage]:
    with staged(database, ON_STORE_FAILURE="proceed") as found:
        yield found


@pytest.fixture
def faults(stage: Stage) -> Faults:
    return Faults(stage.store.inner)


def test_debt_of_a_begin_that_failed(stage: Stage, faults: Faults, clock: Clock) -> None:
    register = Register(stage)
    register.warm()
    faults.only("begin")
    register.write()
    assert stage.cache.breaker.down
    faults.only()
    assert register.read() == "new"
    stage.store.calls.clear()
    clock.pass_retry()
    assert register.read() == "new"
    assert stage.store.calls[:3] == ["touch", "touch", "read"]
    assert register.hit


def test_debt_of_an_invalidation_that_failed(
    stage: Stage, faults: Faults, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Register(stage)
    register.warm()
    with monkeypatch.context() as unseen:
        # As another program would write.
        unseen.setattr(runtime, "current", None)
        register.write()
    assert register.read() == "old"
    faults.only("touch")
    querycache.invalidate("library.Publisher", using=register.alias)
    assert register.read() == "new"
    faults.only()
    assert register.read() == "new"
    clock.pass_retry()
    assert register.read() == "new"
    assert not stage.cache.breaker.down


def test_debt_of_a_bounded_write(database: str, clock: Clock) -> None:
    with staged(database, CONSISTENCY="bounded", ON_STORE_FAILURE="proceed") as stage:
        faults = Faults(stage.store.inner)
        register = Register(stage)
        register.warm()
        faults.only("touch")
        register.write()
        assert register.read() == "new"
        faults.only()
        clock.pass_retry()
        assert register.read() == "new"
        assert not stage.cache.breaker.down


def test_failed_payment_keeps_the_debt_and_says_nothing_more(
    stage: Stage, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(stage)
    register.warm()
    faults.only("begin", "touch")
    register.write("newer")
    for _ in range(3):
        clock.pass_retry()
        stage.store.calls.clear()
        assert register.read() == "newer"
        assert stage.store.calls == ["touch"]
    register.write()
    assert len(errors(caplog)) == 1
    assert len(outages(caplog)) == 1
    faults.only()
    clock.pass_retry()
    assert register.read() == "new"
    assert register.hit
    assert len(outages(caplog)) == 2


def test_write_that_comes_while_debts_are_paid_announces_itself(
    stage: Stage, faults: Faults, clock: Clock
) -> None:
    register = Register(stage)
    register.warm()
    faults.only("begin")
    register.write("newer")
    faults.only()
    clock.pass_retry()
    # The first call only finds out whether the store is back.
    reader = stage.actor(register.read).run_to("after touch").run_to("before touch")
    stage.store.calls.clear()
    register.write()
    assert stage.store.calls == ["begin", "end"]
    # Nothing is served until all is paid, to nobody.
    assert register.read() == "new"
    assert stage.store.calls == ["begin", "end"]
    assert reader.finish() == "new"
    assert register.read() == "new"
    assert register.hit


def test_debt_that_comes_while_others_are_paid_is_paid_before_anything_is_served(
    stage: Stage, faults: Faults, clock: Clock
) -> None:
    register = Register(stage)
    register.warm()
    faults.only("begin")
    register.write("newer")
    # A write under way whose beginning failed…
    writer = stage.actor(register.write).run_to("before execute")
    faults.only("begin")
    clock.pass_retry()
    reader = stage.actor(register.read).run_to("after touch").run_to("after touch")
    # … and that fails to announce its end, in the middle of the payment.
    faults.only("touch")
    writer.finish()
    faults.only()
    stage.store.calls.clear()
    assert reader.finish() == "new"
    assert stage.store.calls[:2] == ["touch", "read"]
    assert register.read() == "new"


def test_one_thread_at_a_time_looks_whether_the_store_is_back(
    stage: Stage, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(stage)
    register.warm()
    faults.only(*STEPS)
    register.read()
    faults.only()
    clock.pass_retry()
    prober = stage.actor(register.read).run_to("before touch")
    stage.store.calls.clear()
    readers = [stage.actor(register.read) for _ in range(3)]
    assert [reader.finish() for reader in readers] == ["old"] * 3
    assert stage.store.calls == []
    assert prober.finish() == "old"
    clock.pass_retry()
    assert register.read() == "old"
    assert len(outages(caplog)) == 2


def test_transaction_that_may_not_commit_is_rolled_back_whole(database: str, clock: Clock) -> None:
    with staged(database, ON_STORE_FAILURE="raise") as stage:
        faults = Faults(stage.store.inner)
        register = Register(stage)
        register.warm()
        ran: list[str] = []

        faults.only("begin")

        def work() -> None:
            with transaction.atomic(database):
                register.write("outer")
                with transaction.atomic(database):
                    register.write("inner")
                    assert register.read() == "inner"
                transaction.on_commit(lambda: ran.append("hook"), using=database)

        with pytest.raises(querycache.StoreUnavailable):
            work()
        assert ran == []
        assert not connections[database].in_atomic_block
        assert register.fresh() == "old"
        faults.only()
        clock.pass_retry()
        register.write_atomically()
        assert register.read() == "new"


# -- forks ---------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> None:
    """Run something in a forked child, which says by its exit status whether it went well."""
    connections.close_all()
    with warnings.catch_warnings():
        # Other threads of this process are at rest, and the child needs nothing that they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - a child must never return into pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
def test_child_that_was_forked_while_debts_are_paid_pays_them_itself(
    database: str, store_url: str, clock: Clock
) -> None:
    with staged(database, STORE=store_url, ON_STORE_FAILURE="proceed") as stage:
        register = Register(stage)
        register.warm()
        faults = Faults(stage.store.inner)
        faults.only("begin")
        register.write()
        faults.only()
        clock.pass_retry()
        payer = stage.actor(register.read).run_to("after touch").run_to("before touch")

        def child() -> None:
            stage.store.calls.clear()
            assert stage.cache.breaker.down
            assert register.read() == "new"
            assert stage.store.calls[:3] == ["touch", "touch", "read"]
            assert not stage.cache.breaker.down
            register.write("of the child")

        in_child(child)
        assert register.read() == "of the child"
        assert payer.finish() == "of the child"
        assert register.read() == "of the child"


@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
def test_child_that_was_forked_in_an_outage_finds_its_end(
    database: str, store_url: str, clock: Clock
) -> None:
    with staged(database, STORE=store_url, ON_STORE_FAILURE="proceed") as stage:
        register = Register(stage)
        register.warm()
        faults = Faults(stage.store.inner)
        faults.only(*STEPS)
        assert register.read() == "old"

        def child() -> None:
            stage.store.calls.clear()
            assert register.read() == "old"
            assert stage.store.calls == []
            faults.only()
            clock.pass_retry()
            assert register.read() == "old"
            assert register.hit

        in_child(child)
        assert stage.cache.breaker.down

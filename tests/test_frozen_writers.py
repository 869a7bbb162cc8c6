"""Writers that are frozen with SIGSTOP past their lease, and what bounds what cannot be seen.

A frozen process renews nothing. Before its commit is sent it can still find out, and does; once the
commit is on its way only the database can help.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from querycache import stamps, transactions
from querycache.leases import LeaseKeeper
from querycache.transactions import Transaction
from querycache.writes import run_alone
from tests.hooks import PATIENCE, eventually
from tests.stages import Register, Stage, staged

pytestmark = [
    pytest.mark.parametrize(
        ("database", "store_url"),
        [("postgresql", "redis"), ("sqlite_wal", "lmdb")],
        indirect=True,
        ids=["postgresql-redis", "sqlite_wal-lmdb"],
    ),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]

Write = Callable[[Register], None]


def in_autocommit(register: Register) -> None:
    register.write()


def in_transaction(register: Register) -> None:
    register.write_atomically()


writes = pytest.mark.parametrize("write", [in_autocommit, in_transaction])


@pytest.fixture
def stage(database: str, store_url: str) -> Iterator[Stage]:
    # Short, since it has to run out for real.
    with staged(database, STORE=store_url, LEASE=0.5) as found:
        # Processes share what is below the hooks.
        vars(found.cache)["store"] = found.store.inner
        yield found


class Writer:
    """A child that writes, stops itself with SIGSTOP where the test says, and tells what it did.

    Args:
        register: what it writes.
        write: how.
        freeze: "after begin", or "before commit": after all that can be looked at was looked at.
    """

    def __init__(self, register: Register, write: Write, freeze: str) -> None:
        self._told, tell = os.pipe()
        connections.close_all()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(int(PATIENCE))
            try:
                self._run(register, write, freeze, tell)
            finally:
                os._exit(1)
        os.close(tell)

    def _run(self, register: Register, write: Write, freeze: str, tell: int) -> None:
        cache = register.stage.cache
        trace: list[str] = []
        begin, begin_ahead, end = cache.store.begin, cache.store.begin_ahead, cache.store.end

        def note_begin() -> None:
            trace.append("begin")
            if freeze == "after begin" and len(trace) == 1:
                os.kill(os.getpid(), signal.SIGSTOP)

        def began(keys: Any, token: bytes) -> None:
            begin(keys, token)
            note_begin()

        def began_ahead(keys: Any, token: bytes) -> Any:
            acknowledged = begin_ahead(keys, token)
            if acknowledged is None:
                return None

            def acknowledge() -> bool:
                found = acknowledged()
                note_begin()
                return found

            return acknowledge

        def ended(keys: Any, token: bytes) -> None:
            end(keys, token)
            trace.append("end")

        def stopping(do: Callable[[], Any]) -> Callable[[], Any]:
            def doing() -> Any:
                if freeze == "before commit" and "stopped" not in trace:
                    trace.append("stopped")
                    os.kill(os.getpid(), signal.SIGSTOP)
                trace.append("commit")
                return do()

            return doing

        vars(cache.store).update(begin=began, begin_ahead=began_ahead, end=ended)
        commit = Transaction.commit

        def running_alone(self: Transaction, tables: Any, do: Any, *rest: Any, **named: Any) -> Any:
            return run_alone(self, tables, stopping(do), *rest, **named)

        def committing(self: Transaction, do: Any) -> Any:
            return commit(self, stopping(do) if self.written else do)

        if write is in_autocommit:
            vars(transactions)["run_alone"] = running_alone
        else:
            Transaction.commit = committing  # type: ignore[method-assign, assignment]
        try:
            write(register)
        except DatabaseError as error:
            trace.append(type(error).__name__)
        os.write(tell, " ".join(trace).encode())
        os._exit(0)

    def frozen(self) -> None:
        """Wait until it has stopped itself."""
        assert os.WIFSTOPPED(os.waitpid(self.pid, os.WUNTRACED)[1])

    def thaw(self) -> list[str]:
        """Let it go on to its end, and return what it did."""
        os.kill(self.pid, signal.SIGCONT)
        assert os.waitpid(self.pid, 0)[1] == 0
        with os.fdopen(self._told, "rb") as told:
            return told.read().decode().split()


@contextmanager
def frozen(register: Register, write: Write, freeze: str) -> Iterator[Writer]:
    """Have a writer that is frozen, and whose lease is over: the value is served again."""
    eventually(lambda: register.read() == "old" and register.hit, "it is cached")
    writer = Writer(register, write, freeze)
    writer.frozen()
    eventually(lambda: register.read() == "old" and register.hit, "the lease has run out")
    yield writer


@writes
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_writer_frozen_before_its_commit_renews_first(
    stage: Stage, write: Write, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mechanism:
        monkeypatch.setattr(LeaseKeeper, "refresh", lambda self, lease: None)
        monkeypatch.setattr(LeaseKeeper, "_renew_old", lambda self: None)
    register = Register(stage)
    with frozen(register, write, "after begin") as writer:
        trace = writer.thaw()
    # The thread may renew it once more, if the machine is slow.
    assert trace[0] == "begin"
    assert trace[-1] == "end"
    assert ("begin" in trace[1 : trace.index("commit")]) is mechanism
    assert register.read() == "new"


@writes
def test_writer_frozen_with_its_commit_on_the_way_leaves_nothing_that_lasts(
    stage: Stage, write: Write
) -> None:
    """The documented limit: between the commit and `end`, old rows. After it, none."""
    register = Register(stage)
    with frozen(register, write, "before commit") as writer:
        trace = writer.thaw()
    assert trace[-1] == "end"
    assert register.read() == "new"
    assert not any(stamps.leases(stamp) for stamp in stage.store.inner.stamps(register.keys)) or (
        not stage.store.inner.durable
    )
    eventually(lambda: register.read() == "new" and register.hit, "it is cached again")


def test_database_that_ends_idle_transactions_bounds_it(
    stage: Stage, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """idle_in_transaction_session_timeout below LEASE: what thaws too late cannot commit."""
    if database != "postgresql":
        pytest.skip("a setting of PostgreSQL")
    register = Register(stage)
    options = {"options": "-c idle_in_transaction_session_timeout=200"}
    monkeypatch.setitem(connections[database].settings_dict, "OPTIONS", options)
    with frozen(register, in_transaction, "before commit") as writer:
        trace = writer.thaw()
    assert trace[-1].endswith("Error"), trace
    assert trace[-2] == "end"
    assert register.fresh() == register.read() == "old"
    with transaction.atomic(database):
        register.write("newer")
    assert register.read() == "newer"

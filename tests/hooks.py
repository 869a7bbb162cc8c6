"""Threads that a test stops and releases at every step of the protocol."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import pytest
from django.db import connections

from querycache.stamps import Clock
from querycache.stores.base import Store, StoreInfo
from querycache.transactions import Transaction

#: Seconds after which a test that waits has failed.
PATIENCE = 60.0


class Killed(BaseException):
    """Ends a thread where it stands, as the end of its process would."""


class Actor:
    """A thread with database connections of its own that stops where a test wants it to.

    Args:
        work: what it does.
        alias: the database whose queries are points to stop at.
    """

    def __init__(self, work: Callable[[], Any], alias: str) -> None:
        self._work = work
        self._alias = alias
        self._condition = threading.Condition()
        self._target: str | None = None
        self._at: str | None = None
        self._over = False
        self._killed = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: The points that it has passed, in order.
        self.trace: list[str] = []

    def run_to(self, point: str) -> Self:
        """Let it run until it stands at a point."""
        self._go(point)
        with self._condition:
            done = self._condition.wait_for(
                lambda: self._over or self._at is not None, timeout=PATIENCE
            )
        assert done, f"the actor hangs after {self.trace}"
        if self._error is not None:
            raise self._error
        assert self._at == point, f"the actor never came to {point!r}: {self.trace}"
        return self

    def finish(self) -> Any:
        """Let it run to its end and return its result."""
        self.release()
        if self._error is not None:
            raise self._error
        return self._result

    def kill(self) -> None:
        """End it where it stands; nothing that it would do reaches the store any more."""
        self._killed = True
        self.release()
        assert isinstance(self._error, Killed), self._error

    def release(self) -> None:
        """Let it run to its end."""
        self._go(None)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"the actor hangs after {self.trace}"

    def pass_by(self, point: str) -> None:
        """Called by the thread itself at every point."""
        if self._killed:
            raise Killed
        self.trace.append(point)
        with self._condition:
            if point != self._target:
                return
            self._target, self._at = None, point
            self._condition.notify_all()
            assert self._condition.wait_for(lambda: self._at is None, timeout=PATIENCE)
        if self._killed:
            raise Killed

    def _go(self, target: str | None) -> None:
        with self._condition:
            self._target, self._at = target, None
            self._condition.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        try:
            # What a new connection says first is no step of anything.
            connections[self._alias].ensure_connection()
            _current.actor = self
            with connections[self._alias].execute_wrapper(_stop_at_queries):
                self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._error = error
        finally:
            _current.actor = None
            connections.close_all()
            with self._condition:
                self._over = True
                self._condition.notify_all()


class _Current(threading.local):
    actor: Actor | None = None


_current = _Current()


def point(name: str) -> None:
    """Stop here if the test wants this thread to."""
    if _current.actor is not None:
        _current.actor.pass_by(name)


def _stop_at_queries(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    point("before query")
    result = execute(sql, params, many, context)
    point("after query")
    return result


class HookedStore(Store):
    """A store at whose every step a test can stop a thread.

    Args:
        inner: the store that does the work.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner.options)
        vars(self).update(durable=inner.durable, remote=inner.remote, tick=inner.tick)
        vars(self).update(begins_ahead=inner.begins_ahead, companions=inner.companions)
        self.inner = inner
        #: Names of the steps that were made, by whatever thread.
        self.calls: list[str] = []

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        point(f"before {name}")
        self.calls.append(name)
        yield
        point(f"after {name}")

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._step("read"):
            return self.inner.read(entry, stamps)

    def flush(self) -> None:
        self.inner.flush()

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        with self._step("stamps"):
            return self.inner.stamps(stamps)

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        with self._step("write"):
            self.inner.write(entry, value, ttl)

    def delete(self, entry: bytes) -> None:
        self.inner.delete(entry)

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        with self._step("begin"):
            self.inner.begin(stamps, token)

    def begin_ahead(self, stamps: Sequence[bytes], token: bytes) -> Callable[[], bool] | None:
        acknowledged = self.inner.begin_ahead(stamps, token)
        if acknowledged is None:
            return None
        point("ahead")

        def acknowledge() -> bool:
            with self._step("begin"):
                return acknowledged()

        return acknowledge

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        with self._step("end"):
            self.inner.end(stamps, token)

    def touch(self, stamps: Sequence[bytes]) -> None:
        with self._step("touch"):
            self.inner.touch(stamps)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        with self._step("settle"):
            return self.inner.settle(stamps)

    def clock(self) -> Clock:
        with self._step("clock"):
            return self.inner.clock()

    def identity(self, proposed: bytes) -> bytes:
        return self.inner.identity(proposed)

    @property
    def place(self) -> str:
        return self.inner.place

    def clear(self) -> None:
        self.inner.clear()

    def info(self) -> StoreInfo:
        return self.inner.info()

    def close(self) -> None:
        self.inner.close()


def hook_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make statements that write, and commits, points where actors can be stopped."""
    run, commit = Transaction.run, Transaction.commit

    def hooked_run(
        self: Transaction, effect: Any, sql: Any, params: Any, orm: bool, execute: Any, *rest: Any
    ) -> Any:
        return run(self, effect, sql, params, orm, lambda: _between("execute", execute), *rest)

    def hooked_commit(self: Transaction, do: Any) -> Any:
        # Turning autocommit on after a commit is one of nothing.
        if not self.written:
            return commit(self, do)
        return commit(self, lambda: _between("commit", do))

    monkeypatch.setattr(Transaction, "run", hooked_run)
    monkeypatch.setattr(Transaction, "commit", hooked_commit)


def _between(name: str, work: Callable[[], Any]) -> Any:
    point(f"before {name}")
    result = work()
    point(f"after {name}")
    return result


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is true and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"never came true: {what}")

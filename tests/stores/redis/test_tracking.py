"""Stamps that Redis tells of: what is known without asking, and when nothing is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from querycache.stores import redis_tracking
from querycache.stores.redis import RedisStore
from querycache.stores.redis_tracking import QUIET, RETRY, SILENT, Tracking
from tests.servers import RedisServer
from tests.stores.calls import OTHER, STAMP, until
from tests.stores.redis.helpers import open_, plain, settled


class Clock:
    """The followers' clock, set by the test.

    Args:
        monkeypatch: puts it in place.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(redis_tracking, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ask(store: RedisStore, *keys: bytes) -> list[bytes | None]:
    """Read stamps as the near cache does, and have them known."""
    follower = store.follow()
    ticket = follower.ticket()
    found = list(store.stamps(keys))
    follower.note(ticket, keys, found)
    return found


def following(server: RedisServer, *keys: bytes) -> tuple[RedisStore, Tracking]:
    store = open_(server)
    settled(store, server, *keys)
    store.follow().ticket()  # connects
    ask(store, *keys)
    return store, store.follow()


def test_what_was_asked_for_is_known(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP, OTHER)
    assert follower.known([STAMP, OTHER]) == store.stamps([STAMP, OTHER])
    assert follower.known([OTHER]) == store.stamps([OTHER])
    assert follower.known([STAMP, b"qc:s:unknown"]) is None


def write(store: RedisStore) -> None:
    token = secrets.token_bytes(16)
    store.begin([STAMP], token)
    store.end([STAMP], token)


CHANGES: dict[str, Callable[[RedisServer, RedisStore], Any]] = {
    "a write": lambda server, other: write(other),
    "a write that has begun": lambda server, other: other.begin([STAMP], b"t" * 16),
    "touched": lambda server, other: other.touch([STAMP]),
    "evicted": lambda server, other: plain(server).delete(STAMP),
    "expired": lambda server, other: plain(server).pexpire(STAMP, 1),
    "flushed": lambda server, other: plain(server).flushall(),
    "another database flushed": lambda server, other: plain(server).flushdb(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_others_is_told(own: RedisServer, clock: Clock, change: str) -> None:
    _, follower = following(own, STAMP, OTHER)
    CHANGES[change](own, open_(own))
    until(lambda: follower.known([STAMP]) is None)
    if "flushed" not in change:
        # What did not change stays known.
        assert follower.known([OTHER]) is not None


def test_own_changes_need_not_be_told(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP)
    before = follower.known([STAMP])
    with paused_messages(follower):
        write(store)
        assert follower.known([STAMP]) is None
    assert ask(store, STAMP) != before


def test_an_answer_that_a_change_has_overtaken_is_not_kept(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP)
    ticket = follower.ticket()
    found = store.stamps([STAMP])
    write(open_(own))
    until(lambda: follower.known([STAMP]) is None)
    follower.note(ticket, [STAMP], found)
    assert follower.known([STAMP]) is None


def test_a_stamp_that_is_being_written_is_not_known(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP)
    open_(own).begin([STAMP], b"t" * 16)
    until(lambda: follower.known([STAMP]) is None)
    ask(store, STAMP)
    assert follower.known([STAMP]) is None


def test_a_server_that_is_gone_is_no_server_that_is_silent(own: RedisServer, clock: Clock) -> None:
    _, follower = following(own, STAMP)
    own.kill()
    until(lambda: follower.known([STAMP]) is None)
    follower.ticket()  # nothing to connect to; raises nothing
    own.start()
    clock.now += RETRY + 0.01
    store = open_(own)
    settled(store, own, STAMP)
    ticket = follower.ticket()
    follower.note(ticket, [STAMP], store.stamps([STAMP]))
    assert follower.known([STAMP]) == store.stamps([STAMP])


def test_after_a_silence_nothing_is_known_until_the_server_answers(
    own: RedisServer, clock: Clock
) -> None:
    store, follower = following(own, STAMP)
    own.pause()
    clock.now += QUIET - 0.01
    assert follower.known([STAMP]) is not None
    clock.now += 0.02
    assert follower.known([STAMP]) is None
    # Not even what is asked for meanwhile.
    follower.note(follower.ticket(), [STAMP], [b"S" + b"0" * 32 + bytes(16)])
    assert follower.known([STAMP]) is None
    own.resume()
    until(lambda: ask(store, STAMP) == follower.known([STAMP]))


def test_what_was_known_before_a_silence_is_known_after_it(own: RedisServer, clock: Clock) -> None:
    _, follower = following(own, STAMP, OTHER)
    before = follower.known([OTHER])
    clock.now += QUIET + 0.01
    assert follower.known([OTHER]) is None
    until(lambda: follower.known([OTHER]) is not None)
    assert follower.known([OTHER]) == before
    write(open_(own))
    until(lambda: follower.known([STAMP]) is None)
    assert follower.known([OTHER]) == before


def test_a_server_that_never_answers_is_lost(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP)
    own.pause()
    clock.now += QUIET + 0.01
    assert follower.known([STAMP]) is None
    clock.now += SILENT + 0.01
    follower.ticket()
    assert follower._connection is None
    own.resume()
    clock.now += RETRY + 0.01
    follower.ticket()
    assert ask(store, STAMP) == follower.known([STAMP])


def test_a_child_leaves_the_connection_to_its_parent(own: RedisServer, clock: Clock) -> None:
    store, follower = following(own, STAMP)
    before = follower.known([STAMP])
    child = os.fork()
    if not child:
        right = follower.known([STAMP]) is None
        os._exit(0 if right and ask(store, STAMP) == [before[0]] else 1)  # type: ignore[index]
    assert os.waitpid(child, 0)[1] == 0
    assert follower.known([STAMP]) == before
    write(open_(own))
    until(lambda: follower.known([STAMP]) is None)


class paused_messages:
    """Have a follower hear nothing."""

    def __init__(self, follower: Tracking) -> None:
        self._follower = follower

    def __enter__(self) -> None:
        self._hear = self._follower._hear
        self._follower._hear = lambda: None  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        self._follower._hear = self._hear  # type: ignore[method-assign]

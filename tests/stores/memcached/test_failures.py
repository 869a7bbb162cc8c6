"""Servers that die, hang, restart, forget or throw things out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError
from tests.servers import MemcachedServer
from tests.stores.memcached.helpers import ENTRY, STAMP, ask, figure, open_, settled, until


def every_call(store: Store) -> list[Callable[[], Any]]:
    token = secrets.token_bytes(16)
    return [
        lambda: store.read(ENTRY, [STAMP]),
        lambda: store.stamps([STAMP]),
        lambda: store.write(ENTRY, b"v", None),
        lambda: store.delete(ENTRY),
        lambda: store.begin([STAMP], token),
        lambda: store.end([STAMP], token),
        lambda: store.touch([STAMP]),
        lambda: store.settle([STAMP]),
        store.clear,
        store.info,
    ]


def test_dead_server(own: MemcachedServer) -> None:
    store = open_(own)
    store.write(ENTRY, b"v", None)
    own.kill()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()


@pytest.mark.parametrize("connected", [True, False])
def test_server_that_hangs(own: MemcachedServer, connected: bool) -> None:
    store, token = open_(own, timeout=0.05), secrets.token_bytes(16)
    if connected:
        store.write(ENTRY, b"v", None)
    own.pause()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()
    own.resume()

    def answers() -> bool:
        try:
            store.info()
        except StoreError:
            return False
        return True

    # Late answers to the calls above must not be taken for those of later calls.
    until(answers)
    store.begin([STAMP], token)
    store.read(ENTRY, [])
    store.write(ENTRY, b"new", None)
    value, stamp = store.read(ENTRY, [STAMP])
    assert value == b"new"
    assert token in protocol.leases(stamp)


def test_restart(own: MemcachedServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    store.write(ENTRY, b"v", None)
    store.begin([STAMP], token)
    own.restart()
    # The connection that rested is gone: no outage.
    assert list(store.read(ENTRY, [STAMP])) == [None, None]
    store.end([STAMP], token)
    assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}
    store.write(ENTRY, b"w", None)
    assert store.read(ENTRY, []) == [b"w"]


def test_idle_connection_that_the_server_closed(start: Callable[..., MemcachedServer]) -> None:
    own = start("-o", "idle_timeout=1")
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)

    def connections() -> int:
        return figure(own, b"curr_connections")

    for call in every_call(store):
        before = connections()
        call()
        until(lambda least=before: connections() < max(least, 3))  # type: ignore[misc]
    store.begin([STAMP], token)
    assert token in protocol.leases(store.stamps([STAMP])[0])


def test_flush_all(own: MemcachedServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    store.begin([STAMP], token)
    ask(own, "flush_all")
    until(lambda: list(store.read(ENTRY, [STAMP])) == [None, None])
    store.end([STAMP], token)
    assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


def test_counter_that_is_lost_does_not_go_back(own: MemcachedServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    last = 0
    for _ in range(3):
        store.touch([STAMP])
        parsed = protocol.parse_settled(store.stamps([STAMP])[0])
        assert parsed is not None
        assert last < parsed.sequence < protocol.MAX_NUMBER
        last = parsed.sequence
        second = figure(own, b"time")
        until(lambda now=second: figure(own, b"time") > now)  # type: ignore[misc]
        ask(own, "delete", b"qc:sequence")


@pytest.mark.parametrize("lost", [b"qc:sequence", b"qc:era"])
def test_a_counter_that_went_back_says_so(own: MemcachedServer, lost: bytes) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    store.touch([STAMP])
    ahead = protocol.MAX_NUMBER // 2
    ask(own, "set", b"qc:sequence", b"%d" % ahead)
    before = store.clock()
    assert before.sequence == ahead
    ask(own, "delete", lost)
    assert store.clock().era == b""
    ask(own, "delete", b"qc:sequence")
    store.touch([STAMP])
    (now,) = store.stamps([STAMP])
    assert now is not None
    parsed = protocol.parse_settled(now)
    assert parsed is not None
    assert parsed.sequence < before.sequence
    assert not protocol.unchanged_since(now, before)
    assert protocol.unchanged_since(now, store.clock())


def test_eviction(start: Callable[..., MemcachedServer]) -> None:
    own = start("-m", "2", "-o", "no_lru_crawler,no_lru_maintainer")
    store, token = open_(own), secrets.token_bytes(16)
    stamps = [b"qc:s:%d" % number for number in range(50)]
    settled(store, own, *stamps)
    store.begin(stamps, token)
    number = 0
    while figure(own, b"evictions") < 100:
        store.write(b"qc:e:%d" % number, os.urandom(60), None)
        number += 1
    # What is left of them, and what is made of the others.
    store.end(stamps, token)
    quarantine, states = {protocol.QUARANTINE}, store.stamps(stamps)
    for state in states:
        # Absent again where the step itself made the server evict.
        if state is not None:
            assert protocol.is_settled(state) or set(protocol.leases(state)) == quarantine
    assert any(states)


def test_generation_that_is_evicted_drops_entries(own: MemcachedServer) -> None:
    """What was cleared must not come back with the loss of the mark that says so."""
    store, other = open_(own), open_(own)
    store.write(ENTRY, b"old", None)
    other.clear()
    ask(own, "delete", b"qc:generation")
    assert store.read(ENTRY, []) == [None]
    store.write(ENTRY, b"new", None)
    assert other.read(ENTRY, []) == [b"new"]

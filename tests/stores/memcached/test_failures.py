"""Servers that die, hang, restart, forget or throw things out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores.base import StoreError
from tests.servers import MemcachedServer
from tests.stores.calls import ENTRY, LONG, OTHER, STAMP, answers, every_call, until
from tests.stores.memcached.helpers import Tap, ask, figure, open_, sequence, settled


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

    # Late answers to the calls above must not be taken for those of later calls.
    until(lambda: answers(store))
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
        now = sequence(store, STAMP)
        assert last < now < protocol.MAX_NUMBER
        last = now
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


def many_leases(count: int, deadline: int) -> bytes:
    return protocol.writing({secrets.token_bytes(16): deadline for _ in range(count)})


def test_one_stamp_of_three_is_refused(start: Callable[..., MemcachedServer]) -> None:
    """The others may have been taken; replies that are left belong to nobody's next question."""
    own = start("-I", "1024", "-o", "slab_chunk_max=512")
    tap, token = Tap(sip=1), secrets.token_bytes(16)
    store = open_(own, tap=tap)
    third = b"qc:s:third"
    settled(store, own, STAMP, OTHER, third)

    def fill() -> None:
        for _ in range(100):
            store.begin([OTHER], secrets.token_bytes(16))

    with pytest.raises(StoreError, match="too large"):
        fill()
    full = ask(own, "get", OTHER)
    with pytest.raises(StoreError, match="too large"):
        store.begin([OTHER, STAMP, third], token)
    # It is the answer to the first of them; two more were on the way.
    assert tap.requests[-1].count(b"cas ") == 3
    assert ask(own, "get", OTHER) == full
    for _ in range(3):
        assert store.stamps([OTHER]) == [full]
    store.begin([STAMP, third], token)
    assert all(set(protocol.leases(stamp)) == {token} for stamp in store.stamps([STAMP, third]))


def test_stamp_that_comes_in_many_pieces(own: MemcachedServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    full = many_leases(protocol.MOST_LEASES - 1, figure(own, b"time") * 1000 + LONG)
    ask(own, "set", STAMP, full)
    store.begin([STAMP, OTHER], token)
    assert set(protocol.leases(store.stamps([STAMP])[0])) == {*protocol.leases(full), token}


def test_stamp_that_is_larger_than_any_of_ours(start: Callable[..., MemcachedServer]) -> None:
    own = start("-I", "4m")
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, OTHER)
    ask(own, "set", STAMP, bytes(3 << 20))
    store.begin([STAMP, OTHER], token)
    held = [set(protocol.leases(stamp)) for stamp in store.stamps([STAMP, OTHER])]
    assert held == [{protocol.QUARANTINE, token}, {token}]


@pytest.mark.parametrize("key", [b"qc:s:" + b"x" * 250, b"qc:s:a b", b"qc:s:a\r\nflush_all"])
def test_key_that_memcached_would_not_take(own: MemcachedServer, key: bytes) -> None:
    tap = Tap()
    store = open_(own, tap=tap)
    for call in (store.touch, store.settle, lambda keys: store.begin(keys, bytes(16))):
        with pytest.raises(StoreError):
            call([STAMP, key])
    assert tap.requests == []


@pytest.mark.parametrize("counter", [b"none", b""])
def test_counter_that_is_no_number(own: MemcachedServer, counter: bytes) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    ask(own, "set", b"qc:sequence", counter)
    store.begin([STAMP], token)
    with pytest.raises(StoreError, match="non-numeric"):
        store.end([STAMP], token)
    assert token in protocol.leases(store.stamps([STAMP])[0])


def test_era_that_is_none_of_ours_is_made_anew(own: MemcachedServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    ask(own, "set", b"qc:era", b"longer than an era is")
    store.touch([STAMP])
    assert protocol.is_settled(store.stamps([STAMP])[0])
    assert len(store.clock().era) == protocol.ERA_BYTES


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

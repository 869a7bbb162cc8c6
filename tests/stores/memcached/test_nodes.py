"""Which node a key lives on, and how long what is there lasts."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores.base import StoreError, StoreOptions
from querycache.stores.memcached import MemcachedStore
from querycache.stores.memcached_wire import node_of
from tests.servers import MemcachedServer
from tests.stores.calls import ENTRY, LONG
from tests.stores.memcached.helpers import ask, figure, open_, settled


def test_keys_do_not_move(start: Callable[..., MemcachedServer]) -> None:
    """A node that is down is an outage of its keys, and they are there when it is back."""
    first, second = start(), start()
    store, token = open_(first, second), secrets.token_bytes(16)
    stamps = [b"qc:s:%d" % number for number in range(40)]
    store.begin(stamps, token)
    homes = {stamp: node_of(store._nodes, stamp).where for stamp in stamps}
    assert set(homes.values()) == {first.address, second.address}
    second.kill()
    for stamp in stamps:
        if homes[stamp] == first.address:
            assert token in protocol.leases(store.stamps([stamp])[0])
            store.touch([stamp])
        else:
            for call in (store.stamps, store.touch, store.settle):
                with pytest.raises(StoreError):
                    call([stamp])
    for stamp in stamps:
        if homes[stamp] == second.address:
            assert ask(first, "get", stamp) is None


def test_node_that_comes_back_empty(start: Callable[..., MemcachedServer]) -> None:
    """Its stamps wait for writers that nobody knows of any more; those of the other node do not."""
    first, second = start(), start()
    options = StoreOptions(lease=LONG, timeout=5.0)
    store = open_store(f"memcached://{first.address},{second.address}", options)
    assert isinstance(store, MemcachedStore)
    stamps = [b"qc:s:%d" % number for number in range(40)]
    homes = {stamp: node_of(store._nodes, stamp).where for stamp in stamps}
    for stamp, home in homes.items():
        settled(store, first if home == first.address else second, stamp)
    token = secrets.token_bytes(16)
    store.begin(stamps, token)
    entries = {stamp: stamp.replace(b":s:", b":e:") for stamp in stamps}
    for entry in entries.values():
        store.write(entry, entry, None)
    second.restart()
    for stamp in stamps:
        there = homes[stamp] == second.address
        kept = node_of(store._nodes, entries[stamp]).where == first.address
        value, found = store.read(entries[stamp], [stamp])
        assert value == (entries[stamp] if kept else None)
        assert (found is None) == there
        store.settle([stamp])
        held = set(protocol.leases(store.stamps([stamp])[0]))
        assert held == ({protocol.QUARANTINE} if there else {token})
        # Nor does the writer whose lease was lost there settle it.
        store.end([stamp], token)
        held = set(protocol.leases(store.stamps([stamp])[0]))
        assert held == ({protocol.QUARANTINE} if there else set())
    store.close()


def test_home_of_a_key_is_fixed(servers: list[MemcachedServer]) -> None:
    """Processes of any version must agree on it."""
    nodes = open_(*servers)._nodes
    found = [nodes.index(node_of(nodes, b"qc:s:%d" % number)) for number in range(12)]
    assert found == [2, 2, 0, 1, 2, 1, 2, 2, 2, 2, 0, 0]


# -- time ------------------------------------------------------------------------------------------


def test_leases_are_never_short(servers: list[MemcachedServer]) -> None:
    """Counted from a second that has begun, they last a whole second longer."""
    store, token = open_(servers[0], prefix="lease"), secrets.token_bytes(16)
    settled(store, servers[0], b"lease:s:x")
    before = figure(servers[0], b"time")
    store.begin([b"lease:s:x"], token)
    deadline = protocol.leases(store.stamps([b"lease:s:x"])[0])[token]
    assert deadline >= before * 1000 + 999 + LONG


@pytest.mark.parametrize(
    ("ttl", "least", "most"),
    [
        (0.2, 0, 1),
        (10, 8, 10),
        (31 * 86400, 31 * 86400 - 5, 31 * 86400),
        (90 * 365 * 86400, -1, -1),
    ],
)
def test_expiry(own: MemcachedServer, ttl: float, least: int, most: int) -> None:
    open_(own).write(ENTRY, b"v", ttl)
    answer = ask(own, "raw_command", b"mg %b t" % ENTRY)
    assert answer.startswith(b"HD t")
    assert least <= int(answer[4:]) <= most

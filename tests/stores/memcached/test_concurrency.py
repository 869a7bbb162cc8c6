"""Races, many stamps and many threads."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from querycache import stamps as protocol
from tests.servers import MemcachedServer
from tests.stores.memcached.helpers import ENTRY, OTHER, STAMP, figure, open_, settled, until


def test_sequence_of_a_lost_race_is_not_used_again(own: MemcachedServer) -> None:
    """A writer that commits between two tries must not be hidden by an older number."""
    store, rival, token = open_(own), open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP, OTHER)
    store.begin([STAMP], token)
    real = store._next_sequence
    taken: list[tuple[int, bytes]] = []

    def slow(client: Any) -> tuple[int, bytes]:
        taken.append(real(client))
        if len(taken) == 1:
            theirs = secrets.token_bytes(16)
            rival.begin([STAMP], theirs)
            rival.end([STAMP], theirs)
            rival.touch([OTHER])
        return taken[-1]

    store._next_sequence = slow  # type: ignore[method-assign]
    store.end([STAMP], token)
    parsed = protocol.parse_settled(store.stamps([STAMP])[0])
    assert parsed is not None
    assert len(taken) == 2
    assert parsed.sequence == taken[1][0] > taken[0][0] + 1


def test_many_stamps_at_once(servers: list[MemcachedServer]) -> None:
    store, token = open_(*servers, prefix="many"), secrets.token_bytes(16)
    many = [b"many:s:%0180d" % number for number in range(500)]
    store.begin(many, token)
    assert all(token in protocol.leases(value) for value in store.stamps(many))
    assert all(token in protocol.leases(value) for value in store.read(ENTRY, many)[1:])


def test_connections_are_as_many_as_threads_at_once(own: MemcachedServer) -> None:
    store = open_(own)
    before = figure(own, b"curr_connections")
    with ThreadPoolExecutor(5) as pool:
        for _ in range(40):
            list(pool.map(lambda _: store.read(ENTRY, [STAMP]), range(10)))
    assert figure(own, b"curr_connections") <= before + 5
    store.close()
    until(lambda: figure(own, b"curr_connections") <= before)

"""Many stamps and many threads."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from querycache import stamps as protocol
from tests.servers import MemcachedServer
from tests.stores.calls import ENTRY, STAMP, until
from tests.stores.memcached.helpers import figure, open_


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

"""What is sent without waiting for the answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from querycache import stamps as protocol
from tests.servers import RedisServer
from tests.stores.redis.helpers import ENTRY, OTHER, STAMP, open_, plain, settled


class TestDeferred:
    def test_everything_arrives_in_order(self, own: RedisServer) -> None:
        store, token = open_(own, defer=True), secrets.token_bytes(16)
        (first,) = settled(store, own, STAMP)
        for number in range(300):
            store.write(ENTRY, b"%d" % number, None)
        assert store.read(ENTRY, []) == [b"299"]
        store.delete(ENTRY)
        assert store.read(ENTRY, []) == [None]
        store.begin([STAMP], token)
        store.end([STAMP], token)
        (second,) = store.stamps([STAMP])
        assert protocol.is_settled(second)
        assert second != first

    def test_close_leaves_nothing_behind(self, own: RedisServer) -> None:
        store, token = open_(own, defer=True), secrets.token_bytes(16)
        settled(store, own, STAMP)
        store.begin([STAMP], token)
        store.write(ENTRY, bytes(500_000), None)
        store.end([STAMP], token)
        store.close()
        with plain(own) as client:
            assert protocol.is_settled(client.get(STAMP))
            assert client.strlen(ENTRY.decode()) == 500_000

    def test_unknown_script_is_sent_again(self, own: RedisServer) -> None:
        store, token = open_(own, defer=True), secrets.token_bytes(16)
        settled(store, own, STAMP)
        store.end([OTHER], token)
        store.begin([STAMP], token)
        with plain(own) as client:
            client.script_flush()
        store.end([STAMP], token)
        assert token in protocol.leases(store.stamps([STAMP])[0])
        assert protocol.is_settled(store.stamps([STAMP])[0])

    def test_refused_entry_harms_nothing(self, start: Callable[..., RedisServer]) -> None:
        own = start(options={"maxmemory": "3mb", "maxmemory-policy": "noeviction"})
        store = open_(own, defer=True)
        for number in range(3000):
            store.write(b"qc:e:%d" % number, bytes(2000), None)
        assert store.read(b"qc:e:0", []) == [bytes(2000)]
        assert store.read(b"qc:e:2999", []) == [None]

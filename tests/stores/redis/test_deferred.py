"""What is sent without waiting for the answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores.base import StoreError
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

    def test_an_error_is_raised_by_what_is_asked_next(self, own: RedisServer) -> None:
        store, token = open_(own, defer=True), secrets.token_bytes(16)
        settled(store, own, STAMP)
        store.end([OTHER], token)
        store.begin([STAMP], token)
        with plain(own) as client:
            client.config_set("maxmemory", 1)
            store.end([STAMP], token)
            with pytest.raises(StoreError, match="maxmemory"):
                store.stamps([STAMP])
            # The link is in step, and the lease stays until it runs out.
            assert token in protocol.leases(store.stamps([STAMP])[0])
            client.config_set("maxmemory", 0)
        store.end([STAMP], token)
        assert protocol.is_settled(store.stamps([STAMP])[0])

    def test_a_begin_sent_ahead_collects_what_came_before(self, own: RedisServer) -> None:
        store, token = open_(own, defer=True), secrets.token_bytes(16)
        settled(store, own, STAMP, OTHER)
        # Scripts are known from now on.
        store.begin([OTHER], token)
        store.end([OTHER], token)
        for number in range(100):
            store.write(ENTRY, b"%d" % number, None)
            acknowledged = store.begin_ahead([STAMP], token)
            assert acknowledged is not None
            # Another link: that one has a reply to come.
            assert store.read(ENTRY, []) == [b"%d" % number]
            assert acknowledged()
            assert token in protocol.leases(store.stamps([STAMP])[0])
            store.end([STAMP], token)
            assert protocol.is_settled(store.stamps([STAMP])[0])

"""What is sent without waiting for the answer."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores.base import StoreError
from tests.servers import RedisServer
from tests.stores.calls import ENTRY, LONG, OTHER, STAMP
from tests.stores.redis.helpers import open_, plain, settled

#: A program that ends a write just before it ends itself, on a server that is slow to answer.
_LAST_WORDS = f"""
import sys, redis
from querycache.stores.base import StoreOptions
from querycache.stores.redis import RedisStore
store = RedisStore.from_url(sys.argv[1], StoreOptions(lease={LONG}, timeout=60.0))
token = b"t" * 16
# It sends no scripts from now on, and waits for none.
store.begin([{OTHER!r}], token)
store.end([{OTHER!r}], token)
store.begin([{STAMP!r}], token)
redis.Redis.from_url(sys.argv[1]).client_pause(2000, all=False)
store.end([{STAMP!r}], token)
"""


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

    def test_process_that_ends_at_once_leaves_nothing_behind(self, own: RedisServer) -> None:
        """The server drops what it has not run yet when its client is gone."""
        settled(open_(own), own, STAMP, OTHER)
        subprocess.run([sys.executable, "-c", _LAST_WORDS, own.url], check=True)
        with plain(own) as client:
            assert protocol.is_settled(client.get(STAMP))

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

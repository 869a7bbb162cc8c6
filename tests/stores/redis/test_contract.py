"""The Redis store keeps the contract, over TCP and over a unix socket."""

from __future__ import annotations

import pytest

from querycache.stores.base import Store, StoreOptions
from querycache.stores.redis import RedisStore
from querycache.testing import NewStore, StoreContract
from tests.servers import RedisServer
from tests.stores.redis.helpers import plain


class TestRedisStore(StoreContract):
    largest = 8 * 1024 * 1024

    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        return server.url

    @pytest.fixture
    def new_store(self, server: RedisServer, url: str) -> NewStore:
        self.planted = server

        def new_store(options: StoreOptions) -> RedisStore:
            # What one handle does another one looks at once; `test_deferred` is about the rest.
            store = RedisStore.from_url(url, options, defer=False)
            # The first connection removes stamps of unknown origin, such as those that are planted.
            store.info()
            return store

        return new_store

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        with plain(self.planted) as client:
            if value is None:
                client.delete(stamp)
            else:
                client.set(stamp, value)


class TestRedisStoreOverUnixSocket(TestRedisStore):
    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        return server.socket_url

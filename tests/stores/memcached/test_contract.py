"""The Memcached store keeps the contract, on one node and on three."""

from __future__ import annotations

import pytest

from querycache.stores.base import Store
from querycache.stores.memcached import MemcachedStore
from querycache.stores.memcached_wire import node_of
from querycache.testing import NewStore, StoreContract
from tests.servers import MemcachedServer
from tests.stores.memcached.helpers import ask, figure


class TestMemcachedStore(StoreContract):
    # The server's item size is 1 MB with the key, its header and the generation.
    largest = 1024 * 1024 - 2048
    nodes = 1

    @pytest.fixture
    def new_store(self, servers: list[MemcachedServer]) -> NewStore:
        self.servers = servers[: self.nodes]
        places = ",".join(server.address for server in self.servers)
        return lambda options: MemcachedStore.from_url(f"memcached://{places}", options)

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        assert isinstance(store, MemcachedStore)
        server = self.servers[store._nodes.index(node_of(store._nodes, stamp))]
        if value is None:
            ask(server, "delete", stamp)
        else:
            ask(server, "set", stamp, value)

    def clock(self, store: Store) -> int:
        # A lease is longer than it was asked for, so it does not show the clock.
        return max(figure(server, b"time") for server in self.servers) * 1000


class TestMemcachedStoreOfThreeNodes(TestMemcachedStore):
    nodes = 3
    one_home = False

    @pytest.fixture(autouse=True)
    def tests_that_compare_times(self, request: pytest.FixtureRequest) -> None:
        # The nodes' clocks do not tick together, so what is made by one is not later than what was
        # made by another before.
        compare = ("test_random_steps", "test_damaged_stamp", "test_lease_of_a_dead_writer")
        self.one_home = request.node.name.startswith(compare)

    def stamp(self, store: Store, name: str) -> bytes:
        assert isinstance(store, MemcachedStore)
        key = super().stamp(store, name)
        while self.one_home and node_of(store._nodes, key) is not store._nodes[1]:
            key += b"x"
        return key

    def clock(self, store: Store) -> int:
        return figure(self.servers[1], b"time") * 1000

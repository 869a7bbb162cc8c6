from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymemcache.client.base import Client

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores.base import Store, StoreError, StoreOptions, StoreUnusable
from querycache.stores.memcached import MemcachedStore
from querycache.stores.memcached_wire import node_of
from querycache.testing import NewStore, StoreContract
from tests.servers import MemcachedServer, Unavailable, require

ENTRY, STAMP, OTHER = b"qc:e:entry", b"qc:s:stamp", b"qc:s:other"
LONG = 600_000


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MemcachedServer]]:
    started: list[MemcachedServer] = []
    try:
        started.extend(MemcachedServer().start() for _ in range(3))
        yield started
    except Unavailable as reason:
        require(reason)
    finally:
        for one in started:
            one.close()


@pytest.fixture
def start() -> Iterator[Callable[..., MemcachedServer]]:
    """Start servers of this test alone, for tests that kill or flush them."""
    started: list[MemcachedServer] = []

    def start(*options: str) -> MemcachedServer:
        try:
            started.append(MemcachedServer(options=options).start())
        except Unavailable as reason:
            require(reason)
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def own(start: Callable[..., MemcachedServer]) -> MemcachedServer:
    return start()


def ask(server: MemcachedServer, command: str, *args: Any) -> Any:
    """Send one command behind the store's back."""
    client = Client(("127.0.0.1", server.port), default_noreply=False)
    try:
        return getattr(client, command)(*args)
    finally:
        client.close()


def figure(server: MemcachedServer, name: bytes) -> int:
    return int(ask(server, "stats")[name])


def open_(*servers: MemcachedServer, timeout: float = 5.0, prefix: str = "qc") -> MemcachedStore:
    places = ",".join(server.address for server in servers)
    options = StoreOptions(prefix=prefix, lease=LONG, timeout=timeout)
    return MemcachedStore.from_url(f"memcached://{places}", options)


def settled(store: Store, server: MemcachedServer, *stamps: bytes) -> list[bytes]:
    for stamp in stamps:
        ask(server, "set", stamp, protocol.settled(0, 0, os.urandom(16)))
    return list(store.settle(stamps))


def until(condition: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < over


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


# -- failures --------------------------------------------------------------------------------------


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


# -- nodes -----------------------------------------------------------------------------------------


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


# -- concurrency -----------------------------------------------------------------------------------


def test_sequence_of_a_lost_race_is_not_used_again(own: MemcachedServer) -> None:
    """A writer that commits between two tries must not be hidden by an older number."""
    store, rival, token = open_(own), open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP, OTHER)
    store.begin([STAMP], token)
    real = store._next_sequence
    taken: list[int] = []

    def slow(client: Any) -> int:
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
    assert parsed.sequence == taken[1] > taken[0] + 1


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


# -- configuration ---------------------------------------------------------------------------------


def test_generation_that_is_evicted_drops_entries(own: MemcachedServer) -> None:
    """What was cleared must not come back with the loss of the mark that says so."""
    store, other = open_(own), open_(own)
    store.write(ENTRY, b"old", None)
    other.clear()
    ask(own, "delete", b"qc:generation")
    assert store.read(ENTRY, []) == [None]
    store.write(ENTRY, b"new", None)
    assert other.read(ENTRY, []) == [b"new"]


def test_url(own: MemcachedServer) -> None:
    store = open_store(own.url, StoreOptions())
    store.write(ENTRY, b"v", None)
    assert store.read(ENTRY, []) == [b"v"]
    assert store.info().name == f"memcached {own.address}"
    assert store.info().limit == 64 * 1024 * 1024


def test_unix_socket(own: MemcachedServer) -> None:
    path = own.folder / "memcached.sock"
    other = MemcachedServer(options=["-s", str(path)])
    other.answers = lambda: bool(other._ask(b"version\r\n", path=path))  # type: ignore[method-assign]
    with other:
        store = open_store(f"memcached://{path}", StoreOptions())
        store.write(ENTRY, b"v", None)
        assert store.read(ENTRY, []) == [b"v"]


@pytest.mark.parametrize(
    "url",
    [
        "memcached://",
        "memcached://a:b",
        "memcached://a:1,,b:1",
        "memcached://a:99999",
        "memcached://user:pw@host:1",
    ],
)
def test_url_that_cannot_be_read(url: str) -> None:
    with pytest.raises(StoreUnusable):
        open_store(url, StoreOptions())


def test_opening_connects_to_nothing() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        open_store(f"memcached://127.0.0.1:{probe.getsockname()[1]}", StoreOptions()).close()

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores import redis_scripts as scripts
from querycache.stores.base import Store, StoreError, StoreOptions, StoreUnusable
from querycache.stores.redis import RedisStore
from querycache.testing import NewStore, StoreContract
from tests.servers import RedisServer, Unavailable, require

ENTRY, STAMP, OTHER = b"qc:e:entry", b"qc:s:stamp", b"qc:s:other"
LONG = 600_000


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    try:
        running = RedisServer().start()
    except Unavailable as reason:
        require(reason)
    with running:
        yield running


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., RedisServer]]:
    """Start servers of this test alone, for tests that kill or flush them."""
    started: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        try:
            started.append(RedisServer(**options).start())
        except Unavailable as reason:
            require(reason)
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def own(start: Callable[..., RedisServer]) -> RedisServer:
    return start()


def open_(
    server: RedisServer, *, lease: int = LONG, defer: bool = False, **more: Any
) -> RedisStore:
    options = StoreOptions(lease=lease, timeout=more.pop("timeout", 5.0))
    return RedisStore.from_url(more.pop("url", server.url), options, defer=defer)


def plain(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def settled(store: Store, server: RedisServer, *stamps: bytes) -> list[bytes]:
    store.info()
    with plain(server) as client:
        for stamp in stamps:
            client.set(stamp, protocol.settled(0, 0, os.urandom(16)))
    found = list(store.settle(stamps))
    assert all(map(protocol.is_settled, found))
    return found


def until(condition: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < over


class TestRedisStore(StoreContract):
    largest = 8 * 1024 * 1024

    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        return server.url

    @pytest.fixture
    def new_store(self, server: RedisServer, url: str) -> NewStore:
        self.server = server

        def new_store(options: StoreOptions) -> RedisStore:
            store = RedisStore.from_url(url, options)
            # The first connection removes stamps of unknown origin, such as those that are planted.
            store.info()
            return store

        return new_store

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        with plain(self.server) as client:
            if value is None:
                client.delete(stamp)
            else:
                client.set(stamp, value)


class TestRedisStoreOverUnixSocket(TestRedisStore):
    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        return server.socket_url


# -- the scripts and the pure functions ------------------------------------------------------------

NOW = 1_795_307_888_123
TOKENS = [bytes(16), b"A" * 16, b"\xff\0" * 8]
DEADLINES = [b"%016d" % number for number in (0, NOW - 1, NOW, NOW + 1, NOW + 5000)]
DEADLINES += [b"%016d" % protocol.MAX_NUMBER, b"0000001795307x88", b" " * 16, b"-000000000000001"]
leases = st.tuples(st.sampled_from(TOKENS), st.sampled_from(DEADLINES)).map(b"".join)
stamps = st.one_of(
    st.none(),
    st.binary(max_size=100),
    st.binary(min_size=16, max_size=16).map(lambda nonce: protocol.settled(7, NOW, nonce)),
    st.lists(leases, max_size=5).map(lambda parts: b"W" + b"".join(parts)),
    st.tuples(st.lists(leases, max_size=3), st.binary(max_size=33)).map(
        lambda parts: b"W" + b"".join(parts[0]) + parts[1]
    ),
    st.binary(min_size=48, max_size=48).map(lambda rest: b"S" + rest),
)
counters = st.sampled_from([None, 0, 5, NOW * 1000 + 455, NOW * 1000 + 456, NOW * 1000 + 10**9])


class TestScripts:
    """The scripts with a clock that the test sets, against `querycache.stamps`."""

    @pytest.mark.parametrize("name", ["begin", "end", "touch", "settle"])
    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        data=st.lists(stamps, min_size=1, max_size=4),
        token=st.sampled_from(TOKENS[1:]),
        counter=counters,
        lease=st.sampled_from([1, 5000, 10**9]),
        nonce=st.binary(min_size=16, max_size=16),
    )
    def test_equal_the_pure_functions(
        self,
        server: RedisServer,
        name: str,
        data: list[bytes | None],
        token: bytes,
        counter: int | None,
        lease: int,
        nonce: bytes,
    ) -> None:
        script = getattr(scripts, name.upper())
        text = script.text.replace(b"redis.call('TIME')", b"{ARGV[4], ARGV[5]}")
        assert text != script.text
        keys = [b"lua:s:%d" % number for number in range(len(data))]
        micros = NOW * 1000 + 456
        with plain(server) as client:
            pipe = client.pipeline()
            pipe.delete(*keys, "lua:sequence")
            for key, value in zip(keys, data, strict=True):
                if value is not None:
                    pipe.set(key, value)
            if counter is not None:
                pipe.set("lua:sequence", b"%016d" % counter)
            arguments = (lease, token, nonce, *divmod(micros, 10**6))
            pipe.eval(text.decode(), len(keys) + 2, *keys, "lua:sequence", "lua:epoch", *arguments)
            pipe.mget(keys)
            pipe.get("lua:sequence")
            *_, answer, found, left = pipe.execute()
        step = protocol.Step(
            now=NOW,
            wall=NOW,
            lease=lease,
            sequence=max(micros, (counter or 0) + 1),
            nonce=nonce,
            durable=False,
        )
        if name in ("begin", "end"):
            expected = [getattr(protocol, name)(value, token, step) for value in data]
        else:
            expected = [getattr(protocol, name)(value, step) for value in data]
        assert found == expected
        if name == "settle":
            assert answer == expected
        before = None if counter is None else b"%016d" % counter
        fresh = any(
            protocol.is_settled(new) and new != old for old, new in zip(data, expected, strict=True)
        )
        assert left == (b"%016d" % step.sequence if fresh else before)

    def test_counter_that_is_damaged(self, server: RedisServer) -> None:
        store = open_(server)
        (first,) = settled(store, server, STAMP)
        for damage in ("", "x", "-1", "1e300", "9" * 30, "nan", "0x10", "\0"):
            with plain(server) as client:
                client.set("qc:sequence", damage)
            store.touch([STAMP])
            (second,) = store.settle([STAMP])
            old, new = protocol.parse_settled(first), protocol.parse_settled(second)
            assert old is not None
            assert new is not None
            assert old.sequence < new.sequence < protocol.MAX_NUMBER
            first = second

    def test_more_stamps_than_one_call_takes(self, server: RedisServer) -> None:
        store, token = open_(server), secrets.token_bytes(16)
        many = [b"qc:s:many%d" % number for number in range(2 * scripts.MOST_KEYS + 3)]
        store.begin(many, token)
        assert all(token in protocol.leases(value) for value in store.stamps(many))
        store.end(many, token)
        assert not any(token in protocol.leases(value) for value in store.stamps(many))
        assert list(store.settle(many)) == list(store.stamps(many))
        store.touch(many)

    def test_unknown_script_is_sent_whole(self, own: RedisServer) -> None:
        store, token = open_(own), secrets.token_bytes(16)
        settled(store, own, STAMP)
        for _ in range(2):
            with plain(own) as client:
                client.script_flush()
            store.begin([STAMP], token)
            assert token in protocol.leases(store.stamps([STAMP])[0])
            store.end([STAMP], token)
            assert protocol.is_settled(store.stamps([STAMP])[0])
        with plain(own) as client:
            assert client.script_exists(
                *(getattr(scripts, name).digest.decode() for name in ("BEGIN", "END"))
            ) == [True, True]

    def test_foreign_value_under_a_stamp_is_mended(self, own: RedisServer) -> None:
        store = open_(own)
        store.info()
        with plain(own) as client:
            client.rpush(STAMP.decode(), "x")
        assert list(store.stamps([STAMP])) == [None]
        store.settle([STAMP])
        assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


# -- commands on the wire --------------------------------------------------------------------------


def commands_of(server: RedisServer, work: Callable[[], Any]) -> list[str]:
    """Return the names of the commands that clients send while `work` runs."""
    with plain(server) as client:
        client.config_resetstat()
        work()
        stats = client.info("commandstats")
    return sorted(
        name.removeprefix("cmdstat_")
        for name, figures in stats.items()
        for _ in range(figures["calls"])
        if name not in ("cmdstat_info", "cmdstat_config|resetstat")
    )


def test_read_is_one_plain_mget(own: RedisServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    assert commands_of(own, lambda: store.read(ENTRY, [STAMP, OTHER])) == ["mget"]
    assert commands_of(own, lambda: store.stamps([STAMP, OTHER])) == ["mget"]


def test_a_step_is_one_call(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP, OTHER)
    store.begin([STAMP], token)
    sent = commands_of(own, lambda: store.begin([STAMP, OTHER], token))
    assert sent.count("evalsha") == 1
    assert set(sent) <= {"evalsha", "time", "mget", "set"}


def test_settling_what_is_settled_writes_nothing(own: RedisServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    assert commands_of(own, lambda: store.settle([STAMP])) == ["evalsha", "mget", "time"]


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


def test_dead_server(own: RedisServer) -> None:
    store = open_(own)
    store.info()
    own.kill()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()


def test_server_that_never_was() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
        for call in every_call(RedisStore.from_url(url, StoreOptions())):
            with pytest.raises(StoreError):
                call()


@pytest.mark.parametrize("connected", [True, False])
def test_server_that_hangs(own: RedisServer, connected: bool) -> None:
    store = open_(own, timeout=0.05)
    token = secrets.token_bytes(16)
    if connected:
        store.read(ENTRY, [STAMP])
    own.pause()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()
    own.resume()
    # Late replies of the calls above must not be taken for those of later calls.
    until(lambda: _answers(store))
    store.begin([STAMP], token)
    store.write(ENTRY, b"new", None)
    value, stamp = store.read(ENTRY, [STAMP])
    assert value == b"new"
    assert token in protocol.leases(stamp)


def _answers(store: Store) -> bool:
    try:
        store.info()
    except StoreError:
        return False
    return True


def test_restart_with_nothing(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    store.write(ENTRY, b"v", None)
    store.begin([STAMP], token)
    own.restart()
    # The connection that rested is gone: no outage.
    assert list(store.read(ENTRY, [STAMP])) == [None, None]
    store.end([STAMP], token)
    assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


def test_restart_with_old_data(start: Callable[..., RedisServer]) -> None:
    """A dump brings stamps back under which entries of its time would be served."""
    own = start(options={"dbfilename": "dump.rdb", "save": "900 1"})
    store, token = open_(own), secrets.token_bytes(16)
    (old,) = settled(store, own, STAMP)
    store.write(ENTRY, b"of the old stamp", None)
    with plain(own) as client:
        client.save()
    store.begin([STAMP], token)
    store.end([STAMP], token)
    (new,) = store.stamps([STAMP])
    assert new != old
    own.kill()
    own.start()
    with plain(own) as client:
        assert client.get(STAMP) == old
        client.set("other:s:stamp", "kept")
        client.set("qc:e:stamp", "kept")
    late = open_(own)
    assert late.stamps([STAMP]) == [None]
    assert store.stamps([STAMP]) == [None]
    with plain(own) as client:
        assert client.mget("other:s:stamp", "qc:e:stamp") == [b"kept", b"kept"]
    # Only once: other connections to the same server leave the stamps alone.
    (now,) = settled(store, own, STAMP)
    assert open_(own).stamps([STAMP]) == [now]


def test_promoted_replica(start: Callable[..., RedisServer]) -> None:
    primary, replica = start(options={"repl-diskless-sync-delay": "0"}), start()
    store = open_(primary)
    (old,) = settled(store, primary, STAMP)
    with plain(replica) as client:
        client.replicaof("127.0.0.1", str(primary.port))
        until(lambda: client.get(STAMP) == old)
        with pytest.raises(StoreError, match="replica"):
            open_(replica).stamps([STAMP])
        client.replicaof("NO", "ONE")
        promoted = open_(replica)
        until(lambda: _answers(promoted))
        assert promoted.stamps([STAMP]) == [None]


def test_primary_that_became_a_replica(start: Callable[..., RedisServer]) -> None:
    """Writers notice at once, since the server refuses them; then nobody reads from it either."""
    first, second = start(), start()
    store = open_(first)
    settled(store, first, STAMP)
    with plain(first) as client:
        client.replicaof("127.0.0.1", str(second.port))
    with pytest.raises(StoreError):
        store.begin([STAMP], secrets.token_bytes(16))
    with pytest.raises(StoreError, match="replica"):
        store.stamps([STAMP])


def test_flushall(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    (first,) = settled(store, own, STAMP)
    store.begin([STAMP], token)
    with plain(own) as client:
        client.flushall()
    assert list(store.read(ENTRY, [STAMP])) == [None, None]
    store.end([STAMP], token)
    (state,) = store.stamps([STAMP])
    assert set(protocol.leases(state)) == {protocol.QUARANTINE}
    # The counter went with everything else and does not go back.
    (again,) = settled(store, own, OTHER)
    store.touch([OTHER])
    old, new = protocol.parse_settled(first), protocol.parse_settled(store.stamps([OTHER])[0])
    assert old is not None
    assert new is not None
    assert new.sequence > old.sequence
    assert again != first


def test_eviction(start: Callable[..., RedisServer]) -> None:
    """Entries and stamps that the server threw out are absent, nothing else happens."""
    own = start(options={"maxmemory": "3mb", "maxmemory-policy": "allkeys-lru"})
    store, token = open_(own), secrets.token_bytes(16)
    stamps = [b"qc:s:%d" % number for number in range(50)]
    settled(store, own, *stamps)
    store.begin(stamps, token)
    with plain(own) as client:
        number = 0
        while not client.info("stats")["evicted_keys"] > 200:
            store.write(b"qc:e:%d" % number, os.urandom(2000), None)
            number += 1
    assert None in store.stamps(stamps)
    store.end(stamps, token)
    quarantine, states = {protocol.QUARANTINE}, store.stamps(stamps)
    for state in states:
        # Absent again where the step itself made the server evict.
        if state is not None:
            assert protocol.is_settled(state) or set(protocol.leases(state)) == quarantine
    assert any(states)


def test_no_memory_left(start: Callable[..., RedisServer]) -> None:
    own = start(options={"maxmemory": "3mb", "maxmemory-policy": "noeviction"})
    store = open_(own)
    for number in range(3000):
        # Never an exception: an entry may be dropped at once.
        store.write(b"qc:e:%d" % number, bytes(2000), None)
    assert store.read(b"qc:e:0", []) == [bytes(2000)]
    assert store.read(b"qc:e:2999", []) == [None]
    with pytest.raises(StoreError):
        store.begin([STAMP], secrets.token_bytes(16))
    store.clear()
    store.begin([STAMP], secrets.token_bytes(16))


def test_idle_connection_that_the_server_closed(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    for call in every_call(store):
        with plain(own) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        call()
    with plain(own) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    store.begin([STAMP], token)
    assert token in protocol.leases(store.stamps([STAMP])[0])


def test_reply_that_was_not_read_is_not_taken_for_another(
    own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception between sending and reading, such as a request's time limit."""
    store = open_(own)
    store.write(ENTRY, b"v", None)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(redis.Connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.stamps([STAMP])
    assert store.read(ENTRY, []) == [b"v"]


# -- what is sent without waiting ------------------------------------------------------------------


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


# -- configuration ---------------------------------------------------------------------------------


def test_password(start: Callable[..., RedisServer]) -> None:
    own = start(password="secret word")
    url = f"redis://:secret%20word@127.0.0.1:{own.port}/3"
    store = open_(own, url=url)
    store.write(ENTRY, b"v", None)
    assert store.read(ENTRY, []) == [b"v"]
    assert "secret" not in repr(store.info())
    with redis.Redis(port=own.port, db=3, password="secret word") as client:
        assert client.get(ENTRY) == b"v"
    wrong = open_(own, url=f"redis://:guess@127.0.0.1:{own.port}/3")
    with pytest.raises(StoreError) as caught:
        wrong.stamps([STAMP])
    assert "guess" not in str(caught.value)


def test_client_of_the_project(own: RedisServer) -> None:
    """Its server, database and password; not its decoding, nor its patience."""
    with redis.Redis(
        port=own.port, db=5, decode_responses=True, socket_timeout=600, health_check_interval=1
    ) as client:
        store = RedisStore.from_client(client, StoreOptions(timeout=0.05))
        store.write(ENTRY, b"\xff\0", None)
        assert store.read(ENTRY, []) == [b"\xff\0"]
        assert client.exists(ENTRY.decode())
        own.pause()
        with pytest.raises(StoreError):
            store.stamps([STAMP])
        own.resume()


@pytest.mark.parametrize(
    "url", ["redis+cluster://a", "redis+sentinel://a/b", "redis://h:port", "redis://h?db=x"]
)
def test_url_that_cannot_be_read(url: str) -> None:
    with pytest.raises(StoreUnusable):
        open_store(url, StoreOptions())


def test_client_that_leads_to_no_server() -> None:
    with pytest.raises(StoreUnusable):
        RedisStore.from_client(object(), StoreOptions())
    sentinel = redis.Sentinel([("127.0.0.1", 1)]).master_for("x")
    with pytest.raises(StoreUnusable):
        RedisStore.from_client(sentinel, StoreOptions())


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_schemes(own: RedisServer, scheme: str) -> None:
    store = open_store(own.url.replace("redis", scheme), StoreOptions())
    store.write(ENTRY, b"v", None)
    assert store.read(ENTRY, []) == [b"v"]


def test_opening_connects_to_nothing() -> None:
    open_store("redis://127.0.0.1:1/0", StoreOptions()).close()


def test_prefix_with_pattern_characters(own: RedisServer) -> None:
    plain_store = RedisStore.from_url(own.url, StoreOptions(prefix="ab"))
    odd = RedisStore.from_url(own.url, StoreOptions(prefix="a[b]*?^\\"))
    plain_store.write(b"ab:e:x", b"v", None)
    odd.write(b"a[b]*?^\\:e:x", b"v", None)
    odd.clear()
    assert odd.read(b"a[b]*?^\\:e:x", []) == [None]
    assert plain_store.read(b"ab:e:x", []) == [b"v"]


def test_server_that_hides_its_identity(own: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with plain(own) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-info")
    store = open_(own, url=f"redis://app:pw@127.0.0.1:{own.port}")
    with caplog.at_level(logging.WARNING, "querycache.redis"):
        assert store.stamps([STAMP]) == [None]
    assert "does not tell who it is" in caplog.text
    with pytest.raises(StoreError):
        store.info()


def test_server_that_is_too_old() -> None:
    """Nothing that old can be installed here, so a socket speaks for it."""
    replies = {
        b"INFO": b"# Server\r\nredis_version:5.0.14\r\nrun_id:x\r\n",
        b"SELECT": None,
        b"CLIENT": None,
    }

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as peer:
            while data := peer.recv(4096):
                for name in re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)", data):
                    text = replies[name]
                    peer.sendall(
                        b"+OK\r\n" if text is None else b"$%d\r\n%b\r\n" % (len(text), text)
                    )

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve, listener)
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(StoreUnusable, match=r"5\.0\.14"):
            RedisStore.from_url(url, StoreOptions()).stamps([STAMP])
        serving.result(20)


def test_info(start: Callable[..., RedisServer]) -> None:
    own = start(options={"maxmemory": "50mb", "maxmemory-policy": "allkeys-lfu"})
    info = open_(own).info()
    assert info.name == f"redis 127.0.0.1:{own.port}/0"
    assert info.limit == 50 * 1024 * 1024
    assert info.used is not None
    assert 0 < info.used < info.limit
    assert info.details["maxmemory_policy"] == "allkeys-lfu"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", info.version)


def test_connections_are_as_many_as_threads_at_once(own: RedisServer) -> None:
    store, barrier = open_(own), threading.Barrier(5)

    def work(_: int) -> None:
        for _ in range(50):
            barrier.wait(20)
            store.read(ENTRY, [STAMP])

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    with plain(own) as client:
        assert len(client.client_list(_type="normal")) <= 5 + 1
    store.close()
    with plain(own) as client:
        until(lambda: len(client.client_list(_type="normal")) == 1)

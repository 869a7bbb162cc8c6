"""URLs, clients, servers and connections."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from querycache.stores import open_store
from querycache.stores.base import StoreError, StoreOptions, StoreUnusable
from querycache.stores.redis import RedisStore
from tests.servers import RedisServer
from tests.servers.programs import unvisited
from tests.stores.calls import ENTRY, STAMP, until
from tests.stores.redis.helpers import open_, plain


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
        store.close()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://h:port", "cannot be read"),
        ("redis://h?db=x", "cannot be read"),
        ("redis://h?nope=1", "a parameter that Connection of redis-py does not take"),
        ("redis://h?timeout=20", "is QUERYCACHE\\['TIMEOUT'\\] or socket_timeout"),
        ("redis://h?ssl_ca_certs=/x", "ssl_ need rediss://"),
        ("redis+cluster://h?nope=1", "a parameter that"),
        ("redis+sentinel://h/s?nope=1", "a parameter that"),
        ("redis+sentinel://h", "has the form redis\\+sentinel://"),
        ("redis+sentinel://h/service/x", "has the form"),
        ("redis+sentinel:///service", "a place in the store's URL is no host"),
        ("redis+sentinel://h:port/service", "a place in the store's URL is no host"),
        ("redis+sentinel://h/s?sentinel_pasword=x", "'sentinel_pasword'.*sentinel_password"),
        ("redis+cluster://h,/", "a place in the store's URL is no host"),
        ("redis+cluster://h:70000", "a place in the store's URL is no host"),
        ("redis+cluster://h/1", "no databases"),
    ],
)
def test_url_that_cannot_be_read(url: str, complaint: str) -> None:
    with pytest.raises(StoreUnusable, match=complaint):
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
    store.close()


def test_opening_connects_to_nothing() -> None:
    with unvisited() as port:
        open_store(f"redis://127.0.0.1:{port}/0", StoreOptions()).close()


def test_prefix_with_pattern_characters(own: RedisServer) -> None:
    plain_store = RedisStore.from_url(own.url, StoreOptions(prefix="ab"))
    odd = RedisStore.from_url(own.url, StoreOptions(prefix="a[b]*?^\\"))
    plain_store.write(b"ab:e:x", b"v", None)
    odd.write(b"a[b]*?^\\:e:x", b"v", None)
    odd.clear()
    assert odd.read(b"a[b]*?^\\:e:x", []) == [None]
    assert plain_store.read(b"ab:e:x", []) == [b"v"]
    odd.close()
    plain_store.close()


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
        b"MGET": None,
        b"TIME": None,
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

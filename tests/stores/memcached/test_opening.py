"""The URLs that it is opened with."""

from __future__ import annotations

import secrets
import socket
import ssl
from pathlib import Path

import pytest

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores.base import StoreOptions, StoreUnusable
from querycache.stores.memcached import MemcachedStore
from tests.servers import Certificates, MemcachedServer, required
from tests.servers.programs import unvisited
from tests.stores.calls import ENTRY, STAMP


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


def test_tls(tmp_path: Path) -> None:
    """Also for what is sent and read together."""
    with required():
        files = Certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(files.ca))
    pair = f"ssl_chain_cert={files.certificate},ssl_key={files.key}"
    server = MemcachedServer(options=["-Z", "-o", pair])

    def answers() -> bool:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        return True

    server.answers = answers  # type: ignore[method-assign]
    token = secrets.token_bytes(16)
    with server:
        places, options = [("127.0.0.1", server.port)], StoreOptions(timeout=5.0)
        store = MemcachedStore(places, options, extra={"tls_context": context})
        store.begin([STAMP], token)
        assert token in protocol.leases(store.stamps([STAMP])[0])
        store.end([STAMP], token)
        assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


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
    with unvisited() as port:
        open_store(f"memcached://127.0.0.1:{port}", StoreOptions()).close()

"""The URLs that it is opened with."""

from __future__ import annotations

import pytest

from querycache.stores import open_store
from querycache.stores.base import StoreOptions, StoreUnusable
from tests.servers import MemcachedServer
from tests.servers.programs import unvisited
from tests.stores.memcached.helpers import ENTRY


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
    with unvisited() as port:
        open_store(f"memcached://127.0.0.1:{port}", StoreOptions()).close()

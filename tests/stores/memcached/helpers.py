"""What the tests of the Memcached store share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from pymemcache.client.base import Client

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreOptions
from querycache.stores.memcached import MemcachedStore
from tests.servers import MemcachedServer

ENTRY, STAMP, OTHER = b"qc:e:entry", b"qc:s:stamp", b"qc:s:other"
LONG = 600_000


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

"""What the tests of the Redis store share."""

from __future__ import annotations

import os
from typing import Any

import redis

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError, StoreOptions
from querycache.stores.redis import RedisStore
from querycache.stores.redis_links import TRUSTED
from tests.servers import RedisServer
from tests.servers.redis_groups import client
from tests.stores.calls import LONG, STAMP

#: The stores of this test, which are closed after it.
opened: list[RedisStore] = []


def open_(
    server: RedisServer, *, lease: int = LONG, defer: bool = False, **more: Any
) -> RedisStore:
    options = StoreOptions(lease=lease, timeout=more.pop("timeout", 5.0))
    opened.append(RedisStore.from_url(more.pop("url", server.url), options, defer=defer))
    return opened[-1]


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


def announced(store: Store, token: bytes) -> bool:
    try:
        store.begin([STAMP], token)
    except StoreError:
        return False
    return True


def fenced(promoted: RedisServer, epoch: bytes) -> None:
    """A write was announced on a new primary: nobody trusts the former one any more by then."""
    with client(promoted) as admin:
        _, _, since = admin.get(epoch).rpartition(b"@")
        seconds, micros = admin.time()
    assert int(since) > 0
    assert seconds * 1000 + micros // 1000 - int(since) >= TRUSTED * 1000

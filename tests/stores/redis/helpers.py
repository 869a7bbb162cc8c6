"""What the tests of the Redis store share."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import redis

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError, StoreOptions
from querycache.stores.redis import RedisStore
from querycache.stores.redis_links import TRUSTED
from tests.servers import RedisServer
from tests.servers.redis_groups import client

ENTRY, STAMP, OTHER = b"qc:e:entry", b"qc:s:stamp", b"qc:s:other"
LONG = 600_000

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


def until(condition: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < over


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


def answers(store: Store) -> bool:
    try:
        store.info()
    except StoreError:
        return False
    return True


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

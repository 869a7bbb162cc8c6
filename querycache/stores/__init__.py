"""Stores: where entries and stamps are kept, opened by URL."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, cast

from querycache.stores.base import StoreUnusable
from querycache.stores.urls import parse_size

if TYPE_CHECKING:
    from querycache.stores.base import Store, StoreOptions

__all__ = ["SCHEMES", "open_store", "parse_size"]

#: The scheme of a URL → module and class; imported late, since each needs another library.
SCHEMES = {
    "memory": ("memory", "MemoryStore"),
    "lmdb": ("lmdb", "LmdbStore"),
    "redis": ("redis", "RedisStore"),
    "rediss": ("redis", "RedisStore"),
    "unix": ("redis", "RedisStore"),
    "valkey": ("redis", "RedisStore"),
    "valkeys": ("redis", "RedisStore"),
    "redis+sentinel": ("redis_sentinel", "SentinelStore"),
    "rediss+sentinel": ("redis_sentinel", "SentinelStore"),
    "valkey+sentinel": ("redis_sentinel", "SentinelStore"),
    "valkeys+sentinel": ("redis_sentinel", "SentinelStore"),
    "redis+cluster": ("redis_cluster", "ClusterStore"),
    "rediss+cluster": ("redis_cluster", "ClusterStore"),
    "valkey+cluster": ("redis_cluster", "ClusterStore"),
    "valkeys+cluster": ("redis_cluster", "ClusterStore"),
    "memcached": ("memcached", "MemcachedStore"),
}


def open_store(url: str, options: StoreOptions) -> Store:
    """Return the store that a URL names; nothing is connected before its first call.

    Args:
        url: such as ``memory://?size=64mb``, ``lmdb:///path?size=256mb``,
            ``redis://host:6379/0`` or ``memcached://a:11211,b:11211``.
        options: what every store is opened with.

    Raises:
        StoreUnusable: the scheme is unknown, the URL is malformed or a library is missing.
    """
    scheme, separator, _ = url.partition("://")
    known = SCHEMES.get(scheme.lower())
    if not separator or known is None:
        # The rest of the URL may hold a password, and what stands for a scheme may be such a rest.
        shown = scheme if separator and re.fullmatch(r"[A-Za-z0-9+.-]{1,20}", scheme) else "?"
        raise StoreUnusable(
            f"unknown store {shown!r}; a store's URL begins "
            f"with one of {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    module, name = known
    store = getattr(import_module(f"querycache.stores.{module}"), name)
    return cast("Store", store.from_url(url, options))

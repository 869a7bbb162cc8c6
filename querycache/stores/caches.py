"""From an alias of Django's ``CACHES`` to a store on the same server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.cache import CacheHandler, InvalidCacheBackendError
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from querycache.stores.base import Store, StoreOptions, StoreUnusable
from querycache.stores.urls import split

_DUMMY = "django.core.cache.backends.dummy.DummyCache"
_DJANGO_REDIS = "django.core.cache.backends.redis.RedisCache"
_OTHER_REDIS = frozenset({"django_redis.cache.RedisCache", "django_valkey.cache.ValkeyCache"})
_VALKEY_CLUSTER = "django_valkey.cluster_cache.cache.ClusterValkeyCache"
_MEMCACHED = "django.core.cache.backends.memcached.BaseMemcachedCache"

# What backends raise for settings that lead nowhere.
_UNREADABLE = (ImportError, ImproperlyConfigured, InvalidCacheBackendError, NotImplementedError)

# Options of pymemcache that say how a server is reached; the others concern Django's values.
_MEMCACHED_OPTIONS = ("no_delay", "socket_keepalive", "tls_context")


def store_for_cache(
    alias: str,
    settings_caches: Mapping[str, Mapping[str, Any]],
    options: StoreOptions,
    *,
    default_lmdb: Callable[[], Store],
) -> Store | None:
    """Return a store on the server that a cache alias uses; None when the alias caches nothing.

    Args:
        alias: the name in ``CACHES``.
        settings_caches: the setting ``CACHES``.
        options: what every store is opened with.
        default_lmdb: makes the store for a backend whose place is no server.

    Raises:
        StoreUnusable: there is no such alias, its backend cannot be imported, or it leads to
            servers that stamps cannot be kept on. A store of this machine alone would not do then:
            the project's other machines would not see its stamps.
    """
    config = settings_caches.get(alias)
    if config is None:
        known = ", ".join(sorted(settings_caches)) or "none"
        raise StoreUnusable(f"CACHES has no alias {alias!r}; it has {known}")
    path = str(config.get("BACKEND", ""))
    try:
        backend = import_string(path)
    except ImportError as error:
        raise StoreUnusable(f"the backend {path!r} of the cache {alias!r}: {error}") from error
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in getattr(backend, "__mro__", ())}
    if _DUMMY in names:
        return None
    if _VALKEY_CLUSTER in names:
        return _cluster(alias, config, options)
    if _DJANGO_REDIS in names or names & _OTHER_REDIS:
        return _redis(alias, settings_caches, options)
    if _MEMCACHED in names:
        return _memcached(alias, config, options)
    return default_lmdb()


def _redis(
    alias: str, settings_caches: Mapping[str, Mapping[str, Any]], options: StoreOptions
) -> Store:
    from querycache.stores.redis import RedisStore
    from querycache.stores.redis_sentinel import SentinelStore

    try:
        cache: Any = CacheHandler({name: dict(one) for name, one in settings_caches.items()})[alias]
        # Writes go to the first server alone, and so must all that concerns stamps: the others are
        # replicas. Django's own backend keeps its client in another place than the others do.
        client = getattr(cache, "client", None)
        if client is None or not hasattr(client, "get_client"):
            client = cache._cache
        native = client.get_client(write=True)
    except _UNREADABLE as error:
        raise StoreUnusable(f"the cache {alias!r} leads to no Redis server: {error}") from error
    except ValueError:
        # What is said of a LOCATION that cannot be read may hold a part of its password.
        raise StoreUnusable(f"the LOCATION of the cache {alias!r} cannot be read") from None
    asks = hasattr(getattr(native, "connection_pool", None), "sentinel_manager")
    try:
        return (SentinelStore if asks else RedisStore).from_client(native, options)
    except StoreUnusable as error:
        raise StoreUnusable(f"the cache {alias!r}: {error}") from error


def _cluster(alias: str, config: Mapping[str, Any], options: StoreOptions) -> Store:
    from querycache.stores.redis_cluster import ClusterStore

    # Its client would connect, so its locations are read instead.
    location = config.get("LOCATION") or ""
    first, *others = [location] if isinstance(location, str) else list(location)
    parts = split(first)
    if not parts.netloc:
        raise StoreUnusable(
            f"the cache {alias!r} names no server in LOCATION; write redis://host:port"
        )
    nodes = ",".join([parts.netloc, *(split(one).netloc.rpartition("@")[2] for one in others)])
    try:
        return ClusterStore.from_url(
            f"{parts.scheme}+cluster://{nodes}{parts.path}?{parts.query}", options
        )
    except StoreUnusable as error:
        raise StoreUnusable(f"the cache {alias!r}: {error}") from error


def _memcached(alias: str, config: Mapping[str, Any], options: StoreOptions) -> Store:
    from querycache.stores.memcached import MemcachedStore
    from querycache.stores.memcached_wire import address

    given = config.get("OPTIONS") or {}
    if "username" in given or "password" in given:
        raise StoreUnusable(
            f"the cache {alias!r} asks for a password, which pymemcache cannot give"
        )
    location = config.get("LOCATION", "")
    # As Django reads it.
    places = re.split("[;,]", location) if isinstance(location, str) else location
    extra = {name: given[name] for name in _MEMCACHED_OPTIONS if name in given}
    return MemcachedStore([_place(place, address) for place in places], options, extra=extra)


def _place(place: Any, address: Callable[[str], Any]) -> Any:
    return address(place.strip()) if isinstance(place, str) else tuple(place)

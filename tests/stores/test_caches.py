from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from pymemcache.client.base import Client

from querycache.stores.base import Store, StoreOptions, StoreUnusable
from querycache.stores.caches import store_for_cache
from querycache.stores.memcached import MemcachedStore
from querycache.stores.memory import MemoryStore
from querycache.stores.redis import RedisStore
from tests.servers import MemcachedServer, RedisServer, required

ENTRY = b"qc:e:entry"
OPTIONS = StoreOptions(timeout=5.0)
LOCAL = "django.core.cache.backends"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with required():
        running = RedisServer(password="s3same").start()
    with running:
        yield running


@pytest.fixture(scope="module")
def memcached_server() -> Iterator[MemcachedServer]:
    with required():
        running = MemcachedServer().start()
    with running:
        yield running


@pytest.fixture
def stand_in() -> Iterator[MemoryStore]:
    store = MemoryStore(OPTIONS)
    yield store
    store.close()


@pytest.fixture
def resolve(stand_in: MemoryStore) -> Iterator[Callable[..., Store | None]]:
    opened: list[Store] = []

    def resolve(alias: str = "default", **caches: dict[str, Any]) -> Store | None:
        store = store_for_cache(alias, caches, OPTIONS, default_lmdb=lambda: stand_in)
        if store is not None:
            opened.append(store)
        return store

    yield resolve
    for store in opened:
        store.close()


def redis_caches(server: RedisServer) -> dict[str, dict[str, Any]]:
    address = f"127.0.0.1:{server.port}"
    return {
        "django": server.settings(
            LOCATION=f"redis://:s3same@{address}", OPTIONS={"db": 3, "decode_responses": False}
        ),
        "django, password apart": {
            "BACKEND": f"{LOCAL}.redis.RedisCache",
            "LOCATION": f"redis://{address}",
            "OPTIONS": {"db": 3, "password": "s3same", "socket_timeout": 900},
        },
        "django, replicas": {
            "BACKEND": f"{LOCAL}.redis.RedisCache",
            # Where nothing listens: reading there would fail.
            "LOCATION": [f"redis://:s3same@{address}/3", "redis://127.0.0.1:1/3"],
        },
        "django, unix socket": {
            "BACKEND": f"{LOCAL}.redis.RedisCache",
            "LOCATION": server.socket_url.replace("db=0", "db=3"),
        },
        "django_redis": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": [f"redis://{address}/3", "redis://127.0.0.1:1/3"],
            "OPTIONS": {"PASSWORD": "s3same", "CLIENT_CLASS": "django_redis.client.DefaultClient"},
        },
        "django_valkey": {
            "BACKEND": "django_valkey.cache.ValkeyCache",
            "LOCATION": f"valkey://{address}/3",
            "OPTIONS": {"PASSWORD": "s3same"},
        },
        "own subclass": {
            "BACKEND": f"{__name__}.Subclassed",
            "LOCATION": f"redis://:s3same@{address}/3",
        },
    }


@pytest.mark.parametrize("name", list(redis_caches(RedisServer(password="s3same"))))
def test_redis(redis_server: RedisServer, resolve: Callable[..., Store | None], name: str) -> None:
    config = redis_caches(redis_server)[name]
    pytest.importorskip(config["BACKEND"].partition(".")[0])
    store = resolve(default=config)
    assert isinstance(store, RedisStore)
    for number in range(4):
        store.write(ENTRY, b"%d" % number, None)
        assert store.read(ENTRY, []) == [b"%d" % number]
    with redis.Redis(port=redis_server.port, db=3, password="s3same") as client:
        assert client.get(ENTRY) == b"3"
        client.delete(ENTRY.decode())
    assert "s3same" not in repr(store.info())


def memcached_caches(server: MemcachedServer) -> dict[str, dict[str, Any]]:
    return {
        "pymemcache": server.settings(),
        "pymemcache, list": server.settings(
            LOCATION=[server.address], OPTIONS={"no_delay": True, "ignore_exc": True}
        ),
        "pymemcache, pair": server.settings(LOCATION=[("127.0.0.1", server.port)]),
        "pylibmc": server.settings(
            BACKEND=f"{LOCAL}.memcached.PyLibMCCache", OPTIONS={"binary": True}
        ),
    }


@pytest.mark.parametrize("name", list(memcached_caches(MemcachedServer())))
def test_memcached(
    memcached_server: MemcachedServer, resolve: Callable[..., Store | None], name: str
) -> None:
    store = resolve(default=memcached_caches(memcached_server)[name])
    assert isinstance(store, MemcachedStore)
    store.write(ENTRY, name.encode(), None)
    assert store.read(ENTRY, []) == [name.encode()]
    client = Client(("127.0.0.1", memcached_server.port))
    assert client.get(ENTRY).endswith(name.encode())
    client.close()


@pytest.mark.parametrize("location", ["a:1;b:2", "a:1,b:2", ["a:1", "b:2"], ["a:1", ("b", 2)]])
def test_memcached_nodes(resolve: Callable[..., Store | None], location: Any) -> None:
    backend = f"{LOCAL}.memcached.PyMemcacheCache"
    store = resolve(default={"BACKEND": backend, "LOCATION": location})
    assert isinstance(store, MemcachedStore)
    assert [node.where for node in store._nodes] == ["a:1", "b:2"]


@pytest.mark.parametrize(
    "backend",
    [
        f"{LOCAL}.locmem.LocMemCache",
        f"{LOCAL}.filebased.FileBasedCache",
        f"{LOCAL}.db.DatabaseCache",
        f"{__name__}.Custom",
    ],
)
def test_no_server(
    resolve: Callable[..., Store | None], stand_in: MemoryStore, backend: str
) -> None:
    assert resolve(default={"BACKEND": backend, "LOCATION": "/tmp/x"}) is stand_in


def test_dummy_turns_the_library_off(resolve: Callable[..., Store | None]) -> None:
    assert resolve(default={"BACKEND": f"{LOCAL}.dummy.DummyCache"}) is None


def test_the_alias_counts(
    redis_server: RedisServer, resolve: Callable[..., Store | None], stand_in: MemoryStore
) -> None:
    caches = {"default": {"BACKEND": f"{LOCAL}.locmem.LocMemCache"}}
    caches["shared"] = redis_server.settings()
    assert resolve("default", **caches) is stand_in
    assert isinstance(resolve("shared", **caches), RedisStore)


@pytest.mark.parametrize(
    "config",
    [
        {"BACKEND": "no.such.Backend"},
        {},
        # A store of this machine in its place would hide other machines' writes.
        {
            "BACKEND": f"{LOCAL}.memcached.PyLibMCCache",
            "LOCATION": "a:1",
            "OPTIONS": {"username": "u", "password": "p"},
        },
        {"BACKEND": f"{LOCAL}.memcached.PyMemcacheCache", "LOCATION": "a:b:c"},
    ],
)
def test_unusable(resolve: Callable[..., Store | None], config: dict[str, Any]) -> None:
    with pytest.raises(StoreUnusable):
        resolve(default=config)


def test_unknown_alias(resolve: Callable[..., Store | None]) -> None:
    with pytest.raises(StoreUnusable, match=r"'shred'.*default, shared"):
        resolve("shred", default={}, shared={})


class Custom:
    """Somebody's backend."""


def __getattr__(name: str) -> Any:
    if name == "Subclassed":
        from django.core.cache.backends.redis import RedisCache

        return type(name, (RedisCache,), {})
    raise AttributeError(name)

"""Aliases of CACHES that lead to sentinels or to a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from querycache.stores.base import Store, StoreOptions, StoreUnusable
from querycache.stores.caches import store_for_cache
from querycache.stores.memory import MemoryStore
from querycache.stores.redis_cluster import ClusterStore
from querycache.stores.redis_sentinel import SentinelStore
from tests.servers import RedisCluster, RedisSentinels, required

ENTRY = b"qc:e:entry"
OPTIONS = StoreOptions(timeout=5.0)


@pytest.fixture(scope="module")
def sentinels() -> Iterator[RedisSentinels]:
    with required():
        group = RedisSentinels(password="s3same", sentinel_password="w4tch").start()
    with group:
        yield group


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with required():
        group = RedisCluster(replicas=0, password="s3same").start()
    with group:
        yield group


def resolve(config: dict[str, Any]) -> Store | None:
    return store_for_cache(
        "default", {"default": config}, OPTIONS, default_lmdb=lambda: MemoryStore(OPTIONS)
    )


def behind_sentinels(group: RedisSentinels, package: str) -> dict[str, Any]:
    kind = package.removeprefix("django_")
    return {
        "BACKEND": f"{package}.cache.{kind.title()}Cache",
        "LOCATION": f"{kind}://{group.service}/3",
        "OPTIONS": {
            "CLIENT_CLASS": f"{package}.client.SentinelClient",
            "CONNECTION_FACTORY": f"{package}.pool.SentinelConnectionFactory",
            "SENTINELS": [("127.0.0.1", one.port) for one in group.sentinels],
            "SENTINEL_KWARGS": {"password": "w4tch"},
            "PASSWORD": "s3same",
        },
    }


@pytest.mark.parametrize("package", ["django_redis", "django_valkey"])
def test_sentinel(sentinels: RedisSentinels, package: str) -> None:
    pytest.importorskip(package)
    store = resolve(behind_sentinels(sentinels, package))
    assert isinstance(store, SentinelStore)
    for number in range(4):
        store.write(ENTRY, b"%d" % number, None)
        assert store.read(ENTRY, []) == [b"%d" % number]
    with redis.Redis(port=sentinels.primary.port, db=3, password="s3same") as admin:
        assert admin.getdel(ENTRY.decode()) == b"3"
    told = store.info()
    assert told.details["role"] == "master"
    assert "s3same" not in repr(told)
    store.close()


def test_client_that_lacks_its_factory(sentinels: RedisSentinels) -> None:
    pytest.importorskip("django_redis")
    config = behind_sentinels(sentinels, "django_redis")
    del config["OPTIONS"]["CONNECTION_FACTORY"]
    # django-redis keeps the pools of a location, whatever made them.
    config["LOCATION"] = "redis://other/3"
    with pytest.raises(StoreUnusable, match="'default' leads to no Redis server"):
        resolve(config)


@pytest.mark.parametrize("several", [False, True])
def test_cluster(cluster: RedisCluster, several: bool) -> None:
    pytest.importorskip("django_valkey")
    places = [f"valkey://:s3same@127.0.0.1:{node.port}" for node in cluster.primaries]
    store = resolve(
        {
            "BACKEND": "django_valkey.cluster_cache.cache.ClusterValkeyCache",
            "LOCATION": places if several else places[0],
        }
    )
    assert isinstance(store, ClusterStore)
    store.write(ENTRY, b"v", None)
    assert store.read(ENTRY, [b"qc:s:stamp"])[0] == b"v"
    assert store.info().details["nodes"] == "3"
    store.close()


def test_cluster_that_is_none() -> None:
    pytest.importorskip("django_valkey")
    backend = "django_valkey.cluster_cache.cache.ClusterValkeyCache"
    with pytest.raises(StoreUnusable, match="'default' names no server"):
        resolve({"BACKEND": backend, "LOCATION": ""})

"""What the settings of a server's memory mean, as a check and in `status`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.test.utils import override_settings

from querycache import asking_checks
from tests.servers import RedisServer, required


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with required():
        running = RedisServer().start()
    with running:
        yield running


@pytest.fixture
def configure(server: RedisServer) -> Iterator[Callable[..., None]]:
    def configure(policy: str, limit: str) -> None:
        with redis.Redis.from_url(server.url) as admin:
            admin.config_set("maxmemory-policy", policy)
            admin.config_set("maxmemory", limit)

    yield configure
    configure("noeviction", "0")


CASES = [
    ("allkeys-lru", "50mb", {}, "W012"),
    ("allkeys-lfu", "0", {}, "W012"),
    ("volatile-lru", "50mb", {}, None),
    ("volatile-ttl", "50mb", {"TTL": None}, "W013"),
    ("noeviction", "50mb", {}, "W013"),
    # As many servers are that nobody has configured; there entries go when they are old.
    ("noeviction", "0", {}, None),
]


@pytest.mark.parametrize(("policy", "limit", "more", "found"), CASES)
def test_policy(
    server: RedisServer,
    configure: Callable[..., None],
    policy: str,
    limit: str,
    more: dict[str, Any],
    found: str | None,
) -> None:
    configure(policy, limit)
    with override_settings(QUERYCACHE={"STORE": server.url, "TIMEOUT": 5, **more}):
        messages = asking_checks.check_eviction(None)
        assert [one.id for one in messages] == ([f"querycache.{found}"] if found else [])
        assert all(policy in one.msg for one in messages)
        told = StringIO()
        call_command("querycache", "status", stdout=told)
        assert ("warning" in told.getvalue()) == (found is not None)
        assert f"maxmemory policy  {policy}" in told.getvalue()


@pytest.mark.parametrize("store", ["redis://127.0.0.1:1", "memory://", "redis://h:port"])
def test_store_that_does_not_answer_is_no_concern(store: str) -> None:
    with override_settings(QUERYCACHE={"STORE": store}):
        assert asking_checks.check_eviction(None) == []

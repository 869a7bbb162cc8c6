"""Redis servers that belong together, and what tests do to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from tests.servers import (
    Certificates,
    RedisCluster,
    RedisSentinels,
    RedisServer,
    cut_replication,
    mend_replication,
    required,
)
from tests.servers.redis_groups import client, in_step, role_of, until

PROGRAMS = [["redis-server"], ["valkey-server"]]


def started(group: Any) -> Any:
    with required():
        return group.start()


def test_server_over_tls(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    with started(RedisServer(tls=Certificates(tmp_path))) as server:
        with redis.Redis.from_url(server.url) as trusting:
            assert trusting.ping()
        doubting = redis.Redis(port=server.port, ssl=True, ssl_ca_certs=str(other.ca))
        with doubting, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            doubting.ping()


@pytest.mark.parametrize("program", PROGRAMS)
def test_failover_to_a_replica_that_lags(program: list[str]) -> None:
    with started(RedisSentinels(password="pw", sentinel_password="sp", program=program)) as group:
        (replica,) = group.replicas
        with client(group.primary) as primary, client(replica) as copy:
            primary.set("key", "old")
            until(lambda: copy.get("key") == b"old", "the replica does not copy")
            cut_replication(group.primary)
            primary.set("key", "new")
            mend_replication(group.primary)
            until(lambda: copy.get("key") == b"new", "the replica does not copy again")
            cut_replication(group.primary)
            primary.set("key", "newer")
        group.primary.kill()
        group.wait_for_primary(replica)
        with client(replica) as copy:
            assert copy.get("key") == b"new"


@pytest.mark.parametrize("program", PROGRAMS)
def test_cluster(program: list[str]) -> None:
    with started(RedisCluster(program=program)) as group:
        first = group.owner_of(b"{tag}:a")
        second = next(node for node in group.primaries if node is not first)
        with client(first) as source, client(second) as target:
            source.mset({f"{{tag}}:{name}": name for name in "abc"})
            group.move(b"{tag}:a", second, keys=1)
            with pytest.raises(redis.ResponseError, match=r"TRYAGAIN|ASK|Multiple keys"):
                source.mget("{tag}:a", "{tag}:b", "{tag}:c")
            group.move(b"{tag}:a", second)
            assert group.owner_of(b"{tag}:a") is second
            assert target.mget("{tag}:a", "{tag}:b", "{tag}:c") == [b"a", b"b", b"c"]
        (heir,) = group.replicas_of(second)
        until(lambda: in_step(heir), "the replica does not copy")
        group.fail_over(heir)
        assert role_of(heir) == "master"
        until(lambda: role_of(second) == "slave", "the old primary does not give up")
    assert not group.servers

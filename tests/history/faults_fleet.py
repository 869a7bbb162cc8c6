"""Faults of Redis servers that belong together: failovers, and slots that move."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from tests.history.fault import Steps, outage, pause
from tests.servers import (
    RedisCluster,
    RedisSentinels,
    RedisServer,
    cut_replication,
    mend_replication,
)
from tests.servers.redis_groups import in_step, role_of

if TYPE_CHECKING:
    from tests.history.scenario import Run


def _sentinels(run: Run) -> RedisSentinels:
    assert isinstance(run.store.group, RedisSentinels)
    return run.store.group


def _cluster(run: Run) -> RedisCluster:
    assert isinstance(run.store.group, RedisCluster)
    return run.store.group


def failover_by_command(run: Run) -> Steps:
    """Have the sentinels promote the replica, again and again."""
    group = _sentinels(run)
    primary, replica = group.primary, group.replicas[0]
    while True:
        yield from pause(run.scenario.lease + random.uniform(0.2, 1.0))
        group.fail_over()
        group.wait_for_primary(replica)
        run.tried += 1
        primary, replica = replica, primary
        # Nobody can be promoted before it has copied from the other.
        run.wait(lambda one=replica: in_step(one), "the former primary copies")  # type: ignore[misc]


def failover_to_one_that_lags(run: Run) -> Steps:
    """Freeze the primary until a replica takes over that lacks the latest; let it wake up."""
    group = _sentinels(run)
    primary, replica = group.primary, group.replicas[0]
    while True:
        yield from pause(run.scenario.lease + random.uniform(0.2, 1.0))
        cut_replication(primary)
        yield from pause(random.uniform(0.2, 0.8))
        primary.pause()
        try:
            group.wait_for_primary(replica)
            yield from pause(random.uniform(0, 1.0))
        finally:
            primary.resume()
        run.tried += 1
        mend_replication(primary)
        primary, replica = replica, primary
        run.wait(lambda one=replica: in_step(one), "the former primary copies")  # type: ignore[misc]


def takeover_by_one_that_lags(run: Run) -> Steps:
    """Have the replica of the node with the stamps take over, without the latest."""
    group = _cluster(run)
    yield from pause(run.scenario.lease)
    while True:
        yield from pause(random.uniform(0.2, 1.0))
        primary = group.owner_of(_stamps(run))
        replica = _partner(group, group.servers.index(primary))
        cut_replication(primary)
        yield from pause(random.uniform(0.2, 0.8))
        group.fail_over(replica)
        run.tried += 1
        mend_replication(primary)
        run.wait(lambda: role_of(primary) != "master", "the former primary knows")  # noqa: B023
        run.wait(group.is_whole, "the cluster is whole again")
        yield from pause(run.scenario.lease)


def slots_moved(run: Run) -> Steps:
    """Move the slot of the stamps from node to node."""
    group = _cluster(run)
    yield from pause(run.scenario.lease)
    for target in itertools.cycle(group.primaries):
        yield from pause(random.uniform(0.2, 1.0))
        if group.owner_of(_stamps(run)) is not target:
            group.move(_stamps(run), target)
            run.tried += 1


def _stamps(run: Run) -> bytes:
    # One slot has them all.
    return f"{{{run.name}}}:s:any".encode()


def _partner(group: RedisCluster, number: int) -> RedisServer:
    half = len(group.servers) // 2
    return group.servers[(number + half) % len(group.servers)]


FAULTS = (
    *outage("Sentinel promotes the replica", failover_by_command, ("sentinel",)),
    *outage(
        "Sentinel promotes a replica that lags, the former primary wakes up",
        failover_to_one_that_lags,
        ("sentinel",),
    ),
    *outage("Cluster, a replica that lags takes over", takeover_by_one_that_lags, ("cluster",)),
    *outage("Cluster, the slot of the stamps moves", slots_moved, ("cluster",)),
)

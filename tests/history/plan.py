"""Which runs there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from querycache.stores.redis_tracking import QUIET
from querycache.watch import LOOK_EVERY
from tests.history.faults import FAULTS
from tests.history.scenario import Scenario

#: A store that takes up to 50 ms to hear, and as long to be heard.
_LATE = (0.0, 0.05)

#: How a history is made → fields of the scenario. Those with a proxy need a server.
HOW: dict[str, dict[str, Any]] = {
    "as it is": {},
    "slow commits": {"slow": 0.02},
    "threads": {"style": "threads"},
    "store late for writers": {"delays": {"writer": _LATE}},
    "store late for readers": {"delays": {"reader": _LATE}},
    "store late for all": {"delays": {"writer": _LATE, "reader": _LATE}},
    "near cache (checked)": {"options": {"NEAR": "checked"}},
    "near cache (push)": {"options": {"NEAR": "push"}, "lag": QUIET},
    # Promised is a round trip, and that takes as long as the writer is kept from making it.
    "bounded": {"options": {"CONSISTENCY": "bounded"}, "lag": LOOK_EVERY},
}
#: What a store without a server can be run with.
_EMBEDDED = ("as it is", "slow commits", "threads", "bounded")
#: What another cache is run with, on what it can use.
_OTHERS = ("as it is", "store late for writers")
_OTHERS_STORES = ("redis", "memcached")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run.

    Args:
        reads: of each history.
        seconds: of each history at most.
        tries: of each fault on each pair of database and store.
        fault_reads: of each of these.
        fault_seconds: of each of these at most.
        every_pair: whether each fault is made on every pair where it can be made.
        lease: in seconds.
        between: reads of all workers between two writes of a writer, on average.
        readers: of each run.
    """

    reads: int
    seconds: float
    tries: int
    fault_reads: int
    fault_seconds: float
    every_pair: bool
    lease: float
    between: float
    readers: int = 3


SIZES = {
    "short": Size(3_000, 6.0, 3, 2_000, 30.0, False, 3.0, 20.0),
    "long": Size(60_000, 60.0, 10, 5_000, 60.0, True, 3.0, 60.0),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """One run that will be made.

    Args:
        group: "history" or "fault".
        label: what is done.
        scenario: what is run.
    """

    group: str
    label: str
    scenario: Scenario


def histories(
    size: Size,
    hows: Sequence[str],
    caches: Sequence[str],
    databases: Sequence[str],
    stores: Sequence[str],
) -> Iterator[Planned]:
    """Give the runs in which nothing goes wrong.

    Args:
        size: how much is run.
        hows: keys of `HOW`.
        caches: whose.
        databases: which may be used.
        stores: which may be used.
    """
    # Every pair has its turn early, whoever stops the program.
    for how, cache, database, store in product(hows, caches, databases, stores):
        if how not in _ways(cache, store):
            continue
        scenario = Scenario(
            database=database,
            store=store,
            cache=cache,
            reads=size.reads,
            seconds=size.seconds,
            lease=size.lease,
            between=size.between,
            readers=size.readers,
        )
        changes = dict(HOW[how])
        if cache == "querycache":
            # What the store has no time to acknowledge is refused: no read may lag at all.
            changes["options"] = {"ON_STORE_FAILURE": "raise", **changes.get("options", {})}
        if store == "memory":
            changes["style"] = "threads"
        yield Planned("history", how, replace(scenario, **changes))


def _ways(cache: str, store: str) -> Sequence[str]:
    if cache != "querycache":
        return _OTHERS if store in _OTHERS_STORES else ()
    if store == "memory":
        return _EMBEDDED
    if store in ("sentinel", "cluster"):
        return ("as it is",)
    if store == "lmdb":
        return _EMBEDDED
    return [how for how in HOW if store == "redis" or how != "near cache (push)"]


def faults(
    size: Size, wanted: Sequence[str], databases: Sequence[str], stores: Sequence[str]
) -> Iterator[Planned]:
    """Give the runs in which something goes wrong.

    Args:
        size: how much is run.
        wanted: parts of the names of faults.
        databases: which may be used.
        stores: which may be used.
    """
    turn = 0
    for name, fault in FAULTS.items():
        if not any(part in name for part in wanted):
            continue
        pairs = [
            (database, store)
            for store in fault.stores or ("lmdb", "redis", "memcached")
            for database in fault.databases or ("sqlite", "postgresql", "mariadb")
            if database in databases and store in stores
        ]
        if not size.every_pair and pairs:
            # Another one for each fault, so that all of them have their turn.
            pairs = [pairs[turn % len(pairs)]]
            turn += 1
        for database, store in pairs:
            scenario = Scenario(
                database=database,
                store=store,
                reads=size.fault_reads,
                tries=size.tries,
                seconds=size.fault_seconds,
                lease=size.lease,
                readers=size.readers,
                fault=fault,
            )
            yield Planned("fault", name, replace(scenario, **fault.changes))

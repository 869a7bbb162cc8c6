"""What a fault is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from querycache.watch import LOOK_EVERY
from tests.history.checker import Verdict

if TYPE_CHECKING:
    from tests.history.scenario import Run

Steps = Generator[None, None, None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong again and again while a history is recorded.

    Args:
        name: what it is called.
        promise: what is promised in this case, for people.
        make: makes it; a generator that is driven while workers work, counts `Run.tried`, and puts
            everything right again when it is closed.
        databases: where it can be made; none: everywhere.
        stores: where it can be made; none: everywhere.
        changes: fields of `Scenario` that are other than usual, by their names.
        store_lanes: whether workers reach the store through the proxy.
        database_lane: whether they reach the database through it.
        reads_may_fail: whether reads may raise errors.
        lag: seconds that a read may be stale; None: nothing is promised.
    """

    name: str
    promise: str
    make: Callable[[Run], Steps]
    databases: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    store_lanes: bool = False
    database_lane: bool = False
    reads_may_fail: bool = False
    lag: float | None = 0.0

    def broken(self, verdict: Verdict) -> list[str]:
        """Return what of the promise did not hold, in words; empty when all did."""
        found = verdict.beyond(self.lag)
        if verdict.failed and not self.reads_may_fail:
            found.append(f"{verdict.failed} reads failed")
        if verdict.unserved:
            found.append(f"{verdict.unserved} reads were not served again")
        return found


def pause(seconds: float) -> Steps:
    """Let the workers work for a while."""
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until:
        yield


def outage(
    name: str,
    make: Callable[[Run], Steps],
    stores: tuple[str, ...],
    *,
    store_lanes: bool = False,
    **changes: Any,
) -> tuple[Fault, Fault]:
    """Return an outage, once with each way of dealing with it that promises something."""
    refusing = {"options": {"ON_STORE_FAILURE": "raise"}}
    return (
        Fault(
            f"{name} (raise)",
            "no page fails, writes may be refused, nothing is stale",
            make, stores=stores, store_lanes=store_lanes, changes=refusing | changes,
        ),
        Fault(
            f"{name} (journal)",
            "no page fails, no write is refused; who noticed nothing lags by a second at most",
            make, stores=stores, store_lanes=store_lanes, changes=changes, lag=LOOK_EVERY,
        ),
    )  # fmt: skip

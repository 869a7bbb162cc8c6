"""The budgets of the design beside what a run gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Budget(NamedTuple):
    """What something may cost at most.

    Args:
        what: it is.
        case: that measures it.
        who: whose figure counts.
        figure: which.
        most: that it may be.
        unit: of both.
        database: the only one that it is for; None: each.
    """

    what: str
    case: str
    who: str
    figure: str
    most: float
    unit: str = "times"
    database: str | None = None


#: Over the floor, for hits that leave the process for nothing.
LOCAL_HITS = {"get": 1.15, "count": 1.15, "exists": 1.15, "thousand": 1.25}
MGETS = 1.5
STAMPS = 1.2
LOCAL_MISS = 1.05
OUT_OF_THE_WAY = 1.02


def _hits() -> Iterator[Budget]:
    for shape in ("get", "exists", "count", "aggregate", "page", "thousand"):
        yield Budget(
            f"hit on Redis, `{shape}`: floor + n `MGET`s",
            f"hit:{shape}",
            "querycache-redis",
            "mget_over_floor",
            MGETS,
            "MGETs",
        )
        yield Budget(
            f"near hit, `{shape}`: floor + n `MGET`s of stamps",
            f"hit:{shape}",
            "querycache-near",
            "stamps_over_floor",
            STAMPS,
            "MGETs",
        )
    for store in ("lmdb", "memory", "push"):  # the last is the near cache, told of changes
        for shape, most in LOCAL_HITS.items():
            yield Budget(
                f"hit on {store}, `{shape}`, over the floor",
                f"hit:{shape}",
                f"querycache-{store}",
                "over_floor",
                most,
            )


def _misses() -> Iterator[Budget]:
    for shape in ("get", "exists", "count", "aggregate", "page", "thousand"):
        yield Budget(
            f"miss on lmdb, `{shape}`, over no cache",
            f"miss:{shape}",
            "querycache-lmdb",
            "over_none",
            LOCAL_MISS,
        )
    yield Budget(
        "miss on Redis, `get`, over no cache",
        "miss:get",
        "querycache-redis",
        "over_none",
        1.25,
        database="postgresql",
    )


def _rest() -> Iterator[Budget]:
    yield Budget(
        "`save()` on Redis, over no cache",
        "write:save",
        "querycache-redis",
        "over_none",
        1.25,
        database="postgresql",
    )
    for store in ("lmdb", "redis"):
        who = f"querycache-{store}"
        for what, case in (("excluded model", "excluded"), ("`disabled()`", "disabled")):
            yield Budget(
                f"{what}, {store}, over no cache", f"off:{case}", who, "over_none", OUT_OF_THE_WAY
            )
        yield Budget(
            f"traffic, 5 % writes, {store}, over no cache", "traffic:5", who, "over_none", 0.6
        )


BUDGETS = (*_hits(), *_misses(), *_rest())


def budgets(databases: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each budget beside what was measured, without those that nobody measured.

    Args:
        databases: what a run gave, by database.

    Returns:
        Dicts with ``what``, ``database``, ``budget``, ``unit`` and ``measured`` (median and
        quartiles).
    """
    rows = []
    for database, found in databases.items():
        cases = {
            **found.get("queries", {}),
            **{f"traffic:{share}": case for share, case in found.get("traffic", {}).items()},
        }
        for budget in BUDGETS:
            if budget.database not in (None, database):
                continue
            measured = cases.get(budget.case, {}).get(budget.who, {}).get(budget.figure)
            if measured is not None:
                rows.append(
                    {
                        "what": budget.what,
                        "database": database,
                        "budget": budget.most,
                        "unit": budget.unit,
                        "measured": measured,
                    }
                )
    return rows

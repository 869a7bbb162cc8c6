"""From times to figures: medians, quartiles, ratios round by round, and the budgets."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

#: Budgets over no cache: their text, the database or None for each, the case, who, the most.
OVER_NONE = (
    ("miss of `get(pk)` on Redis", "postgresql", "miss:get", "querycache-redis", 1.25),
    ("`save()` on Redis", "postgresql", "write:save", "querycache-redis", 1.25),
    ("excluded model", None, "off:excluded", "querycache-redis", 1.02),
    ("`disabled()`", None, "off:disabled", "querycache-redis", 1.02),
)
MGETS = 1.5
LOCAL_HIT = {"get": 1.15, "count": 1.15, "exists": 1.15, "thousand": 1.25}
LOCAL_MISS = 1.05
TRAFFIC = 0.6


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    if len(values) < 2:
        return {"median": values[0], "q1": values[0], "q3": values[0]}
    first, _, third = quantiles(values, n=4, method="inclusive")
    return {"median": median(values), "q1": first, "q3": third}


def figures(times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return what one case gave: µs, and ratios to no cache and to the floor, round by round."""
    found: dict[str, Any] = {}
    for name, own in times.items():
        found[name] = {"us": _rounded(spread([time * 1e6 for time in own]), 1)}
        for base in ("none", "floor"):
            if base in times and base != name:
                ratios = [mine / other for mine, other in zip(own, times[base], strict=True)]
                found[name][f"over_{base}"] = _rounded(spread(ratios), 3)
    if "mget" in times and "floor" in times:
        for name, own in times.items():
            if name.endswith("-redis"):
                mgets = [
                    (mine - floor) / mget
                    for mine, floor, mget in zip(own, times["floor"], times["mget"], strict=True)
                ]
                found[name]["mgets_over_floor"] = _rounded(spread(mgets), 2)
    return found


def traffic_figures(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the traffic of one share of writes gave."""
    result = figures({name: mine["seconds"] for name, mine in found.items()})
    for name, mine in found.items():
        result[name]["reached_of_1000"] = round(1000 * mine["reached"] / max(1, mine["reads"]))
    return result


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {key: round(value, digits) for key, value in values.items()}


def budgets(databases: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each budget beside what was measured; those whose contenders did not run are left out.

    Returns:
        Dicts with ``what``, ``database``, ``budget`` and ``measured`` (median and quartiles).
    """
    rows: list[dict[str, Any]] = []

    def add(what: str, database: str, budget: float, figure: Any, unit: str = "times") -> None:
        if figure is not None:
            rows.append(
                {
                    "what": what,
                    "database": database,
                    "budget": budget,
                    "measured": figure,
                    "unit": unit,
                }
            )

    for database, found in databases.items():
        cases = found["cases"]

        def figure(case: str, name: str, key: str, cases: Any = cases) -> Any:
            return cases.get(case, {}).get(name, {}).get(key)

        for shape in ("get", "page", "count", "exists", "thousand", "aggregate"):
            case = f"hit:{shape}"
            measured = figure(case, "querycache-redis", "mgets_over_floor")
            add(f"hit on Redis, {shape}: floor + n `MGET`s", database, MGETS, measured, "MGETs")
        for store in ("lmdb", "memory"):
            for shape, most in LOCAL_HIT.items():
                measured = figure(f"hit:{shape}", f"querycache-{store}", "over_floor")
                add(f"hit on {store}, {shape}, over the floor", database, most, measured)
        for shape in ("get", "page", "count", "exists", "thousand", "aggregate"):
            measured = figure(f"miss:{shape}", "querycache-lmdb", "over_none")
            add(f"miss on lmdb, {shape}, over no cache", database, LOCAL_MISS, measured)
        for what, only, case, name, most in OVER_NONE:
            if only in (None, database):
                add(f"{what}, over no cache", database, most, figure(case, name, "over_none"))
        for name in ("querycache-lmdb", "querycache-redis"):
            measured = found["traffic"].get("5", {}).get(name, {}).get("over_none")
            store = name.partition("-")[2]
            add(f"traffic, 5 % writes, on {store}, over no cache", database, TRAFFIC, measured)
    return rows


def machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that tells whose machine it is."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }

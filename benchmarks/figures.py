"""From times to figures: medians, quartiles, and ratios round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from benchmarks.contenders import LIMITS
from benchmarks.rounds import YARDSTICKS, Found

#: What ratios are taken to.
BASES = ("none", "floor")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    if len(values) < 2:
        return {"median": values[0], "q1": values[0], "q3": values[0]}
    first, _, third = quantiles(values, n=4, method="inclusive")
    return {"median": median(values), "q1": first, "q3": third}


def rounded(values: Sequence[float], digits: int) -> dict[str, float]:
    """Return the median and the quartiles, rounded."""
    return {key: round(value, digits) for key, value in spread(values).items()}


def ratios(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Return the ratios to no cache, to the floor and to the limit of each contender, by rounds."""
    found: dict[str, dict[str, Any]] = {name: {} for name in times}
    for name, own in times.items():
        bases = {**{base: base for base in BASES}, "limit": LIMITS.get(name, "")}
        for title, base in bases.items():
            if base in times and base != name:
                pairs = zip(own, times[base], strict=True)
                found[name][f"over_{title}"] = rounded([mine / other for mine, other in pairs], 3)
    return found


def figures(found: Found) -> dict[str, Any]:
    """Return what one case gave: µs and ratios, or why there are none.

    Args:
        found: times of each contender, in seconds.
    """
    times = found.times
    result: dict[str, Any] = {
        name: {"us": rounded([time * 1e6 for time in own], 1)} for name, own in times.items()
    }
    for name, more in ratios(times).items():
        result[name] |= more
    for yardstick in YARDSTICKS:
        if yardstick in times and "floor" in times:
            for name in times:
                if name.startswith("querycache-"):
                    trios = zip(times[name], times["floor"], times[yardstick], strict=True)
                    over = [(mine - floor) / bare for mine, floor, bare in trios]
                    result[name][f"{yardstick}_over_floor"] = rounded(over, 2)
    result |= {name: {"failed": reason} for name, reason in found.failed.items()}
    return result


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

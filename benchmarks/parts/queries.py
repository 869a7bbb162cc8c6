"""Hits, misses and writes of each shape, and queries with the cache out of their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import labels
from benchmarks.figures import figures
from benchmarks.parts.base import Run
from benchmarks.processes import Process, together
from benchmarks.rounds import measure

#: Budgets of two in a hundred need more rounds.
OFF_TIMES = 3


def cases(run: Run) -> list[tuple[str, int]]:
    """Return what is measured: cases, and how many times the usual rounds each takes."""
    size = run.size
    return [
        *((f"hit:{name}", 1) for name in size.shapes),
        *((f"miss:{name}", 1) for name in size.shapes),
        *((f"write:{name}", 1) for name in size.writes),
        *((f"off:{name}", OFF_TIMES) for name in labels.OFF),
    ]


def run_part(run: Run, group: Sequence[Process]) -> dict[str, Any]:
    """Measure every case on one database.

    Args:
        run: which run.
        group: a process of each contender.
    """
    found = {}
    # What fails here fails again where its reason is told.
    together(group, "queries.meet", cases=[f"hit:{name}" for name in run.size.shapes])
    for case, times in cases(run):
        kind = case.partition(":")[0]
        taking_part = [process for process in group if kind in process.contender.kinds]
        found[case] = figures(measure(taking_part, case, run.size, times))
        run.progress.step(case)
    return found

"""Shop traffic: what an operation costs, which reads reach the database, and which are stale."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import figures
from benchmarks.parts.base import Run
from benchmarks.processes import Failed, Process, together
from benchmarks.rounds import Found


def run_part(run: Run, group: Sequence[Process]) -> dict[str, Any]:
    """Measure traffic with each share of writes on one database.

    Args:
        run: which run.
        group: a process of each contender.
    """
    caching = [process for process in group if process.contender.real]
    found = {}
    for place, writes in enumerate(run.size.shares):
        warm = run.size.warm // (5 if place else 2)
        if not place:
            together(caching, "traffic.go", writes=writes, number=warm)
            time.sleep(run.size.settling)
        found[str(writes)] = _drive(run, caching, writes, warm)
        run.progress.step(f"{writes} % writes")
    return found


def _drive(run: Run, group: Sequence[Process], writes: int, warm: int) -> dict[str, Any]:
    able = list(group)
    failed: dict[str, str] = {}

    def drop(process: Process, reason: Failed) -> None:
        failed[process.name] = str(reason)
        able.remove(process)

    def all_at_once(do: str, number: int) -> dict[str, dict[str, Any]]:
        good = {}
        for process, answer in together(able, do, writes=writes, number=number).items():
            if isinstance(answer, Failed):
                drop(process, answer)
            else:
                good[process.name] = answer
        return good

    all_at_once("traffic.go", warm)
    times: dict[str, list[float]] = {process.name: [] for process in able}
    reads = dict.fromkeys(times, 0)
    reached = dict.fromkeys(times, 0)
    for turn in range(run.size.measured // run.size.batch):
        start = turn % max(1, len(able))
        for process in (*able[start:], *able[:start]):
            try:
                answer = process.ask("traffic.go", writes=writes, number=run.size.batch)
            except Failed as reason:
                drop(process, reason)
                del times[process.name]
                continue
            times[process.name].append(answer["seconds"])
            reads[process.name] += answer["reads"]
            reached[process.name] += answer["reached"]
    checked = all_at_once("traffic.check", run.size.checked)
    result = figures(Found({name: times[name] for name in times if name not in failed}, failed))
    for name, answer in checked.items():
        result[name] |= {
            "reached_of_1000": round(1000 * reached[name] / max(1, reads[name])),
            "stale_of_1000": round(1000 * answer["stale"] / max(1, answer["reads"]), 1),
        }
    return result

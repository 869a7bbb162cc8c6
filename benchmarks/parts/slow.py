"""What pages feel while the store is slow, and while it hangs: p50 and p99 through a slow proxy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from benchmarks.parts.base import Run
from benchmarks.parts.distance import Distance, behind_proxy
from benchmarks.processes import Failed, Process, started, together

CASES = ("hit:get", "write:save")


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Measure reads and writes at each delay, and reads while the store hangs.

    Args:
        run: which run.
        database: on which.
    """
    places = run.places(
        database,
        "slow",
        lambda contender: (
            contender.name == "none"
            or (contender.real and contender.store in ("redis", "memcached"))
        ),
    )
    with behind_proxy(places) as (moved, distance), started(moved.items()) as group:
        failed = run.open(group)
        able = [process for process in group if process.name not in failed]
        for process, answer in together(able, "queries.warm", case="hit:get").items():
            if isinstance(answer, Failed):
                failed[process.name] = str(answer)
                able.remove(process)
        broken = {name: {"failed": reason} for name, reason in failed.items()}
        found: dict[str, Any] = {"delays": {}}
        for delay in run.size.delays:
            distance.delay(delay / 1000)
            found["delays"][str(delay)] = {
                case: {**_times(run, able, case), **broken} for case in CASES
            }
            run.progress.step(f"{delay} ms")
        distance.delay(0)
        seconds = run.size.hangs
        while_it_hangs = {**_hanging(able, distance, seconds), **broken}
        found["hangs"] = {"seconds": seconds, "found": while_it_hangs}
        run.progress.step("hangs")
    return found


def _times(run: Run, group: Sequence[Process], case: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for process in group:
        try:
            found[process.name] = process.ask("slow.times", case=case, number=run.size.slow_reads)
        except Failed as reason:
            found[process.name] = {"failed": str(reason)}
    return found


def _hanging(group: Sequence[Process], distance: Distance, seconds: float) -> dict[str, Any]:
    """Let the store hang in the middle third of the reads of all at once."""
    timers = [
        threading.Timer(seconds, distance.hold, (True,)),
        threading.Timer(2 * seconds, distance.hold, (False,)),
    ]
    for timer in timers:
        timer.start()
    answers = together(group, "slow.during", case="hit:get", seconds=3 * seconds)
    for timer in timers:
        timer.join()
    return {
        process.name: {"failed": str(answer)} if isinstance(answer, Failed) else answer
        for process, answer in answers.items()
    }

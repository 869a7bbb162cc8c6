"""What pages feel while the store is slow, and while it hangs: p50 and p99 through a slow proxy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from benchmarks.parts.base import Run
from benchmarks.parts.distance import behind_proxies
from benchmarks.processes import Failed, Process, started, together
from benchmarks.proxy import SlowProxy

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
        lambda contender: contender.name == "none" or contender.store in ("redis", "memcached"),
    )
    with behind_proxies(places) as (moved, proxies), started(moved.items()) as group:
        failed = run.open(group)
        able = [process for process in group if process.name not in failed]
        for process in list(able):
            try:
                process.ask("queries.warm", case="hit:get")
            except Failed as reason:
                failed[process.name] = str(reason)
                able.remove(process)
        found: dict[str, Any] = {"failed": failed, "delays": {}}
        for delay in run.size.delays:
            for proxy in proxies:
                proxy.delay = delay / 1000
            found["delays"][str(delay)] = _at_delay(run, able)
            run.progress.step(f"{delay} ms")
        for proxy in proxies:
            proxy.delay = 0.0
        seconds = run.size.hangs
        found["hangs"] = {"seconds": seconds, "found": _hanging(able, proxies, seconds)}
        run.progress.step("hangs")
    return found


def _at_delay(run: Run, group: Sequence[Process]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for case in CASES:
        for process in group:
            try:
                answer = process.ask("slow.times", case=case, number=run.size.slow_reads)
            except Failed as reason:
                answer = {"failed": str(reason)}
            found.setdefault(case, {})[process.name] = answer
    return found


def _hanging(
    group: Sequence[Process], proxies: Sequence[SlowProxy], seconds: float
) -> dict[str, Any]:
    """Let the store hang in the middle third of the reads of all at once."""

    def hang() -> None:
        for proxy in proxies:
            proxy.hang()

    def resume() -> None:
        for proxy in proxies:
            proxy.resume()

    timers = [threading.Timer(seconds, hang), threading.Timer(2 * seconds, resume)]
    for timer in timers:
        timer.start()
    answers = together(group, "slow.during", case="hit:get", seconds=3 * seconds)
    for timer in timers:
        timer.join()
    return {
        process.name: {"failed": str(answer)} if isinstance(answer, Failed) else answer
        for process, answer in answers.items()
    }

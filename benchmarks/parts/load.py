"""Concurrency: shop traffic from threads of one process, and from several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import ratios, rounded
from benchmarks.parts.base import Run
from benchmarks.processes import Failed, Place, Process, all_of, started, together

#: Writes in 100 operations.
WRITES = 1

Go = Callable[[Contender, int, int], dict[str, Any]]


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Measure operations a second of all threads, and of all processes.

    Args:
        run: which run.
        database: on which.
    """
    return {"threads": _threads(run, database), "processes": _processes(run, database)}


def _threads(run: Run, database: str) -> dict[str, Any]:
    places = run.places(database, "threads", lambda contender: contender.real)
    with started(places.items()) as group:
        failed = run.open(group)
        by_name = {process.name: process for process in group if process.name not in failed}

        def go(contender: Contender, number: int, seed: int) -> dict[str, Any]:
            return by_name[contender.name].ask(
                "load.go",
                threads=number,
                seconds=run.size.load_seconds,
                writes=WRITES,
                seed=seed,
            )

        able = [contender for contender in places if contender.name not in failed]
        return _measure(run, able, failed, run.size.threads, go)


def _processes(run: Run, database: str) -> dict[str, Any]:
    places = run.places(
        database, "processes", lambda contender: contender.real and contender.shared
    )
    most = max(run.size.processes)
    with started(_crowd(places, most)) as group:
        failed = run.open(group)
        crews: dict[str, list[Process]] = {}
        for process in group:
            crews.setdefault(process.name, []).append(process)

        def go(contender: Contender, number: int, seed: int) -> dict[str, Any]:
            answers = all_of(
                together(
                    crews[contender.name][:number],
                    "load.go",
                    threads=1,
                    seconds=run.size.load_seconds,
                    writes=WRITES,
                    seed=seed,
                )
            )
            return {key: sum(answer[key] for answer in answers) for key in answers[0]}

        able = [contender for contender in places if contender.name not in failed]
        return _measure(run, able, failed, run.size.processes, go)


def _crowd(places: Mapping[Contender, Place], most: int) -> list[tuple[Contender, Place]]:
    return [pair for pair in places.items() for _ in range(most)]


def _measure(
    run: Run,
    contenders: Sequence[Contender],
    failed: Mapping[str, str],
    numbers: Sequence[int],
    go: Go,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in numbers:
        per_second: dict[str, list[float]] = {}
        reached: dict[str, list[int]] = {}
        broken = dict(failed)
        # The first round fills caches and is not kept.
        for turn in range(run.size.load_rounds + 1):
            for contender in contenders:
                if contender.name in broken:
                    continue
                try:
                    answer = go(contender, number, turn)
                except Failed as reason:
                    broken[contender.name] = str(reason)
                    continue
                if turn:
                    per_second.setdefault(contender.name, []).append(answer["per_second"])
                    reads, misses = reached.setdefault(contender.name, [0, 0])
                    reached[contender.name] = [reads + answer["reads"], misses + answer["reached"]]
        good = {name: values for name, values in per_second.items() if name not in broken}
        found[str(number)] = {
            **{
                name: {
                    "per_second": rounded(values, 0),
                    "reached_of_1000": round(1000 * reached[name][1] / max(1, reached[name][0])),
                }
                for name, values in good.items()
            },
            **{name: {"failed": reason} for name, reason in broken.items()},
        }
        for name, more in ratios(good).items():
            found[str(number)][name] |= more
        run.progress.step(f"{number}")
    return found

"""Memory of the stores: for an entry, and after many writes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.parts.base import Run
from benchmarks.processes import Failed, Place, started, together

KINDS = ("row", "page")


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Measure what an entry takes, and what a store takes after many writes.

    Args:
        run: which run.
        database: on which.
    """
    places = run.places(
        database,
        "memory",
        lambda contender: contender.real and contender.caches and not contender.is_variant,
    )
    found: dict[str, Any] = {name.name: {} for name in places}
    with ExitStack() as stack:
        alone = {
            contender: place._replace(store=run.environment.own_store(stack, contender.store))
            for contender, place in places.items()
        }
        _fill(run, alone, found)
        run.progress.step("entries")
        _write(run, alone, found)
        run.progress.step("writes")
    return found


def _fill(run: Run, places: Mapping[Contender, Place], found: dict[str, Any]) -> None:
    with started(places.items()) as group:
        failed = run.open(group)
        able = [process for process in group if process.name not in failed]
        for name, reason in failed.items():
            found[name]["failed"] = reason
        for kind in KINDS:
            number = run.size.entries if kind == "row" else run.size.entries // 10
            for process, answer in together(
                able, "memory.entries", kind=kind, number=number
            ).items():
                if isinstance(answer, Failed):
                    found[process.name]["failed"] = str(answer)
                else:
                    found[process.name][kind] = round(answer["bytes"])


def _write(run: Run, places: Mapping[Contender, Place], found: dict[str, Any]) -> None:
    ours = {one: place for one, place in places.items() if one.module == "querycache"}
    with started(ours.items()) as group:
        answers = together(group, "memory.writes", number=run.size.store_writes)
    for process, answer in answers.items():
        if isinstance(answer, Failed):
            found[process.name]["failed"] = str(answer)
        else:
            found[process.name]["used"] = answer["used"]

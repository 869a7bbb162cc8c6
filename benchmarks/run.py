"""One run: everything that was asked for and can run here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks import parts
from benchmarks.budgets import budgets
from benchmarks.contenders import Contender
from benchmarks.environment import Environment, Unavailable, open_environment
from benchmarks.machine import BUSY, Neighbours, machine
from benchmarks.parts.base import Run, guarded
from benchmarks.plan import SIZES, Size
from benchmarks.processes import started
from benchmarks.progress import Progress

SCHEMA = 2

#: Parts that one database is enough for → how to run them there.
ONCE: dict[str, Callable[[Run, str], dict[str, Any]]] = {
    "pages": parts.pages.run_part,
    "load": parts.load.run_part,
    "stale": parts.stale.run_part,
    "slow": parts.slow.run_part,
    "memory": parts.memory.run_part,
    "startup": parts.startup.run_part,
}
#: The first of these that takes part: a server, since that is what a cache relieves.
PREFERRED = ("postgresql", "mariadb", "sqlite")


def measure_all(
    databases: Sequence[str],
    contenders: Sequence[Contender],
    wanted: Sequence[str],
    size_name: str,
) -> dict[str, Any]:
    """Return the result of a run.

    Args:
        databases: kinds of databases.
        contenders: who takes part.
        wanted: parts.
        size_name: a key of `SIZES`.
    """
    size = SIZES[size_name]
    neighbours = Neighbours()
    began = time.monotonic()
    left_out: dict[str, str] = {}
    found: dict[str, Any] = {}
    once: dict[str, Any] = {}
    with open_environment() as environment:
        able = _able(environment, contenders, left_out)
        here = _available(environment, databases, left_out)
        progress = Progress(_steps(size, len(here), len(able), wanted))
        for name, reason in left_out.items():
            progress.say(f"{name} is left out: {reason}")
        run = Run(environment, size, able, progress)
        for database in here:
            if {"queries", "traffic"} & set(wanted):
                found[database] = _on_database(run, database, wanted)
        for part, run_part in ONCE.items():
            if part in wanted and here:
                chosen = next(name for name in PREFERRED if name in here)
                progress.part(part)
                once[part] = {"database": chosen, "found": _once(run, run_part, chosen)}
        progress.close()
    others = neighbours.share()
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).date().isoformat(),
        "size": size_name,
        "rounds": size.rounds,
        "seconds": round(time.monotonic() - began),
        "others": others,
        "busy": others is None or others > BUSY,
        "machine": machine(),
        "versions": dict(sorted(run.versions.items())),
        "contenders": {one.name: one.label for one in able},
        "left_out": left_out,
        "databases": found,
        **once,
        "budgets": budgets(found),
    }


def _able(
    environment: Environment, contenders: Sequence[Contender], left_out: dict[str, str]
) -> list[Contender]:
    able = []
    for contender in contenders:
        reason = contender.missing()
        if reason is None:
            try:
                environment.store(contender.store)
            except Unavailable as error:
                reason = str(error)
        if reason is None:
            able.append(contender)
        else:
            left_out[contender.label] = reason
    return able


def _available(
    environment: Environment, databases: Sequence[str], left_out: dict[str, str]
) -> list[str]:
    here = []
    for database in databases:
        try:
            environment.database(database, "first")
            here.append(database)
        except (Unavailable, RuntimeError) as reason:
            left_out[database] = str(reason)
    return here


def _on_database(run: Run, database: str, wanted: Sequence[str]) -> dict[str, Any]:
    places = run.places(database, "turns", lambda contender: True)
    found: dict[str, Any] = {}
    with started(places.items()) as group:
        failed = run.open(group)
        able = [process for process in group if process.name not in failed]
        if "queries" in wanted:
            run.progress.part(f"{database}: queries")
            found["queries"] = parts.queries.run_part(run, able)
        if "traffic" in wanted:
            run.progress.part(f"{database}: traffic")
            found["traffic"] = parts.traffic.run_part(run, able)
    return found | ({"failed": failed} if failed else {})


def _once(
    run: Run, run_part: Callable[[Run, str], dict[str, Any]], database: str
) -> dict[str, Any]:
    return guarded(lambda: run_part(run, database))


def _steps(size: Size, databases: int, contenders: int, wanted: Sequence[str]) -> int:
    each = {
        "queries": 2 * len(size.shapes) + len(size.writes) + 2,
        "traffic": len(size.shares),
    }
    once = {
        "pages": 2,
        "load": len(size.threads) + len(size.processes),
        "stale": contenders,
        "slow": len(size.delays) + 1,
        "memory": 2,
        "startup": size.starts + 1,
    }
    on_each = databases * sum(number for part, number in each.items() if part in wanted)
    return on_each + sum(number for part, number in once.items() if part in wanted)

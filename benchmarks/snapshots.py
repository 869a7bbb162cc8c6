"""Pages in transactions that see one state: `python -m benchmarks snapshots`.

Each page is `atomic()` with six reads, as with `ATOMIC_REQUESTS`: on SQLite, and on PostgreSQL
under REPEATABLE READ. After one page in twenty a table that the pages read is written.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import IsolationLevel

from benchmarks.contenders import CONTENDERS
from benchmarks.environment import Environment, open_environment
from benchmarks.processes import Place, place_of, started

TAKING_PART = ("none", "querycache-lmdb", "querycache-redis")
LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL, REPEATABLE READ"}
#: Pages of one go.
PAGES = 40


class Figure(NamedTuple):
    """What one contender did on one database.

    Args:
        database: which.
        contender: who.
        hits: the share of reads that needed no query.
        page_us: of a page, in µs.
        over_none: the same over a page without a cache.
    """

    database: str
    contender: str
    hits: float
    page_us: float
    over_none: float


def measure(environment: Environment, database: str, rounds: int) -> list[Figure]:
    """Measure every contender on one database.

    Args:
        environment: has the servers.
        database: which kind.
        rounds: goes of each; the median counts.
    """
    placed = []
    for name in TAKING_PART:
        place = place_of(environment, database, CONTENDERS[name], "snapshots")
        placed.append((CONTENDERS[name], _one_state(place, database)))
    times: dict[str, list[float]] = {name: [] for name in TAKING_PART}
    reads, queries = dict.fromkeys(TAKING_PART, 0), dict.fromkeys(TAKING_PART, 0)
    with started(placed) as group:
        for process in group:
            process.ask("shop.open")
            process.ask("snapshots.warm")
        for turn in range(rounds):
            for process in (*group[turn % len(group) :], *group[: turn % len(group)]):
                answer = process.ask("snapshots.run", pages=PAGES)
                times[process.name].append(answer["seconds"])
                reads[process.name] += answer["reads"]
                queries[process.name] += answer["queries"]
    return [
        Figure(
            database,
            CONTENDERS[name].label,
            1 - queries[name] / reads[name],
            statistics.median(times[name]) * 1e6,
            statistics.median(
                a / b for a, b in zip(times[name], times[TAKING_PART[0]], strict=True)
            ),
        )
        for name in TAKING_PART
    ]


def _one_state(place: Place, database: str) -> Place:
    if database != "postgresql":
        return place
    options = {
        **place.database.get("OPTIONS", {}),
        "isolation_level": int(IsolationLevel.REPEATABLE_READ),
    }
    return place._replace(database={**place.database, "OPTIONS": options})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print.

    Args:
        arguments: of the command line; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks snapshots", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--rounds", type=int, default=31, help="goes of each contender")
    options = parser.parse_args(arguments)
    found: list[Any] = []
    with open_environment() as environment:
        for database in LABELS:
            found += measure(environment, database, options.rounds)
    if options.json:
        print(json.dumps([figure._asdict() for figure in found], indent=2))
        return
    print(f"{'database':<30}{'cache':<22}{'hits':>6}{'µs a page':>12}{'over no cache':>15}")
    for figure in found:
        print(f"{LABELS[figure.database]:<30}{figure.contender:<22}", end="")
        print(f"{figure.hits:>6.0%}{figure.page_us:>12.0f}{figure.over_none:>15.2f}")


if __name__ == "__main__":
    main()

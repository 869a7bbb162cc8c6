"""The command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contenders import CONTENDERS, STORES, Contender
from benchmarks.environment import DATABASES, Environment, Unavailable, open_environment
from benchmarks.figures import budgets, figures, machine, traffic_figures
from benchmarks.rounds import Failed, drive_traffic, measure, processes, together

SHARES = (0, 1, 5, 20)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Args:
        rounds: of each case.
        seconds: of one go of one contender.
        warm: operations of traffic before those that are measured.
        measured: operations of traffic that are measured.
        batch: operations of traffic in one go.
        shares: writes in 100 operations of traffic.
    """

    rounds: int
    seconds: float
    warm: int
    measured: int
    batch: int
    shares: tuple[int, ...] = SHARES


#: The first share comes to an empty cache, and leaves it full to the next.
SIZES = {
    "full": Size(rounds=41, seconds=0.01, warm=2000, measured=3000, batch=20),
    "quick": Size(rounds=9, seconds=0.004, warm=600, measured=300, batch=10),
    "smoke": Size(rounds=2, seconds=0.0002, warm=10, measured=20, batch=10, shares=(5,)),
}


def say(text: str) -> None:
    """Tell how far it is; results go to standard output."""
    print(text, file=sys.stderr, flush=True)


def measure_database(
    environment: Environment, database: str, contenders: Sequence[Contender], size: Size
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure every case on one database; return figures and versions."""
    cases: dict[str, Any] = {}
    traffic: dict[str, Any] = {}
    versions: dict[str, str] = {}
    say(f"{database}: {', '.join(contender.name for contender in contenders)}")
    with processes(environment, database, contenders) as group:
        for answer in together(group, "open_shop"):
            versions |= answer["versions"]
        caching = [process for process in group if process.contender.kind != "floor"]
        for kind, labels in (
            ("hit", report.SHAPES),
            ("miss", report.SHAPES),
            ("write", report.WRITES),
            ("off", report.OFF),
        ):
            say(f"{database}: {kind}")
            # Budgets of two in a hundred need more rounds.
            rounds = size.rounds * 3 if kind == "off" else size.rounds
            taking_part = group if kind == "hit" else caching
            for name in labels:
                case = f"{kind}:{name}"
                cases[case] = figures(measure(taking_part, case, rounds, size.seconds))
        for writes in size.shares:
            say(f"{database}: traffic with {writes} % writes")
            warm = size.warm if writes == size.shares[0] else size.warm // 5
            found = drive_traffic(caching, writes, warm, size.measured, size.batch)
            traffic[str(writes)] = traffic_figures(found)
    return {"cases": cases, "traffic": traffic}, versions


def measure_all(
    databases: Sequence[str], contenders: Sequence[Contender], size_name: str
) -> dict[str, Any]:
    """Measure everything that was asked for and can run here; return the result."""
    size = SIZES[size_name]
    started = time.monotonic()
    load = [round(os.getloadavg()[0], 1)]
    found: dict[str, Any] = {}
    versions: dict[str, str] = {}
    with open_environment() as environment:
        able = [contender for contender in contenders if _can_run(environment, contender)]
        for database in databases:
            try:
                found[database], more = measure_database(environment, database, able, size)
            except Unavailable as reason:
                say(f"{database} is left out: {reason}")
                continue
            versions |= more
    load.append(round(os.getloadavg()[0], 1))
    say(f"took {time.monotonic() - started:.0f} s")
    return {
        "schema": 1,
        "date": datetime.now(UTC).date().isoformat(),
        "size": size_name,
        "quick": size_name == "quick",
        "rounds": size.rounds,
        "load": load,
        "machine": machine(),
        "versions": dict(sorted(versions.items())),
        "databases": found,
        "budgets": budgets(found),
    }


def _can_run(environment: Environment, contender: Contender) -> bool:
    try:
        environment.store(contender.store)
        if contender.kind == "cachalot":
            import cachalot  # noqa: F401
    except (Unavailable, ImportError) as reason:
        say(f"{contender.label} is left out: {reason}")
        return False
    return True


def _names(known: Sequence[str]) -> Any:
    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return split


def _chosen(options: argparse.Namespace) -> list[Contender]:
    # What ratios are taken to takes part in any case.
    return [
        contender
        for contender in CONTENDERS.values()
        if not contender.caches
        or (contender.store in options.stores and contender.name in options.contenders)
    ]


def run(arguments: Sequence[str]) -> None:
    """Measure, print tables, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure querycache beside no cache, the ORM alone and other caches. Also: "
        "`python -m benchmarks report FILE` prints a result as a page, "
        "`python -m benchmarks codec` measures the codec.",
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", default="full")
    sizes.add_argument(
        "--smoke", dest="size", action="store_const", const="smoke", help="only see that it works"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument(
        "--databases",
        type=_names(DATABASES),
        default=["sqlite", "postgresql"],
        help=f"of {', '.join(DATABASES)}; separated by commas",
    )
    parser.add_argument(
        "--stores", type=_names(STORES), default=STORES, help=f"of {', '.join(STORES)}"
    )
    parser.add_argument(
        "--contenders",
        type=_names(tuple(CONTENDERS)),
        default=tuple(CONTENDERS),
        help=f"of {', '.join(CONTENDERS)}",
    )
    options = parser.parse_args(arguments)
    try:
        result = measure_all(options.databases, _chosen(options), options.size)
    except Failed as reason:
        raise SystemExit(f"not measured: {reason}") from None
    print("\n\n".join(report.tables(result)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Run what the command line asks for."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["report"]:
        parser = argparse.ArgumentParser(prog="python -m benchmarks report")
        parser.add_argument("file", type=Path)
        file = parser.parse_args(arguments[1:]).file
        sys.stdout.write(report.page(json.loads(file.read_text()), file.name))
    elif arguments[:1] == ["codec"]:
        from benchmarks import codec

        sys.argv = ["python -m benchmarks codec", *arguments[1:]]
        codec.main()
    else:
        run(arguments)


if __name__ == "__main__":
    main()

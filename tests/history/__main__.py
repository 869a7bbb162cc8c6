"""`python -m tests.history`: record histories, with and without faults, and check them."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from tests.history import plan, report
from tests.history.contenders import CONTENDERS
from tests.history.faults import FAULTS
from tests.history.pipes import ProgramFailed
from tests.history.places import DATABASES, STORES, Places
from tests.history.scenario import run
from tests.servers import Unavailable


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return split


def _faults(text: str) -> list[str]:
    if text == "all":
        return [""]
    if text == "none":
        return []
    parts = text.split(",")
    for part in parts:
        if not any(part in name for name in FAULTS):
            raise argparse.ArgumentTypeError(f"{part!r} is part of no fault's name; see --list")
    return parts


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.history",
        description="Record what many processes read and write through a cache, while things"
        " break, and check that no read was older than it may be. Also: `python -m tests.history"
        " report FILE …` prints what `--json` has written.",
    )
    parser.add_argument(
        *("--long",),
        dest="size",
        action="store_const",
        const="long",
        default="short",
        help="a million reads, and each fault on every pair of database and store",
    )
    parser.add_argument("--databases", type=_names(DATABASES), default=list(DATABASES))
    parser.add_argument("--stores", type=_names(STORES), default=list(STORES))
    parser.add_argument(
        "--caches", type=_names(CONTENDERS), default=["querycache", "cachalot"],
        help=f"of {', '.join(CONTENDERS)}; separated by commas, as the others",
    )  # fmt: skip
    parser.add_argument(
        "--how", type=_names(tuple(plan.HOW)), default=list(plan.HOW),
        help=f"histories without faults: {', '.join(plan.HOW)}",
    )  # fmt: skip
    parser.add_argument(
        "--faults", type=_faults, default=[""], help="all, none, or parts of their names"
    )
    parser.add_argument("--reads", type=int, help="of each history without faults; 0: none")
    parser.add_argument("--seconds", type=float, help="of each run at most")
    parser.add_argument("--readers", type=int, default=3, help="how many; 3")
    parser.add_argument("--tries", type=int, help="of each fault on each pair")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--list", action="store_true", help="list the faults and their promises")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Make every run that was asked for and can be made here; return the result."""
    size = plan.SIZES[options.size]
    if options.reads is not None:
        size = replace(size, reads=options.reads)
    if options.seconds is not None:
        size = replace(size, seconds=options.seconds, fault_seconds=options.seconds)
    if options.tries is not None:
        size = replace(size, tries=options.tries)
    size = replace(size, readers=options.readers)
    planned = [
        *(plan.histories(
            size, options.how, options.caches, options.databases, options.stores
        ) if size.reads else ()),
        *plan.faults(size, options.faults, options.databases, options.stores),
    ]  # fmt: skip
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    with Places() as places:
        for number, each in enumerate(planned, 1):
            scenario = each.scenario
            where = f"{scenario.cache}, {scenario.database}, {scenario.store}, {each.label}"
            try:
                outcome = run(scenario, places)
            except Unavailable as reason:
                _say(f"{number}/{len(planned)} {where}: left out, {reason}")
                continue
            except (RuntimeError, ProgramFailed) as error:
                failed.append(f"{where}: {error}")
                _say(f"{number}/{len(planned)} {failed[-1]}")
                continue
            except KeyboardInterrupt:
                _say(f"{number}/{len(planned)} {where}: interrupted; here is what there is")
                break
            rows.append(report.row_of(each.group, each.label, outcome))
            found = report.seen(outcome.verdict)
            tried = f", tried {outcome.tried} times" if scenario.fault is not None else ""
            _say(
                f"{number}/{len(planned)} {where}: {outcome.verdict.reads} reads in"
                f" {outcome.seconds:.0f} s{tried}, {found}"
            )
    versions = dict(sorted(chain.from_iterable(row.pop("versions").items() for row in rows)))
    return {
        "size": options.size,
        "seconds": round(time.monotonic() - started),
        "versions": versions,
        "rows": rows,
        "did not end": failed,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run what the command line asks for; ends with 1 where querycache broke a promise."""
    if sys.argv[1:2] == ["report"]:
        print(report.text(report.together([json.loads(Path(f).read_text()) for f in sys.argv[2:]])))
        return
    options = parse(sys.argv[1:])
    if options.list:
        print(
            report.table(
                ["fault", "promised"], [[each.name, each.promise] for each in FAULTS.values()]
            )
        )
        return
    # What has come so far is worth something, whoever stops the program.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = measure(options)
    print(report.text(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    broken = any(row["broken"] and row["cache"] == "querycache" for row in result["rows"])
    if broken or result["did not end"]:
        sys.exit(1)


if __name__ == "__main__":
    main()

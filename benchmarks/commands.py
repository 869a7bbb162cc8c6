"""The command line: measure, show, compare."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, STORES, Contender
from benchmarks.environment import DATABASES
from benchmarks.plan import PARTS, SIZES


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return split


def _result(text: str | Path) -> dict[str, Any]:
    from benchmarks.run import SCHEMA

    try:
        result: dict[str, Any] = json.loads(Path(text).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} holds no result: {error}") from None
    if result.get("schema") != SCHEMA:
        raise argparse.ArgumentTypeError(
            f"{text} has schema {result.get('schema')}, this program reads schema {SCHEMA}"
        )
    return result


def _chosen(options: argparse.Namespace) -> list[Contender]:
    # What ratios are taken to takes part in any case.
    return [
        contender
        for contender in CONTENDERS.values()
        if not contender.caches
        or (contender.store in options.stores and contender.name in options.contenders)
    ]


def run(arguments: Sequence[str]) -> None:
    """Measure, print tables, and write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure querycache beside no cache, the ORM alone and other caches.",
        epilog="Also: `report FILE` makes an HTML report of a result, `page FILE` the page of the"
        " documentation, `compare FILE FILE` tells what changed, `codec` measures the codec,"
        " `snapshots` pages in transactions, `outage` a store that dies, `instructions` counts what"
        " one query executes; each has --help.",
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", default="full")
    sizes.add_argument(
        "--smoke", dest="size", action="store_const", const="smoke", help="only see that it works"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report there")
    for option, known in (
        ("databases", DATABASES),
        ("stores", STORES),
        ("contenders", tuple(CONTENDERS)),
        ("parts", PARTS),
    ):
        parser.add_argument(
            f"--{option}",
            type=_names(known),
            default=None if option in ("databases", "parts") else known,
            metavar="NAMES",
            help=f"of {', '.join(known)}; separated by commas",
        )
    options = parser.parse_args(arguments)
    size = SIZES[options.size]
    options.databases = options.databases or size.databases
    options.parts = options.parts or size.parts
    from benchmarks.report import tables
    from benchmarks.run import measure_all

    result = measure_all(options.databases, _chosen(options), options.parts, options.size)
    print("\n\n".join(tables.parts(result)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if options.html:
        from benchmarks.report import html

        options.html.write_text(html.report(result))


def report(arguments: Sequence[str]) -> None:
    """Make an HTML report of a result."""
    from benchmarks.report import html

    parser = argparse.ArgumentParser(prog="python -m benchmarks report")
    parser.add_argument("result", type=_result, metavar="RESULT.json")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE")
    parser.add_argument(
        "--plots", type=Path, metavar="FOLDER", help="write each plot there too, as PNG and SVG"
    )
    options = parser.parse_args(arguments)
    options.output.write_text(html.report(options.result, options.plots))
    print(options.output)


def page(arguments: Sequence[str]) -> None:
    """Print the page of the documentation that a result makes."""
    from benchmarks.report import page as pages

    parser = argparse.ArgumentParser(prog="python -m benchmarks page")
    parser.add_argument("file", type=Path, metavar="RESULT.json")
    options = parser.parse_args(arguments)
    try:
        result = _result(options.file)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    sys.stdout.write(pages.page(result, options.file.name))


def compare(arguments: Sequence[str]) -> None:
    """Print what got better or worse from one result to another."""
    from benchmarks.report import compare as comparing

    parser = argparse.ArgumentParser(prog="python -m benchmarks compare")
    parser.add_argument("before", type=_result, metavar="BEFORE.json")
    parser.add_argument("after", type=_result, metavar="AFTER.json")
    parser.add_argument("--all", action="store_true", help="print what did not change, too")
    options = parser.parse_args(arguments)
    print(comparing.comparison(options.before, options.after, everything=options.all))


def codec(arguments: Sequence[str]) -> None:
    """Measure the codec alone."""
    from benchmarks import codec as measuring

    sys.argv = ["python -m benchmarks codec", *arguments]
    measuring.main()


def snapshots(arguments: Sequence[str]) -> None:
    """Measure pages in transactions that see one state."""
    from benchmarks import snapshots as measuring

    measuring.main(arguments)


def outage(arguments: Sequence[str]) -> None:
    """Measure what an outage of the store costs."""
    from benchmarks import outage as measuring

    measuring.main(arguments)


def instructions(arguments: Sequence[str]) -> None:
    """Count the instructions of one query."""
    from benchmarks import instructions as counting

    counting.main(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "report": report,
    "page": page,
    "compare": compare,
    "codec": codec,
    "snapshots": snapshots,
    "outage": outage,
    "instructions": instructions,
}


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    if arguments and arguments[0] in COMMANDS:
        COMMANDS[arguments[0]](arguments[1:])
    else:
        run(arguments)

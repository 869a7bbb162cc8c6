"""The course of the demo."""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TextIO

import django

from querycache.demo import data, report
from querycache.demo.crew import Crew, WorkerError
from querycache.demo.messages import Edit, Page, Plain
from querycache.demo.project import Project
from querycache.demo.results import Results

INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Course:
    """How long each part takes.

    Args:
        quick: whether to leave out the smaller cities.
        cold: how often everything is invalidated and asked for by all.
        seconds: of measuring.
        rounds: how often each process asks the page at least, with and without querycache.
        edits: how often each process asks the page while all of them write.
    """

    quick: bool
    cold: int
    seconds: float
    rounds: int
    edits: int


FULL: Final = Course(quick=False, cold=3, seconds=6, rounds=5, edits=3)
QUICK: Final = Course(quick=True, cold=2, seconds=1, rounds=3, edits=2)


def main(processes: int | None, *, quick: bool, as_json: bool) -> int:
    """Run the demo.

    Args:
        processes: how many; None for 2 to 4, by the CPUs.
        quick: fewer cities, fewer rounds.
        as_json: print one JSON object and nothing else.

    Returns:
        The exit code: 0 when every answer was right.
    """
    out = report.stdout()
    number = processes or max(2, min(4, os.cpu_count() or 2))
    try:
        with _interruptible():
            return _main(out, number, QUICK if quick else FULL, as_json=as_json)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind", file=sys.stderr)
        return INTERRUPTED
    except (data.MissingDataError, WorkerError) as error:
        print(f"querycache demo: {error}", file=sys.stderr)
        return 1


def _main(out: TextIO, processes: int, course: Course, *, as_json: bool) -> int:
    started = perf_counter()
    about: dict[str, Any] = {
        "python": platform.python_version(),
        "django": django.get_version(),
        "processes": processes,
        "cpus": os.cpu_count(),
        "quick": course.quick,
    }
    world = data.source()
    with tempfile.TemporaryDirectory(prefix="querycache-demo-") as folder:
        project = Project(Path(folder), secrets.token_hex())
        results = run(project, world, processes, course, None if as_json else out)
    about["seconds"] = round(perf_counter() - started, 1)
    found = results.as_json()
    if as_json:
        report.say(out, json.dumps(found | about, indent=2))
    else:
        report.say(out)
        report.show(out, results)
        report.say(out, f"{about['seconds']} seconds; the temporary folder is removed.")
    if results.differences:
        report.show_differences(sys.stderr, results)
    elif found["ok"]:
        if not as_json:
            report.say(out)
            report.say(out, report.SETTINGS)
        return 0
    return 1


def run(
    project: Project, world: data.Source, processes: int, course: Course, out: TextIO | None
) -> Results:
    """Load the data and go through all phases; sets Django up in this process.

    Args:
        project: whose folder is there and empty.
        world: the data.
        processes: how many ask and write.
        course: how long each part takes.
        out: where to tell what goes on; None for nowhere.
    """
    report.say(
        out,
        f"Django {django.get_version()}, Python {platform.python_version()}, SQLite (WAL) and the"
        f" embedded LMDB store in\n{project.folder};"
        f" {processes} process{'es' * (processes > 1)} on {os.cpu_count()} CPUs",
    )
    report.say(out)
    project.set_up(cached=True)
    # Models can be imported only now; and Python minds being interrupted within an import.
    from querycache.demo.page import QUESTIONS

    def starts(number: int) -> Iterator[int]:
        """Give what each process begins with: another question each, and others each round.

        Else all would want the same at once, and what comes first would always be the slowest.
        """
        return (index * len(QUESTIONS) // processes + number * 7 for index in range(processes))

    try:
        results = Results(_load(project, world, course, out))
        # Once before it counts, since it imports as well.
        _forget_everything()
        report.say(out, f"Starting {2 * processes} processes, half of them without querycache ...")
        with (
            Crew(project, processes, cached=False) as plain,
            Crew(project, processes, cached=True) as cached,
        ):
            report.say(out, "Asking with nothing cached ...")
            for number in range(course.cold):
                _forget_everything()
                results.add("cold", cached.obey(map(Page, starts(number))))
            report.say(out, "Asking with everything cached, and without querycache, by turns ...")
            end = perf_counter() + course.seconds
            for number in count():
                if number >= course.rounds and perf_counter() >= end:
                    break
                results.add("without querycache", plain.obey(map(Plain, starts(number))))
                results.add("warm", cached.obey(map(Page, starts(number))))
            report.say(out, "Asking while all of them write ...")
            results.add("with writes in between", cached.obey(repeat(Edit(course.edits))))
            results.add("afterwards", cached.obey(map(Page, starts(0))))
            results.add("afterwards", cached.obey(map(Page, starts(1))))
    finally:
        project.close()
    return results


def _load(
    project: Project, world: data.Source, course: Course, out: TextIO | None
) -> dict[str, int]:
    project.make_tables()
    started = perf_counter()
    progress = report.Progress(out, "Loading")
    rows = data.load(world, quick=course.quick, progress=progress)
    progress.end(
        f"Loaded {', '.join(f'{number:,} {name}' for name, number in rows.items())}"
        f" in {perf_counter() - started:.1f} s"
    )
    return rows


def _forget_everything() -> None:
    import querycache

    querycache.invalidate()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""

    def stop(*ignored: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

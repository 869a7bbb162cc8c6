"""Instructions of the processor in one query: `python -m benchmarks instructions`.

Times of two processes differ by some percent whatever they do; what they execute does not. valgrind
counts it: https://valgrind.org/docs/manual/cl-manual.html. Not counted are the kernel and servers,
what querycache does once a second, nor how long an instruction takes, which is longer where it has
to be fetched from memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders import CONTENDERS
from benchmarks.environment import Environment, Unavailable, open_environment
from benchmarks.processes import Process, all_of, place_of, together
from benchmarks.work.instructions import MARK
from tests.servers.programs import find_program

TAKING_PART = ("none", "floor", "querycache-memory", "querycache-lmdb", "querycache-redis")

#: What is compared with whom: a hit with the ORM alone, everything else with no cache.
CASES = {
    "hit:get": "floor",
    "hit:count": "floor",
    "hit:page": "floor",
    "miss:get": "none",
    "miss:count": "none",
    "miss:page": "none",
    "write:save": "none",
    "off:excluded": "none",
    "off:disabled": "none",
}
#: Turns; what both numbers of them have in common counts for nothing.
FEW, MANY = 40, 200


class Counted(NamedTuple):
    """What one turn of a case takes.

    Args:
        case: which.
        contender: who.
        instructions: of the processor, outside the kernel.
        over: the same over that of the case's baseline.
    """

    case: str
    contender: str
    instructions: float
    over: float


def measure(
    environment: Environment,
    database: str,
    contenders: Container[str] = TAKING_PART,
    cases: Sequence[str] = tuple(CASES),
    turns: tuple[int, int] = (FEW, MANY),
) -> list[Counted]:
    """Count the instructions of every contender in every case.

    Args:
        environment: has the servers.
        database: which kind.
        contenders: names of those that take part, besides the baselines of the cases.
        cases: of `CASES`.
        turns: few and many.

    Raises:
        Unavailable: there is no valgrind, or a server cannot run here.
    """
    measured = {name for name in TAKING_PART if name in contenders and CONTENDERS[name].real}
    parts = {
        name: [case for case in cases if CASES[case] == name or name in measured]
        for name in TAKING_PART
    }
    counts: dict[tuple[str, str], float] = {}
    # Two at a time: valgrind makes them some fifty times slower.
    waiting = [name for name, part in parts.items() if part]
    while waiting:
        now, waiting = waiting[:2], waiting[2:]
        counts.update(_count(environment, database, {name: parts[name] for name in now}, turns))
    return [
        Counted(case, name, found, found / counts[case, CASES[case]])
        for (case, name), found in counts.items()
    ]


def _count(
    environment: Environment,
    database: str,
    parts: Mapping[str, Sequence[str]],
    turns: tuple[int, int],
) -> dict[tuple[str, str], float]:
    few, many = turns
    group: list[Process] = []
    folders: dict[str, Path] = {}
    counts: dict[tuple[str, str], float] = {}
    try:
        for name in parts:
            place = place_of(environment, database, CONTENDERS[name], "instructions")
            folders[name] = place.folder
            group.append(Process(CONTENDERS[name], place, under=_valgrind(place.folder)))
        all_of(together(group, "shop.open"))
        cases = {
            case: [process for process in group if case in parts[process.name]] for case in CASES
        }
        for case, taking_part in cases.items():
            if case.startswith("hit:"):
                all_of(together(taking_part, "instructions.warm", case=case))
        for process in group:
            _count_from_now_on(process)
        for case, taking_part in cases.items():
            before = {process.name: _marks(folders[process.name]) for process in taking_part}
            all_of(together(taking_part, "instructions.count", case=case, few=few, many=many))
            for process in taking_part:
                first, second = _totals(folders[process.name], before[process.name])
                counts[case, process.name] = (second - first) / (many - few)
    finally:
        for process in group:
            # What valgrind would still write at the end takes it seconds.
            process.kill()
            process.close()
    return counts


def _valgrind(folder: Path) -> Sequence[str]:
    return (
        find_program("valgrind"),
        "--quiet",
        "--tool=callgrind",
        f"--callgrind-out-file={folder / 'out'}",
        f"--dump-before={MARK}",
        # Whatever is counted is some ten times slower; starting up and getting warm takes longest.
        "--instr-atstart=no",
    )


def _count_from_now_on(process: Process) -> None:
    subprocess.run(
        [find_program("vgdb"), f"--pid={process.pid}", "instrumentation", "on"],
        check=True,
        capture_output=True,
        timeout=60,
    )


def _marks(folder: Path) -> int:
    return len(list(folder.glob("out.*")))


def _totals(folder: Path, before: int) -> tuple[int, int]:
    """Return what was counted between the first mark and the second, and from there to the third.

    Args:
        folder: where valgrind has written a file at each mark.
        before: how many were there before.
    """
    first, second = (_total(folder / f"out.{before + number}") for number in (2, 3))
    return first, second


def _total(file: Path) -> int:
    for line in reversed(file.read_text().splitlines()):
        name, _, total = line.partition(": ")
        if name in ("totals", "summary"):
            return int(total)
    raise ValueError(f"{file} has no total")


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and print.

    Args:
        arguments: of the command line; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks instructions", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args(arguments)
    try:
        with open_environment() as environment:
            found = measure(environment, options.database)
    except Unavailable as reason:
        parser.exit(1, f"{reason}\n")
    if options.json:
        print(json.dumps([counted._asdict() for counted in found], indent=2))
        return
    print(f"{'case':<16}{'contender':<22}{'instructions':>14}{'over':>12}")
    for case, baseline in CASES.items():
        for counted in found:
            if counted.case == case:
                label = CONTENDERS[counted.contender].label
                print(f"{case:<16}{label:<22}{counted.instructions:>14,.0f}", end="")
                print(f"{counted.over:>8.3f} {baseline}")


if __name__ == "__main__":
    main()

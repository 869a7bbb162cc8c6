"""Check the model of the stamp protocol with Spin: `python -m model.run`.

Every variant is explored to the end. The protocol must hold, and must fail as soon as one of its
mechanisms is left out; else the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("protocol.pml")

#: Programs that must be installed.
PROGRAMS = ("spin", "gcc")


@dataclass(frozen=True, slots=True)
class Variant:
    """One model to explore.

    Args:
        name: in the table and on the command line.
        defines: what `protocol.pml` is compiled with, such as ``"W=1 LATE"``.
        holds: whether no read may be stale in it; else a stale read must be found.
        full: whether it takes too long for the short form.
    """

    name: str
    defines: str
    holds: bool
    full: bool = False


#: The protocol, at the sizes and with the stores that matter.
PROTOCOL = (
    Variant("2 writers, 2 readers", "W=2 R=2 TOUCHES LATE", True),
    Variant("1 writer, 2 readers, 2 dependencies", "W=1 R=2 D=2", True),
    Variant("failover, 2 writers, 1 reader", "W=2 R=1 FAILOVER", True),
    Variant("a store that loses nothing", "W=2 R=2 DURABLE KEEPS TOUCHES", True),
    Variant("companion", "W=2 R=1 D=2 COMPANION TOUCHES LATE", True),
    Variant("companion, in two steps", "W=2 R=2 D=2 COMPANION PARTS", True),
    Variant("companion, failover", "W=1 R=1 D=2 COMPANION FAILOVER", True),
    Variant("bounded: not staler than the last touch", "W=2 R=2 BOUNDED", True),
    Variant("snapshots, 2 writers, 1 reader", "W=2 R=2 SNAPSHOT TOUCHES", True),
    Variant("no reductions, 1 transaction each", "W=2 R=2 PLAIN TX=1 MOST=3", True),
    Variant("companion, 2 readers", "W=2 R=2 D=2 COMPANION TOUCHES LATE", True, full=True),
    Variant("3 writers, 2 readers", "W=3 R=2 TOUCHES LATE", True, full=True),
    Variant("2 writers, 3 readers", "W=2 R=3 TOUCHES LATE", True, full=True),
    Variant("2 writers, 1 reader, 2 dependencies", "W=2 R=1 D=2", True, full=True),
    Variant("late and touch, 2 dependencies", "W=1 R=2 D=2 TOUCHES LATE", True, full=True),
    Variant("failover, 1 writer, 2 readers", "W=1 R=2 FAILOVER", True, full=True),
    Variant("failover, 1 and 1, 2 dependencies", "W=1 R=1 D=2 FAILOVER", True, full=True),
    Variant("bounded, 2 dependencies", "W=1 R=2 D=2 BOUNDED", True, full=True),
    Variant("no reductions, 2 transactions each", "W=2 R=2 PLAIN TX=2 MOST=2", True, full=True),
    Variant("no reductions, failover", "W=1 R=1 FAILOVER PLAIN TX=1 MOST=3", True, full=True),
    Variant("no reductions, 2 dependencies", "W=1 R=1 D=2 PLAIN TX=2 MOST=2", True, full=True),
)

#: The protocol without one of its mechanisms each.
MUTANTS = (
    Variant("without begin before the commit", "W=1 R=1 LATE_BEGIN", False),
    Variant("without a set of leases", "W=2 R=1 ONE_LEASE", False),
    Variant("without a nonce", "W=1 R=1 NO_NONCE MOST=2", False),
    Variant("without stamps before the query", "W=1 R=1 STAMPS_AFTER", False),
    Variant("without all stamps compared", "W=1 R=1 D=2 ONE_STAMP MOST=1 TX=1", False),
    Variant("without refusing what holds leases", "W=1 R=1 STORE_UNDER_LEASES MOST=1", False),
    Variant("without quarantine by readers", "W=1 R=1 NO_QUARANTINE_BY_READER", False),
    Variant("without quarantine by begin", "W=2 R=1 NO_QUARANTINE_BY_BEGIN", False),
    Variant("without quarantine by end", "W=2 R=1 NO_QUARANTINE_BY_END", False),
    Variant("without quarantine by touch", "W=1 R=1 NO_QUARANTINE_BY_TOUCH TOUCHES", False),
    Variant("without quarantine for a whole lease", "W=1 R=1 SHORT_QUARANTINE", False),
    Variant("without leases of a companion", "W=1 R=1 D=2 COMPANION ALONE_BESIDE_WRITERS", False),
    Variant("without asking it for an end", "W=1 R=1 D=2 COMPANION OVER_ANYWAY", False),
    Variant("without the companion", "W=1 R=1 D=2 COMPANION ALONE_WITHOUT_COMPANION", False),
    Variant("without it first", "W=1 R=1 D=2 COMPANION PARTS COMPANION_LAST", False),
    Variant("without the clock before the state", "W=1 R=2 SNAPSHOT TAKE_FIRST", False),
    Variant("without taking the state", "W=1 R=2 SNAPSHOT NOT_TAKEN", False),
    Variant("without the sequence", "W=1 R=2 SNAPSHOT NO_SEQUENCE", False),
    Variant("without the epoch", "W=1 R=1 FAILOVER NO_EPOCH", False),
)

#: What the protocol needs, or does not promise: each of these is a limit that the docs name.
LIMITS = (
    Variant("limit: a lease ends before its commit", "W=1 R=1 FROZEN", False),
    Variant("limit: a durable store that is not", "W=1 R=1 DURABLE", False),
    Variant("limit: bounded is not strict", "W=1 R=1 BOUNDED STRICTLY", False),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a variant.

    Args:
        variant: its name.
        verdict: ``"verified"``, ``"refuted"``, or what went wrong.
        passed: whether that is what must come of it.
        states: how many states were stored.
        depth: of the deepest state, in steps of Spin's.
        seconds: that it took, with compiling.
        story: the counterexample, a line for each step; none where there is none.
    """

    variant: str
    verdict: str
    passed: bool
    states: int
    depth: int
    seconds: float
    story: tuple[str, ...] = ()


def missing() -> list[str]:
    """Return the programs that are needed and not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def check(variant: Variant, memory: int = 2500) -> Result:
    """Explore a variant to its end, or to the first counterexample, a shortest one.

    Args:
        variant: the one.
        memory: what the exploration may take, in MB.

    Raises:
        RuntimeError: Spin or the compiler failed; the message holds their output.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="querycache-model-") as name:
        folder = Path(name)
        shutil.copy(MODEL, folder)
        defines = [f"-D{define}" for define in variant.defines.split()]
        _run(folder, "spin", *defines, "-a", MODEL.name)
        options = ["-DSAFETY", "-DNOFAIR", f"-DMEMLIM={memory}"]
        if variant.holds:
            # A search that would go deeper says so, and counts as failed.
            options += ["-O2", "-DCOLLAPSE"] if variant.full else ["-Og"]
            search = ["-m20000000" if variant.full else "-m3000000"]
        else:
            # Breadth first, for a shortest counterexample; it comes faster than an optimised build.
            options += ["-O0", "-DBFS"]
            search = []
        _run(folder, "gcc", "-w", *options, "-o", "pan", "pan.c")
        output = _run(folder, str(folder / "pan"), "-w22", *search)
        verdict = _verdict(output)
        story: tuple[str, ...] = ()
        if (folder / f"{MODEL.name}.trail").exists():
            story = tuple(_story(_run(folder, "spin", *defines, "-t", MODEL.name)))
    return Result(
        variant=variant.name,
        verdict=verdict,
        passed=verdict == ("verified" if variant.holds else "refuted"),
        states=_number(r"(\d+) states, stored", output),
        depth=_number(r"depth reached (\d+)", output),
        seconds=round(time.monotonic() - started, 1),
        story=story,
    )


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=folder,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _verdict(output: str) -> str:
    if "assertion violated" in output:
        return "refuted"
    if "invalid end state" in output.partition("Full statespace")[0]:
        return "comes to a standstill"
    if "max search depth too small" in output:
        return "unfinished: deeper than allowed"
    if "Search not completed" in output or "MEMLIM" in output or "errors: 0" not in output:
        return "unfinished"
    # What no execution comes to has not been checked: every statement must be reached.
    for line in re.findall(r"^\t\S+:(\d+), state \d+, \"(?!-end-)", output, re.MULTILINE):
        return f"never comes to line {line}"
    return "verified"


def _story(output: str) -> Iterator[str]:
    for line in output.splitlines():
        if re.match(r"\s*(reader|writer|snapshot|store|somebody|process)\b", line):
            yield line.strip()


def undefined(variants: Sequence[Variant]) -> list[str]:
    """Return the names that variants define and the model does not know, as by a slip."""
    names = {define.partition("=")[0] for one in variants for define in one.defines.split()}
    conditions = re.findall(r"^#(?:el)?if.*", MODEL.read_text(), re.MULTILINE)
    asked = set(re.findall(r"\b[A-Z][A-Z_]*\b", " ".join(conditions)))
    return sorted(names - asked)


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield f"{'variant':45} {'states':>10} {'depth':>8} {'seconds':>7} {'steps':>5}  verdict"
    for one in results:
        steps = str(len(one.story)) if one.story else "-"
        mark = "" if one.passed else "  <-- WRONG"
        yield (
            f"{one.variant:45} {one.states:>10,} {one.depth:>8,} {one.seconds:>7.1f} {steps:>5}"
            f"  {one.verdict}{mark}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m model.run", description=__doc__)
    parser.add_argument("--full", action="store_true", help="larger sizes too: some ten minutes")
    parser.add_argument("--json", action="store_true", help="print JSON, counterexamples included")
    parser.add_argument("--story", action="store_true", help="print the counterexamples")
    parser.add_argument("--only", metavar="TEXT", help="variants whose name contains this")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--memory", type=int, default=2500, help="MB for each job (default: 2500)")
    options = parser.parse_args(arguments)
    if absent := missing():
        sys.stderr.write(f"not installed: {', '.join(absent)}\n")
        return 2
    variants = [*PROTOCOL, *MUTANTS, *LIMITS]
    if unknown := undefined(variants):
        sys.stderr.write(f"not in the model: {', '.join(unknown)}\n")
        return 2
    if options.only:
        variants = [one for one in variants if options.only in one.name]
    elif not options.full:
        variants = [one for one in variants if not one.full]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda one: check(one, options.memory), variants))
    if options.json:
        sys.stdout.write(json.dumps([asdict(one) for one in results], indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_table(results)) + "\n")
    if options.story:
        for one in results:
            if one.story:
                sys.stdout.write("\n".join([f"\n{one.variant}", *one.story]) + "\n")
    return 0 if results and all(one.passed for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to start: fresh processes, until Django is set up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.environment import ROOT
from benchmarks.figures import ratios, rounded
from benchmarks.parts.base import Run
from benchmarks.processes import SAME_HASHES, Failed


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Measure the start of each contender, in turns.

    Args:
        run: which run.
        database: on which; nobody connects to it.
    """
    places = run.places(
        database,
        "startup",
        lambda contender: contender.real and not contender.is_variant,
    )
    spent: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    # The first round compiles modules and warms the disk's cache.
    for turn in range(run.size.starts + 1):
        for contender, place in places.items():
            if contender.name in failed:
                continue
            try:
                took = _start(place.described(contender))
            except Failed as reason:
                failed[contender.name] = str(reason)
                spent.pop(contender.name, None)
                continue
            if turn:
                spent.setdefault(contender.name, []).append(took)
        run.progress.step(f"{turn}")
    found: dict[str, Any] = {name: {"ms": rounded(own, 1)} for name, own in spent.items()}
    for name, more in ratios(spent).items():
        found[name] |= more
    return found | {name: {"failed": reason} for name, reason in failed.items()}


def _start(described: dict[str, Any]) -> float:
    # Compiled modules are what an installed package has, and a checkout has after its first start.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", json.dumps(described)],
        cwd=ROOT,
        env=env | SAME_HASHES,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["no output"])[-1])
    return float(done.stdout)

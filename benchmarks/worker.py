"""One process of a contender: told through a pipe what to do, it answers with what that gave.

The first line of standard input is its configuration, each further one a command; each answer is a
line of JSON. While it waits for a command it does nothing, so contenders take turns on one machine.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import settings_for
from benchmarks.site.settings import with_tables
from benchmarks.work.base import Bench

#: The first word of a command → the work that knows it.
WORKS = {
    "shop": "benchmarks.work.shop:Shop",
    "queries": "benchmarks.work.queries:Queries",
    "traffic": "benchmarks.work.traffic:Traffic",
    "load": "benchmarks.work.load:Load",
    "witness": "benchmarks.work.witness:Witness",
    "memory": "benchmarks.work.memory:Memory",
    "slow": "benchmarks.work.slow:Slow",
    "snapshots": "benchmarks.work.snapshots:Snapshots",
    "instructions": "benchmarks.work.instructions:Instructions",
    "outage": "benchmarks.work.outage:Outage",
}


class Worker:
    """Finds the work for a command.

    Args:
        bench: whose process this is.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._works: dict[str, Any] = {}

    def do(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run a command such as ``"queries.run"``."""
        work, _, method = name.partition(".")
        if work not in self._works:
            module, _, kind = WORKS[work].partition(":")
            self._works[work] = getattr(import_module(module), kind)(self.bench)
        answer: dict[str, Any] = getattr(self._works[work], method)(**arguments)
        return answer


def main() -> None:
    """Answer commands until standard input ends."""
    # Whatever else writes to standard output must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    contender = CONTENDERS[start["contender"]]
    chosen = settings_for(contender, start["database"], start["store"], Path(start["folder"]))
    settings.configure(**(with_tables(chosen) if start.get("fill") else chosen))
    django.setup()
    contender.install()
    worker = Worker(Bench(contender, start["store"]))
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = worker.do(command.pop("do"), command)
        except Exception as error:  # noqa: BLE001 - told to the parent, which decides
            if os.environ.get("BENCHMARKS_DEBUG"):
                traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

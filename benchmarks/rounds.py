"""Drives the contenders' processes in turn: whatever slows the machine slows all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environment import Environment

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A contender could not do what it was told."""


class Process:
    """The process of one contender.

    Args:
        contender: who.
        database: settings of its own database.
        store: URL of its store's server, empty for none.
        folder: its own.
    """

    def __init__(
        self, contender: Contender, database: dict[str, Any], store: str, folder: Path
    ) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # Where strings land in dicts would otherwise make a difference between contenders.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self.tell(
            contender=contender.name, database=database, store=store, folder=str(folder), do=None
        )

    def tell(self, **command: Any) -> None:
        """Send a command; `hear` waits for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.contender.name} has ended") from None

    def hear(self) -> dict[str, Any]:
        """Return the answer to the oldest command that has none yet.

        Raises:
            Failed: it could not be done, or the process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{self.contender.name} has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.contender.name}: {answer['error']}")
        return answer

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.tell(do=do, **arguments)
        return self.hear()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def processes(
    environment: Environment, database: str, contenders: Iterable[Contender]
) -> Iterator[list[Process]]:
    """Give a process for each contender, with a database of its own that is filled.

    Raises:
        Unavailable: a server cannot run here.
    """
    with ExitStack() as stack:
        started = []
        for contender in contenders:
            name = f"{database}-{contender.name}"
            folder = environment.folder / name
            folder.mkdir()
            process = Process(
                contender,
                environment.database(database, name),
                environment.store(contender.store),
                folder,
            )
            stack.callback(process.close)
            started.append(process)
        yield started


def together(group: Sequence[Process], do: str, **arguments: Any) -> list[dict[str, Any]]:
    """Let all do something at the same time: what takes long and is not measured."""
    for process in group:
        process.tell(do=do, **arguments)
    return [process.hear() for process in group]


def measure(
    group: Sequence[Process], case: str, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return the seconds of one turn of a case, round by round, for each contender.

    Hits on Redis are joined by ``"mget"``: bare MGETs of the keys that they ask for.

    Args:
        group: who takes part.
        case: what runs, such as ``"hit:get"``.
        rounds: how often everybody has a go.
        seconds: how long one go lasts, about.

    Raises:
        Failed: a contender did not do what the case says: a hit that reached the database.
    """
    lanes = [(process.contender.name, process, case) for process in group]
    if case.startswith("hit:"):
        # A store that has just been started keeps readers out for a lease: wait for all at once.
        together(group, "prepare", case=case, seconds=0.0001)
        lanes += [
            ("mget", process, case.replace("hit:", "mget:"))
            for process in group
            if process.contender.name == "querycache-redis"
        ]
    numbers = {}
    for name, process, lane_case in lanes:
        answer = process.ask("prepare", case=lane_case, seconds=seconds)
        if not answer["as_named"]:
            raise Failed(f"{name} does not do what {lane_case} says")
        numbers[name] = answer["number"]
    times: dict[str, list[float]] = {name: [] for name, _, _ in lanes}
    for turn in range(rounds):
        # Not always in the same order: a neighbour may leave caches warm or cold.
        start = turn % len(lanes)
        for name, process, lane_case in (*lanes[start:], *lanes[:start]):
            answer = process.ask("run", case=lane_case, number=numbers[name])
            times[name].append(answer["seconds"])
    return times


def drive_traffic(
    group: Sequence[Process], writes: int, warm: int, measured: int, batch: int
) -> dict[str, dict[str, Any]]:
    """Return what shop traffic cost each contender, batch by batch.

    Args:
        group: who takes part.
        writes: how many in 100 operations write.
        warm: operations before the first that is measured.
        measured: operations that are measured.
        batch: operations in one go.
    """
    together(group, "traffic", writes=writes, number=warm)
    found: dict[str, dict[str, Any]] = {
        process.contender.name: {"seconds": [], "reads": 0, "reached": 0} for process in group
    }
    for turn in range(measured // batch):
        start = turn % len(group)
        for process in (*group[start:], *group[:start]):
            answer = process.ask("traffic", writes=writes, number=batch)
            mine = found[process.contender.name]
            mine["seconds"].append(answer["seconds"])
            mine["reads"] += answer["reads"]
            mine["reached"] += answer["reached"]
    return found

"""The contenders' processes: told through pipes what to do, and when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contenders import Contender
from benchmarks.environment import ROOT, Environment

#: Where strings land in dicts would otherwise make a difference between contenders.
SAME_HASHES = {"PYTHONHASHSEED": "0"}


class Failed(Exception):
    """A contender could not do what it was told."""


class Place(NamedTuple):
    """Where a contender runs; several processes may share one.

    Args:
        database: settings of its database.
        store: URL of its store's server, empty for none.
        folder: its own.
    """

    database: dict[str, Any]
    store: str
    folder: Path

    def described(self, contender: Contender) -> dict[str, Any]:
        """Return what a process is told of itself."""
        return {
            "contender": contender.name,
            "database": self.database,
            "store": self.store,
            "folder": str(self.folder),
        }


class Process:
    """One process of a contender.

    Args:
        contender: who.
        place: where.
        under: a program and its arguments that the process runs under.
    """

    def __init__(self, contender: Contender, place: Place, *, under: Sequence[str] = ()) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **SAME_HASHES},
        )
        self._send(place.described(contender))

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    @property
    def pid(self) -> int:
        """The number that the system knows it by."""
        return self._process.pid

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command; `hear` waits for its answer.

        Args:
            do: a work and what it shall do, such as ``"queries.run"``.
            arguments: of that method.
        """
        self._send({"do": do, **arguments})

    def hear(self) -> dict[str, Any]:
        """Return the answer to the oldest command that has none yet.

        Raises:
            Failed: it could not be done, or the process has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.tell(do, **arguments)
        return self.hear()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            # What was sent to a process that has ended cannot be delivered.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def _send(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name} has ended") from None


def place_of(environment: Environment, database: str, contender: Contender, part: str) -> Place:
    """Make a place for a contender.

    Args:
        environment: has the servers.
        database: which kind.
        contender: who.
        part: of the run; a contender has one place in each, on each database.

    Raises:
        Unavailable: a server cannot run here.
    """
    folder = environment.make_folder(part)
    return Place(
        environment.database(database, folder.name), environment.store(contender.store), folder
    )


@contextmanager
def started(placed: Iterable[tuple[Contender, Place]]) -> Iterator[list[Process]]:
    """Give processes that end with the block."""
    with ExitStack() as stack:
        group = []
        for contender, place in placed:
            process = Process(contender, place)
            stack.callback(process.close)
            group.append(process)
        yield group


def together(
    group: Sequence[Process], do: str, **arguments: Any
) -> dict[Process, dict[str, Any] | Failed]:
    """Let all do something at the same time; what goes wrong is part of the answers."""
    answers: dict[Process, dict[str, Any] | Failed] = {}
    told = []
    for process in group:
        try:
            process.tell(do, **arguments)
            told.append(process)
        except Failed as reason:
            answers[process] = reason
    for process in told:
        try:
            answers[process] = process.hear()
        except Failed as reason:
            answers[process] = reason
    return answers


def all_of(answers: Mapping[Process, dict[str, Any] | Failed]) -> list[dict[str, Any]]:
    """Return the answers of `together`.

    Raises:
        Failed: one of them is a failure.
    """
    for answer in answers.values():
        if isinstance(answer, Failed):
            raise answer
    return [answer for answer in answers.values() if not isinstance(answer, Failed)]

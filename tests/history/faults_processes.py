"""Faults of workers: killed, stopped, forked; threads and tasks in place of processes."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from tests.history.fault import Fault, Steps, pause
from tests.history.mishaps import READER_STEPS, WRITER_STEPS

if TYPE_CHECKING:
    from tests.history.scenario import Run

#: Stores that several processes share.
SHARED = ("lmdb", "redis", "memcached")


def killed_at_random(role: str) -> Callable[[Run], Steps]:
    """Kill workers of a role, whatever they are doing, and start others in their place."""

    def make(run: Run) -> Steps:
        while True:
            yield from pause(random.uniform(0.02, 0.2))
            pid = random.choice(run.pids(role))
            os.kill(pid, signal.SIGKILL)
            run.wait_for_end(pid)
            run.replace(pid)
            run.tried += 1

    return make


def killed_at_steps(role: str, *steps: str) -> Callable[[Run], Steps]:
    """Let workers of a role kill themselves at each step of their store in turn."""

    def make(run: Run) -> Steps:
        doomed: dict[int, str] = {}
        for step in cycle(steps):
            pid = random.choice([pid for pid in run.pids(role) if pid not in doomed])
            os.kill(pid, signal.SIGKILL)
            run.wait_for_end(pid)
            pid = run.replace(pid, step=step, mishap="dies", lives=random.randrange(1, 8))
            doomed[pid] = step
            while pid not in run.exits:
                yield
            assert run.exits[pid] == -signal.SIGKILL, run.exits[pid]
            run.replace(pid)
            run.tried += 1

    return make


def stands_still(pid: int) -> bool:
    """Tell whether a process was stopped by a signal."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The state follows the name, which is in brackets.
    return stat.rpartition(")")[2].split()[0] == "T"


def frozen_at_steps(share: float, *steps: str) -> Callable[[Run], Steps]:
    """Stop writers at steps of their store, for a share of a lease, and let them go on."""

    def make(run: Run) -> Steps:
        for step in cycle(steps):
            pid = random.choice(run.pids("writer"))
            os.kill(pid, signal.SIGKILL)
            run.wait_for_end(pid)
            pid = run.replace(pid, step=step, mishap="freezes", lives=random.randrange(1, 8))
            try:
                while not stands_still(pid):
                    yield
                yield from pause(share * run.scenario.lease)
            finally:
                os.kill(pid, signal.SIGCONT)
            run.tried += 1

    return make


def frozen_at_random(run: Run) -> Steps:
    """Stop writers, whatever they are doing, for half a lease at most."""
    while True:
        yield from pause(random.uniform(0.02, 0.2))
        pid = random.choice(run.pids("writer"))
        os.kill(pid, signal.SIGSTOP)
        try:
            yield from pause(random.uniform(0.05, 0.5) * run.scenario.lease)
        finally:
            os.kill(pid, signal.SIGCONT)
        run.tried += 1


def forked_after_use(run: Run) -> Steps:
    """Use the cache in the process that is forked from, and at once fork workers from it."""
    while True:
        yield from pause(0.1)
        for role in ("reader", "writer"):
            pid = random.choice(run.pids(role))
            os.kill(pid, signal.SIGKILL)
            run.wait_for_end(pid)
            run.use_crew()
            run.replace(pid)
            run.tried += 1


def _nothing(run: Run) -> Steps:
    run.tried += 1
    while True:
        yield


_NOTHING_STALE = "nothing is stale"
#: Between the commit and its end there is time to read.
_SLOW = {"slow": 0.02}

FAULTS = (
    Fault(
        "reader killed at random",
        _NOTHING_STALE,
        killed_at_random("reader"),
        stores=SHARED,
    ),
    Fault(
        "writer killed at random",
        _NOTHING_STALE,
        killed_at_random("writer"),
        stores=SHARED,
    ),
    Fault(
        "writer killed at each step (" + ", ".join(WRITER_STEPS) + ")",
        _NOTHING_STALE,
        killed_at_steps("writer", *WRITER_STEPS),
        stores=SHARED,
    ),
    Fault(
        "reader killed at each step (" + ", ".join(READER_STEPS) + ")",
        _NOTHING_STALE,
        killed_at_steps("reader", *READER_STEPS),
        stores=SHARED,
    ),
    Fault(
        "writer stopped at random, for less than a lease",
        _NOTHING_STALE,
        frozen_at_random,
        stores=SHARED,
    ),
    Fault(
        "writer stopped around its commit, for half a lease",
        _NOTHING_STALE,
        frozen_at_steps(0.5, "after begin", "before commit", "before end"),
        stores=SHARED,
    ),
    Fault(
        "writer stopped in the middle of its begin, for longer than a lease",
        _NOTHING_STALE,
        frozen_at_steps(1.5, "after begin"),
        stores=SHARED,
        changes=_SLOW,
    ),
    Fault(
        "writer stopped just before its commit, for longer than a lease",
        "none: a limit",
        frozen_at_steps(1.5, "before commit"),
        stores=SHARED,
        lag=None,
        changes=_SLOW,
    ),
    Fault(
        "forked while the cache is in use",
        _NOTHING_STALE,
        forked_after_use,
        stores=SHARED,
    ),
    Fault("threads of one process", _NOTHING_STALE, _nothing, changes={"style": "threads"}),
    Fault(
        "asyncio tasks",
        _NOTHING_STALE,
        _nothing,
        stores=SHARED,
        changes={"style": "tasks"},
    ),
)

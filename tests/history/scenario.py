"""One run: a database, a store, workers, what slows them and what goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.history import records
from tests.history.board import QUIET, READ_ONLY, Board, Spec
from tests.history.checker import Verdict, check
from tests.history.lanes import Lanes
from tests.history.pipes import Program
from tests.history.places import DatabaseServer, Place, Places

if TYPE_CHECKING:
    from tests.history.fault import Fault

#: Seconds after which a run that does not end has failed.
PATIENCE = 120.0

#: Seconds between two looks at how a run goes on.
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run.

    Args:
        database: one of `places.DATABASES`.
        store: one of `places.STORES`.
        cache: one of `contenders.CONTENDERS`.
        style: one of `styles.STYLES`.
        readers: how many.
        writers: how many.
        reads: after so many the run ends, if the fault was made often enough;
        tries: that is so often;
        seconds: or it ends after so many seconds.
        lease: seconds that a lease lasts.
        options: more of ``QUERYCACHE``.
        store_options: of the store's servers.
        nodes: servers of the store.
        delays: name or role of a worker → the least and the most seconds that bytes between it
            and the store are late, in each direction.
        slow: seconds that a commit takes longer before and after it commits, at most.
        between: reads of all workers between two writes of a writer, on average.
        mutant: mechanism of querycache that is taken out.
        lag: seconds that a read may be stale, as the options promise.
        fault: what goes wrong; it has a lag of its own.
    """

    database: str = "sqlite"
    store: str = "lmdb"
    cache: str = "querycache"
    style: str = "processes"
    readers: int = 3
    writers: int = 2
    reads: int = 10_000
    tries: int = 0
    seconds: float = 5.0
    lease: float = 5.0
    options: Mapping[str, Any] = field(default_factory=dict)
    store_options: Mapping[str, Any] = field(default_factory=dict)
    nodes: int = 1
    delays: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    slow: float = 0.0
    between: float = 20.0
    mutant: str = ""
    lag: float = 0.0
    fault: Fault | None = None


@dataclass(slots=True)
class Outcome:
    """What came out of a run.

    Args:
        scenario: what was run.
        verdict: of the checker.
        tried: how often the fault was made.
        seconds: how long it took, the check included.
        versions: of what took part.
    """

    scenario: Scenario
    verdict: Verdict
    tried: int
    seconds: float
    versions: dict[str, str]


@dataclass(slots=True)
class Member:
    """A process of workers.

    Args:
        specs: its workers.
        places: theirs on the board.
    """

    specs: list[Spec]
    places: list[int]

    @property
    def is_writer(self) -> bool:
        """Whether it is a writer and nothing else."""
        return all(spec.role == "writer" for spec in self.specs)


class Run:
    """A run as it goes on; faults work on this.

    Args:
        scenario: what is run.
        places: its servers.
    """

    def __init__(self, scenario: Scenario, places: Places) -> None:
        self.scenario = scenario
        self.places = places
        self.name = places.new_name()
        self.folder = places.folder / self.name
        self.folder.mkdir()
        self.members: dict[int, Member] = {}
        #: pid → exit status of those that have ended.
        self.exits: dict[int, int] = {}
        self.tried = 0
        self._stack = ExitStack()
        self._generations: Counter[tuple[str, int]] = Counter()
        self._workers = 0
        self._lanes: Lanes | None = None
        self.database_server: DatabaseServer | None = None

    # -- for faults ----------------------------------------------------------------------------

    @property
    def lanes(self) -> Lanes:
        """The proxy between workers and servers."""
        if self._lanes is None:
            self._lanes = self._stack.enter_context(Lanes())
        return self._lanes

    def pids(self, role: str = "") -> list[int]:
        """Return the processes that are there, of a role or all."""
        return [
            pid
            for pid, member in self.members.items()
            if not role or any(spec.role == role for spec in member.specs)
        ]

    def fork(self, role: str, number: int, **more: Any) -> int:
        """Start a worker in the place of an earlier one, and return its pid."""
        return self._start([self._spec(role, number, **more)], "processes")

    def replace(self, pid: int, **more: Any) -> int:
        """Start a successor of a worker that has ended."""
        (spec,) = self.members.pop(pid).specs
        return self.fork(spec.role, spec.number, **more)

    def use_crew(self) -> None:
        """Have the process that workers are forked from use the database and the cache."""
        self._crew.ask("look")

    def follow(self) -> None:
        """Find out who has ended."""
        for pid, status in self._crew.ask("ended")["ended"]:
            self.exits[pid] = status

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something has become true.

        Raises:
            RuntimeError: it has not.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"never came true: {what}")
            self.follow()
            time.sleep(_TICK)

    def wait_for_end(self, pid: int) -> int:
        """Wait until a process has ended and return its exit status."""
        self.wait(lambda: pid in self.exits, f"process {pid} has ended")
        return self.exits[pid]

    # -- the run -------------------------------------------------------------------------------

    def go(self) -> Outcome:
        """Run it and check what was seen."""
        started = time.monotonic()
        try:
            with self._stack:
                versions = self._enter()
                self._fill()
                self._work()
                self._end()
            verdict = check(records.load(self.folder))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        seconds = time.monotonic() - started
        return Outcome(self.scenario, verdict, self.tried, seconds, versions)

    def _enter(self) -> dict[str, str]:
        scenario = self.scenario
        database, self.database_server = self.places.database(scenario.database, self.name)
        self.store: Place = self.places.store(
            scenario.store, scenario.store_options, scenario.nodes, self.name
        )
        if self.store.group is not None:
            self._stack.callback(self.store.group.close)
        if self.database_server is not None:
            self._stack.callback(self.database_server.drop_database, self.name)
        self._crew = self._stack.enter_context(Program("crew"))
        self._stack.callback(self._kill_all)
        if scenario.fault is not None and scenario.fault.database_lane:
            assert self.database_server is not None
            port = self.lanes.port("database", ("127.0.0.1", self.database_server.port))
            database["PORT"] = str(port)
        options = {"LEASE": scenario.lease, **scenario.options}
        versions: dict[str, str] = self._crew.ask(
            "enter",
            cache=scenario.cache,
            store=self.store.url(self.store.addresses()),
            prefix=self.name,
            options=options if scenario.cache == "querycache" else {},
            database=database,
            folder=str(self.folder),
            writers=scenario.writers,
            slow=scenario.slow,
        )["versions"]
        self.board = Board(self.folder)
        return versions

    def _fill(self) -> None:
        scenario = self.scenario
        specs = [
            *(self._spec("writer", number) for number in range(scenario.writers)),
            *(self._spec("reader", number) for number in range(scenario.readers)),
        ]
        if scenario.style == "threads":
            self._start(specs, "threads")
            return
        writers, readers = specs[: scenario.writers], specs[scenario.writers :]
        for spec in writers:
            self._start([spec], "processes")
        if scenario.style == "tasks":
            self._start(readers, "tasks")
            return
        for spec in readers:
            self._start([spec], "processes")

    def _work(self) -> None:
        scenario = self.scenario
        fault = scenario.fault
        deadline = time.monotonic() + scenario.seconds
        reads = 0
        made = fault.make(self) if fault is not None else None
        while time.monotonic() < deadline:
            if reads >= scenario.reads and self.tried >= scenario.tries:
                break
            if made is not None:
                # One step of the fault; it waits by itself.
                next(made)
            time.sleep(_TICK)
            self.follow()
            self._complain()
            reads = self.board.reads()
        if made is not None:
            made.close()

    def _end(self) -> None:
        self.board.state = READ_ONLY
        self.wait(self._writers_are_done, "the writers are done")
        self.board.state = QUIET
        self.wait(lambda: not self.members.keys() - self.exits.keys(), "all workers have ended")
        self._complain()

    def _writers_are_done(self) -> bool:
        return all(
            pid in self.exits or self.board.has_left(place)
            for pid, member in self.members.items()
            for spec, place in zip(member.specs, member.places, strict=True)
            if spec.role == "writer"
        )

    def _complain(self) -> None:
        for pid in self.members:
            status = self.exits.get(pid, 0)
            if status > 0:
                raise RuntimeError(f"a worker failed with status {status}; see standard error")

    def _kill_all(self) -> None:
        for pid in self.members.keys() - self.exits.keys():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _spec(self, role: str, number: int, **more: Any) -> Spec:
        scenario = self.scenario
        generation = self._generations[role, number]
        self._generations[role, number] += 1
        name = f"{role}{number}-{generation}"
        isolation = ""
        # Threads of a process have its settings in common.
        if role == "reader" and number == 0 and scenario.style == "processes":
            isolation = "repeatable read"
        return Spec(
            name,
            role,
            number,
            generation,
            store=self._store_of(role, number),
            isolation=isolation,
            mutant=scenario.mutant,
            between=scenario.between,
            lag=scenario.lag if scenario.fault is None else scenario.fault.lag or 0.0,
            patience=0.0 if scenario.cache == "none" else 3 * scenario.lease + 5,
            **more,
        )

    def _store_of(self, role: str, number: int) -> str:
        scenario = self.scenario
        if not (scenario.delays or (scenario.fault and scenario.fault.store_lanes)):
            return ""
        worker = f"{role}{number}"
        addresses = []
        for node, target in enumerate(self.store.addresses()):
            lane = f"{worker}.{node}"
            addresses.append(("127.0.0.1", self.lanes.port(lane, target)))
            least, most = scenario.delays.get(worker, scenario.delays.get(role, (0, 0)))
            if most:
                self.lanes.delay(lane, least, most)
        return self.store.url(addresses)

    def _start(self, specs: list[Spec], style: str) -> int:
        places = list(range(self._workers, self._workers + len(specs)))
        self._workers += len(specs)
        answer = self._crew.ask("fork", specs=[asdict(spec) for spec in specs], style=style)
        pid = int(answer["pid"])
        self.members[pid] = Member(specs, places)
        return pid


def run(scenario: Scenario, places: Places) -> Outcome:
    """Run a scenario and check what was seen.

    Args:
        scenario: what is run.
        places: its servers.

    Raises:
        RuntimeError: it did not come to its end.
    """
    return Run(scenario, places).go()

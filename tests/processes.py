"""Other processes for tests: peers that read and write on demand, and workers that hammer."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from django.db import connections, transaction

from querycache.state import transaction_of
from tests.explaining import cache_of
from tests.outages import STEPS, Faults

#: Seconds after which a process that does not answer has failed the test.
PATIENCE = 60.0


@dataclass(frozen=True)
class Place:
    """What a process that was not forked needs to reach the same database and store.

    Args:
        alias: of the database.
        database: its settings.
        settings: ``QUERYCACHE``.
    """

    alias: str
    database: dict[str, Any]
    settings: dict[str, Any]

    def enter(self) -> None:
        """Set Django up as the tests do."""
        from tests import conftest

        conftest.pytest_configure(None)  # type: ignore[arg-type]
        from tests.environment import add_database, configure

        add_database(self.alias, self.database)
        configure(**self.settings)


class Peer:
    """A process with the table of `Thing` before it.

    Args:
        method: "fork", which hands on what is open and cached, or "spawn".
        place: where it works.
    """

    def __init__(self, method: str, place: Place) -> None:
        context: Any = multiprocessing.get_context(method)
        self._pipe, theirs = context.Pipe()
        # A database connection belongs to one process; the store sorts its own out.
        connections.close_all()
        self._process = context.Process(target=_serve, args=(method, place, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._dead = False

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        if self._dead:
            return
        # Forked peers hold each other's pipes open: nobody would see the end of one.
        self._pipe.send(None)
        self._process.join(PATIENCE)
        self._pipe.close()
        assert self._process.exitcode == 0

    def die(self, action: str, *args: Any) -> None:
        """Have it do something that ends it at once."""
        self._pipe.send((action, args))
        self._process.join(PATIENCE)
        assert self._process.exitcode == -signal.SIGKILL
        self._dead = True

    def call(self, action: str, *args: Any) -> Any:
        """Have it do something and return the result."""
        self._pipe.send((action, args))
        assert self._pipe.poll(PATIENCE), f"the other process does not answer to {action}"
        result = self._pipe.recv()
        if isinstance(result, Exception):
            raise result
        return result


def _serve(method: str, place: Place, pipe: Connection) -> None:
    if method != "fork":
        place.enter()
    actions: dict[str, Any] = {
        one.__name__: one
        for one in (read, names, write, hit, run, save, cut, mend, second, owes, dying_write)
    }
    while True:
        request = pipe.recv()
        if request is None:
            break
        action, args = request
        try:
            pipe.send(actions[action](place.alias, *args))
        except Exception as error:  # noqa: BLE001 - handed to the test
            traceback.print_exc()
            pipe.send(RuntimeError(repr(error)))
    connections.close_all()


def _rows(alias: str) -> Any:
    from tests.library.models import Thing

    return Thing.objects.using(alias).order_by("pk").values_list("number", flat=True)


def read(alias: str) -> list[int]:
    """Return the value of every row, by the order of their keys."""
    return list(_rows(alias))


def names(alias: str, table: str) -> list[tuple[str]]:
    """Return the names in a table or view that no model of the project is of."""
    from tests.catalogue.helpers import rows_of

    return list(rows_of(alias, table))


def write(alias: str, pk: int, value: int) -> None:
    """Write the value of one row."""
    _rows(alias).order_by().filter(pk=pk).update(number=value)


def run(alias: str, *statements: str) -> None:
    """Run raw SQL."""
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def hit(alias: str) -> bool:
    """Tell whether the next `read` is served from the cache."""
    import querycache

    return querycache.explain(_rows(alias)).hit


def save(alias: str, pk: int, value: int) -> None:
    """Write the value of one row in a transaction."""
    with transaction.atomic(alias):
        write(alias, pk, value)


# -- outages of one process ----------------------------------------------------------------------


def cut(alias: str, *steps: str) -> None:
    """Let every call of this process to the store fail, or these steps.

    When it is back, this process serves at once.
    """
    cache_of().quiet = 0.0
    _faults().only(*(steps or STEPS))


def mend(alias: str) -> None:
    """Let this process reach the store again, and try."""
    _faults().only()
    cache_of().breaker._retry_at = 0.0


def second(alias: str) -> None:
    """Let so much time pass that what this process knows of the journal is too old."""
    found = transaction_of(connections[alias]).database.watch
    found.expire()
    found._judged = 0.0


def owes(alias: str) -> bool:
    """Tell whether this process takes the store for down."""
    return cache_of().breaker.down


def dying_write(alias: str, name: str, pk: int, value: int) -> None:
    """Write, and end this process at once when the write is committed."""
    vars(cache_of())["told"] = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
    {"save": save, "write": write}[name](alias, pk, value)


def _faults() -> Faults:
    store: Any = cache_of().store
    if "faults" not in vars(store):
        store.faults = Faults(store)
    found: Faults = store.faults
    return found


# -- hammering -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Board:
    """What workers tell each other in shared memory; each place is written by one worker only.

    Args:
        workers: how many there are; each owns the row whose key is its number and one.
        completed: worker → its latest value whose write had ended.
        observed: worker and row → the latest value that it has read.
        hits: worker → its reads that were served from the cache.
    """

    workers: int
    completed: Any
    observed: Any
    hits: Any

    @classmethod
    def of(cls, workers: int) -> Board:
        """Make an empty board."""
        context = multiprocessing.get_context("fork")
        return cls(
            workers,
            context.RawArray("q", workers),
            context.RawArray("q", workers * workers),
            context.RawArray("q", workers),
        )

    def floor(self) -> list[int]:
        """Return what a read that begins now must at least see of each row."""
        count = self.workers
        return [max(self.completed[row], *self.observed[row::count]) for row in range(count)]

    def note(self, worker: int, values: Sequence[int]) -> None:
        """Note what a worker has read."""
        start = worker * self.workers
        for row, value in enumerate(values):
            if value > self.observed[start + row]:
                self.observed[start + row] = value


def hammer(alias: str, board: Board, worker: int, operations: int, seed: int, die_at: str) -> None:
    """Read and write, and end the process at once where a read is older than what is known.

    Args:
        alias: of the database.
        board: what the workers know.
        worker: the number of this one.
        operations: how many.
        seed: of the choice between reading and writing.
        die_at: a step of `tests.history.mishaps` at which it kills itself in one of its writes;
            empty: none.
    """
    from querycache.runtime import runtime
    from tests.history import mishaps

    installed = runtime.current
    assert installed is not None
    cache = installed.cache
    choose = random.Random(seed)
    # A row's own writer goes on from what its predecessor, who was killed, has left.
    value = read_committed(alias)[worker]
    deadly = choose.randrange(operations) if die_at else operations
    for operation in range(operations):
        if operation >= deadly or choose.random() < 0.05:
            value += 1
            if operation >= deadly:
                mishaps.arm("dies", die_at)
                write(alias, worker + 1, value)
                os._exit(3)
            write(alias, worker + 1, value)
            board.completed[worker] = value
        else:
            floor = board.floor()
            found = read(alias)
            if any(seen < least for seen, least in zip(found, floor, strict=True)):
                os.write(2, f"worker {worker} read {found} after {floor}\n".encode())
                os._exit(2)
            board.note(worker, found)
    board.hits[worker] += cache.counters.hits
    connections.close_all()


def read_committed(alias: str) -> list[int]:
    """Return the value of every row from the database."""
    import querycache

    return list(querycache.bypass(_rows(alias)))


def start_hammer(*args: Any) -> Any:
    """Fork a worker that hammers."""
    connections.close_all()
    process = multiprocessing.get_context("fork").Process(target=hammer, args=args, daemon=True)
    process.start()
    return process


def ended(process: Any) -> int:
    """Wait for a process to end and return its exit status; killed by itself is -9."""
    process.join(PATIENCE)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        raise AssertionError("a worker hangs")
    return int(process.exitcode)

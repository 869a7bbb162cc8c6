"""One worker: it reads, writes down what it saw, and in the end compares cache and database."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django.db
from django.db import connection, transaction

from tests.history import contenders, reads
from tests.history.board import READ_ONLY, Board, Spec
from tests.history.mishaps import arm
from tests.history.records import HEAD, HIT, OWNER, Kind, Recorder
from tests.history.registers import writer_of

now = time.monotonic_ns

#: Seconds that a worker leaves a database or a store alone that has just failed it.
_RELIEF = 0.02


class Worker:
    """Reads in every way.

    Args:
        spec: what it is.
        folder: of the run.
        cache: one of `contenders.CONTENDERS`.
        writers: how many writers there are.
        place: its own on the board.
    """

    #: The last state of the board in which it works.
    until = READ_ONLY
    #: Whose registers it writes.
    writes = -1

    def __init__(self, spec: Spec, folder: Path, cache: str, writers: int, place: int) -> None:
        self.spec = spec
        self.folder = folder
        self.number = spec.number
        self.recorder = Recorder(folder, spec.name)
        self.board = Board(folder)
        self.choose = random.Random(spec.name)
        self.direct = contenders.direct(cache)
        self.refusal = contenders.refusal(cache)
        self.writers = writers
        self._cache = cache
        self._place = place
        self._statements = 0
        self._looks = list(reads.LOOKS)
        self._until_mishap = spec.lives if spec.mishap else -1
        # One state: each of SQLite's transactions, and others where the level says so.
        self.snapshots = connection.vendor == "sqlite" or spec.isolation in (
            "repeatable read",
            "serializable",
        )

    # -- a step at a time ----------------------------------------------------------------------

    def run(self) -> None:
        """Work as long as the board says so, then compare the cache and the database."""
        try:
            while self.board.state <= self.until:
                self.step()
            self.finish()
        finally:
            failures = contenders.store_failures(self._cache)
            self.recorder.add(Kind.LEFT, 0, 0, 0, 0, 0, failures)
            connection.close()
            self.board.leave(self._place)

    def step(self) -> None:
        """Do one thing; what the database refuses is written down."""
        self._count_statements()
        if self._until_mishap >= 0:
            self._until_mishap -= 1
            if self._until_mishap < 0:
                arm(self.spec.mishap, self.spec.step)
        try:
            self.act()
        except self.refusal:
            # Nothing was written, and nothing else has happened.
            time.sleep(_RELIEF)
        except django.db.Error:
            self.lost()
            time.sleep(_RELIEF)

    def act(self) -> None:
        """Read once, or a few times in a transaction."""
        chance = self.choose.random()
        if chance < 0.85:
            self.read(self._any_look())
        elif chance < 0.93:
            self.read_in_transaction()
        else:
            with self.direct():
                self.read(self._any_look())

    def finish(self) -> None:
        """Compare the cache and the database, now that nobody writes."""
        # What was written last may be as late as anything else.
        time.sleep(self.spec.lag)
        for writer in range(self.writers):
            for look in self._looks:
                # Each may depend on stamps that nobody has asked for before.
                deadline = time.monotonic() + self.spec.patience
                while not self._agrees_on_a_hit(look, writer):
                    if time.monotonic() > deadline:
                        self.recorder.add(Kind.UNSERVED, self._looks.index(look), 0, 0, 0, 0, 0)
                        break
                    time.sleep(0.01)

    def lost(self) -> None:
        """Go on with a new connection."""
        connection.close()

    # -- reads ---------------------------------------------------------------------------------

    def _any_look(self) -> str:
        return self.choose.choice(self._looks)

    def _any_writer(self) -> int:
        return self.choose.randrange(self.writers)

    def read(
        self, look: str, since: int | None = None, known: dict[int, int] | None = None
    ) -> None:
        """Read, and write down what was seen.

        Args:
            look: how.
            since: when the state that is read may have been taken at the earliest, where that is
                not when this read began.
            known: register → value of what was seen of the same state before.
        """
        way = self._looks.index(look)
        before = self._statements
        begin = now()
        try:
            seen = reads.LOOKS[look](self._any_writer())
        except django.db.Error:
            self.recorder.add(Kind.FAILED, way, 0, 0, begin, now(), 0)
            raise
        end = now()
        flags = HEAD if self._statements > before else HEAD | HIT
        self.write_down(seen, way, flags, begin if since is None else since, end)
        if known is not None:
            for each in seen:
                first = known.setdefault(each.register, each.value)
                self.compare(Kind.AGAIN, each.register, each.value, first)

    def write_down(
        self, seen: list[reads.Seen], way: int, flags: int, begin: int, end: int
    ) -> None:
        """Write down one read and all that it has seen."""
        add = self.recorder.add
        for each in seen:
            mine = flags | OWNER if writer_of(each.register) == self.writes else flags
            if each.twin is None:
                add(Kind.READ, way, each.register, mine, begin, end, each.value)
            else:
                add(Kind.PAIR, way, each.register, mine, begin, end, each.value, each.twin)
            flags &= ~HEAD
        self.board.advance(self._place)

    def read_in_transaction(self) -> None:
        """Read a few times in one transaction."""
        begin = now()
        known: dict[int, int] = {}
        with transaction.atomic():
            for _ in range(self.choose.randint(2, 4)):
                if self.snapshots:
                    self.read(self._any_look(), begin, known)
                else:
                    self.read(self._any_look())

    def compare(self, kind: Kind, register: int, value: int, right: int) -> None:
        """Write down that something was other than it has to be."""
        if value != right:
            moment = now()
            self.recorder.add(kind, 0, register, 0, moment, moment, value, right)

    def _agrees_on_a_hit(self, look: str, writer: int) -> bool:
        """Compare what a read gives with the database; tell whether it was a hit."""
        self._count_statements()
        before = self._statements
        found = reads.LOOKS[look](writer)
        hit = self._statements == before
        with self.direct():
            right = reads.LOOKS[look](writer)
        moment = now()
        for one, other in zip(found, right, strict=True):
            self.recorder.add(
                *(Kind.QUIET, self._looks.index(look), one.register, HIT if hit else 0),
                *(moment, moment),
                *(one.value, other.value),
            )
        return hit

    def _count_statements(self) -> None:
        wrappers = connection.execute_wrappers
        if self._counting not in wrappers:
            wrappers.append(self._counting)

    def _counting(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self._statements += 1
        return execute(sql, params, many, context)

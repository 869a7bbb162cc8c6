"""A worker that writes, and knows for certain what it has written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.history import reads
from tests.history.board import GO
from tests.history.records import Kind
from tests.history.registers import COUNT, register
from tests.history.sessions import Sessions
from tests.history.worker import Worker, now
from tests.history.writes import WAYS

#: Seconds that a writer waits for reads at most: readers may be down.
_LONGEST = 0.5


class Writer(Worker):
    """Writes in every way, and reads in between."""

    until = GO

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.writes = self.number
        self._ways = list(WAYS.items())
        self._way = 0
        self._value = self.spec.generation * 10**9
        self._doubt = True
        #: How many events there are for certain.
        self.events = 0
        self._sessions = Sessions(self.folder, self.number)

    def act(self) -> None:
        """Write, and read; once in a while keep quiet, so that the cache fills."""
        if self._doubt:
            self._look_around()
        self._way, (_, way) = self.choose.choice(list(enumerate(self._ways)))
        way(self)
        self.read(self._any_look())
        calm = self.choose.random() < 0.1
        self._wait_for_reads(self.choose.expovariate(1 / self.spec.between) * (8 if calm else 1))

    def _wait_for_reads(self, number: float) -> None:
        """Let others read for a while: by their count, so that a busy machine has hits as well."""
        enough = self.board.reads() + number
        until = time.monotonic() + _LONGEST
        while self.board.reads() < enough and self.board.state == GO and time.monotonic() < until:
            time.sleep(0.001)

    def finish(self) -> None:
        """Only readers compare: they have seen all there is."""

    def lost(self) -> None:
        """Wait until what was under way is over, one way or another."""
        super().lost()
        self._doubt = True

    def next_value(self) -> int:
        """Return a value that this writer has not used yet."""
        self._value += 1
        return self._value

    @contextmanager
    def committing(self, *writes: tuple[int, int]) -> Iterator[None]:
        """Write down what became of writes that a block commits, as (place, value)."""
        begin = now()
        for place, value in writes:
            self._note(Kind.BEGUN, place, begin, begin, value)
        try:
            yield
        except self.refusal:
            self._note_all(Kind.REFUSED, begin, writes)
            raise
        except BaseException:
            self._note_all(Kind.DOUBTFUL, begin, writes)
            raise
        self._note_all(Kind.COMMITTED, begin, writes)

    @contextmanager
    def undoing(self, *writes: tuple[int, int]) -> Iterator[None]:
        """Write down that what a block writes will never be committed, as (place, value)."""
        self._note_all(Kind.ROLLED_BACK, now(), writes)
        yield

    def _note_all(self, kind: Kind, begin: int, writes: tuple[tuple[int, int], ...]) -> None:
        end = now()
        for place, value in writes:
            self._note(kind, place, begin, end, value)

    def _note(self, kind: Kind, place: int, begin: int, end: int, value: int) -> None:
        self.recorder.add(kind, self._way, register(self.number, place), 0, begin, end, value)

    def _look_around(self) -> None:
        """Wait until nobody works on these registers any more, and find out what they hold."""
        self._sessions.wait_for_others()
        with self.direct():
            seen = reads.count(self.number)
        assert seen[0].register == register(self.number, COUNT)
        self.events = seen[0].value
        self._doubt = False

"""What becomes of each read, for a panel or whoever wants to see it.

While nobody takes notes nothing is asked for that: whoever does has reads answered by a function of
his own, which looks at the cache as `explain()` does before it lets the read go on.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from querycache.explanation import Explanation, explain_read
from querycache.reads import with_session
from querycache.runtime import runtime

if TYPE_CHECKING:
    from querycache.reading import Read, Run
    from querycache.state import Installed, Reading
    from querycache.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Recorded:
    """One read that has been answered.

    Args:
        alias: of the database.
        params: of the query, as drivers take them.
        explanation: what the cache was about to do with it.
        hit: whether it was answered without the database, or would have been without `VERIFY`.
        seconds: that it took.
    """

    alias: str
    params: Any
    explanation: Explanation
    hit: bool
    seconds: float

    @property
    def reason(self) -> str:
        """Why it was a hit, or was none."""
        if self.hit is self.explanation.hit:
            return self.explanation.reason
        return "another process or thread has read or written it at the same time"


class Recorder:
    """Takes note of the reads of this thread or task, between `start` and `stop`.

    What it starts through asyncio or `sync_to_async` belongs to it. Reads that are never looked for
    (those of an excluded model, or within `disabled()`) are not among them.
    """

    def __init__(self) -> None:
        self.reads: list[Recorded] = []
        self._installed: Installed | None = None
        self._outer: list[Recorded] | None = None

    def start(self) -> None:
        """Take notes from now on."""
        self.stop()
        self._installed = runtime.ready()
        if self._installed is not None:
            self._outer = _notes.get()
            _notes.set(self.reads)
            self._installed.listen(_noting)

    def stop(self) -> None:
        """Take no more notes; may be called again."""
        installed, self._installed = self._installed, None
        if installed is not None:
            installed.listen_no_more()
            _notes.set(self._outer)

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


_notes: ContextVar[list[Recorded] | None] = ContextVar("querycache_notes", default=None)


def _noting(read: Reading) -> Reading:
    """Return what answers queries as `read` does, and takes notes where somebody wants them."""

    def answer(transaction: Transaction, query: Read) -> Any:
        notes = _notes.get()
        if notes is None:
            return read(transaction, query)
        before = explain_read(
            with_session(transaction),
            query.plan,
            query.sql,
            query.params,
            form=query.form,
            witness=query.witness is not None,
        )
        reached = False

        def reaching(run: Run) -> Run:
            def reach() -> Any:
                nonlocal reached
                reached = True
                return run()

            return reach

        query.run = reaching(query.run)
        if query.witness is not None:
            query.witness = reaching(query.witness)
        start = time.perf_counter()
        try:
            return read(transaction, query)
        finally:
            seconds = time.perf_counter() - start
            # A hit that is verified reaches the database as well.
            hit = not reached or (before.hit and transaction.cache.inspects)
            alias = transaction.connection.alias
            notes.append(Recorded(alias, query.params, before, hit, seconds))

    return answer

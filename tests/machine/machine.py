"""The machine: what two connections do, and that every answer is the database's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import querycache
from querycache.cache import QueryCache
from querycache.changes import NEW, dependencies_on, row_of
from querycache.keys import EVERYTHING
from querycache.state import transaction_of
from tests.library import models
from tests.machine.queries import QUERIES, Query
from tests.machine.writes import (
    APART,
    WRITES,
    Write,
    add_genre,
    bulk_create_reviews,
    publish,
    save_chapter,
    save_shop,
)
from tests.stages import columns_of, plant, put

Result = TypeVar("Result")

_EMPTIED: tuple[Any, ...] = (
    *(models.Note, models.Chapter, models.Review, models.Book.genres.through, models.Book),
    *(models.Genre, models.Publisher, models.Author, models.Shop, models.Place),
)


_WHO = st.integers(0, 1)
_N = st.integers(1, 3)
_V = st.integers(0, 4)
_APART = st.sampled_from(list(APART))
_QUERIES = st.lists(st.sampled_from(QUERIES), min_size=1, max_size=6, unique=True)

_START: tuple[Write, ...] = (bulk_create_reviews, add_genre, save_shop, save_chapter, publish)


class Stale(AssertionError):
    """An answer was not what the database says."""


class Worker:
    """A thread with its own database connection and a stack of atomic blocks.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.blocks: list[transaction.Atomic] = []
        #: What the open transaction may have locked.
        self.locks: set[str] = set()
        self._pool = ThreadPoolExecutor(1)

    def do(self, work: Callable[..., Result], *args: Any) -> Result:
        """Run something in the thread and return its result."""
        return self._pool.submit(work, *args).result(60)

    def enter(self) -> None:
        """Open an atomic block, or a savepoint in the one that is open."""
        block = transaction.atomic(self.alias)
        self.do(block.__enter__)
        self.blocks.append(block)

    def leave(self, *, commit: bool) -> None:
        """Leave the innermost block."""
        block = self.blocks.pop()
        error = None if commit else RuntimeError("rolled back on purpose")
        try:
            self.do(block.__exit__, error and type(error), error, None)
        except DatabaseError:
            # Refused at COMMIT, which rolls back as well.
            assert not self.blocks
        if not self.blocks:
            self.locks.clear()

    def abandon(self) -> None:
        """Roll everything back."""
        while self.blocks:
            self.leave(commit=False)

    def close(self) -> None:
        """End the thread."""
        self.abandon()
        self.do(connections.close_all)
        self._pool.shutdown()


class LibraryMachine(RuleBasedStateMachine):
    """Two connections read and write at random; stores lose things.

    Args:
        workers: of both connections.
        cache: with nothing in it.
        flush: loses everything that is in the store; None where a store cannot.
    """

    def __init__(
        self, workers: list[Worker], cache: QueryCache, flush: Callable[[], object] | None
    ) -> None:
        super().__init__()
        self.workers = workers
        self.cache = cache
        self.flush = flush
        self.alias = workers[0].alias
        # Any writer locks a whole SQLite database.
        self._one_writer = connections[self.alias].vendor == "sqlite"
        workers[0].do(self._start)
        self._settle()

    # -- reads ---------------------------------------------------------------------------------

    @rule(who=_WHO, n=_N)
    def read_everything(self, who: int, n: int) -> None:
        self._read_all(who, QUERIES, n)

    def _read_all(self, who: int, queries: Sequence[Query], n: int) -> None:
        for query in queries:
            self.workers[who].do(self._compare, query, n)

    def _compare(self, query: Query, n: int) -> None:
        answers = [query(self.alias, n), query(self.alias, n)]
        with querycache.disabled():
            right = query(self.alias, n)
        for answer in answers:
            if answer != right:
                raise Stale(f"{query.__name__}({n}) gave {answer}, not {right}")

    # -- writes --------------------------------------------------------------------------------

    @rule(who=_WHO, reader=_WHO, write=st.sampled_from(WRITES), n=_N, v=_V, queries=_QUERIES)
    def write(
        self, who: int, reader: int, write: Write, n: int, v: int, queries: list[Query]
    ) -> None:
        self._read_all(reader, queries, n)
        self._try(who, write, n, v)
        self._read_all(reader, queries, n)

    @rule(who=_WHO, first=_APART, second=_APART, n=_N, v=_V)
    def write_beside(self, who: int, first: Write, second: Write, n: int, v: int) -> None:
        if not self.workers[who].blocks:
            self.workers[who].enter()
        self._try(who, first, n, v)
        self._read_all(who, QUERIES, n)
        self._try(1 - who, second, n, v)
        for reader in (0, 1):
            self._read_all(reader, QUERIES, n)

    @rule(
        who=_WHO,
        write=st.sampled_from(WRITES),
        n=_N,
        v=_V,
        queries=_QUERIES,
        depth=st.integers(1, 2),
        commit=st.booleans(),
    )
    def write_within(
        self,
        who: int,
        write: Write,
        n: int,
        v: int,
        queries: list[Query],
        depth: int,
        commit: bool,
    ) -> None:
        worker = self.workers[who]
        self._read_all(who, queries, n)
        for _level in range(depth):
            worker.enter()
        self._try(who, write, n, v)
        self._read_all(who, queries, n)
        if worker.blocks:
            worker.leave(commit=commit)
        self._read_all(who, queries, n)

    def _try(self, who: int, write: Write, n: int, v: int) -> None:
        worker, other = self.workers[who], self.workers[1 - who]
        locked = APART.get(write, "everything")
        if other.locks and (
            self._one_writer
            or locked in {"everything", *other.locks}
            or "everything" in other.locks
        ):
            # It would wait for the other's locks.
            return
        if worker.blocks:
            worker.locks.add(locked)
        try:
            worker.do(self._write, write, n, v)
        except DatabaseError:
            # The other has committed to what this snapshot shows, say.
            worker.abandon()

    def _write(self, write: Write, n: int, v: int) -> None:
        # What a write reads for its own sake must not hide that a cached answer is wrong.
        with querycache.disabled():
            write(self.alias, n, v)

    @precondition(lambda self: any(len(worker.blocks) < 3 for worker in self.workers))
    @rule(who=_WHO)
    def enter(self, who: int) -> None:
        if len(self.workers[who].blocks) < 3:
            self.workers[who].enter()

    @precondition(lambda self: any(worker.blocks for worker in self.workers))
    @rule(who=_WHO, commit=st.booleans())
    def leave(self, who: int, commit: bool) -> None:
        if self.workers[who].blocks:
            self.workers[who].leave(commit=commit)

    # -- stores that lose things ---------------------------------------------------------------

    @rule()
    def evict_entries(self) -> None:
        self.cache.store.clear()

    @precondition(lambda self: not self.cache.store.durable)
    @rule(n=st.integers(0, 50))
    def evict_stamp(self, n: int) -> None:
        keys = self._stamp_keys()
        put(self.cache.store, keys[n % len(keys)], None)

    @precondition(lambda self: self.flush is not None)
    @rule()
    def lose_everything(self) -> None:
        assert self.flush is not None
        self.flush()

    @precondition(lambda self: not self.cache.store.durable)
    @rule()
    def quarantine_passes(self) -> None:
        # No write is in flight between two rules, so stamps may be as a quarantine leaves them.
        self._settle()

    def _settle(self) -> None:
        if not self.cache.store.durable:
            plant(self.cache.store, self._stamp_keys())

    # -- the rest ------------------------------------------------------------------------------

    def teardown(self) -> None:
        for worker in self.workers:
            worker.abandon()

    def _stamp_keys(self) -> tuple[bytes, ...]:
        def keys() -> tuple[bytes, ...]:
            models = apps.get_models(include_auto_created=True)
            tables = {model._meta.db_table for model in models}
            rows = {row_of(table, n) for table in tables for n in (1, 2, 3)}
            new = {f"{table}{NEW}" for table in tables}
            columns = {
                dependency
                for model in models
                for dependency in dependencies_on(model._meta.db_table, columns_of(model))
            }
            database = transaction_of(connections[self.alias]).database
            written = database.stamp_keys({EVERYTHING, *tables, *rows, *new})
            read = (*database.read_keys(sorted(tables)), *map(database.stamp_key, sorted(columns)))
            return tuple(dict.fromkeys((*written, *read)))

        return self.workers[0].do(keys)

    def _start(self) -> None:
        # Django remembers content types for the process: one that is made in a transaction which is
        # rolled back would break later runs.
        ContentType.objects.clear_cache()
        ContentType.objects.db_manager(self.alias).get_for_model(models.Book)
        with transaction.atomic(self.alias):
            models.Author.objects.using(self.alias).update(mentor=None)
            for model in _EMPTIED:
                model._default_manager.using(self.alias).all()._raw_delete(self.alias)
            for n, write in itertools.product((1, 2, 3), _START):
                self._write(write, n, n)

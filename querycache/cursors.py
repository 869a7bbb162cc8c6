"""What cursors do: every statement, the ORM's own and raw ones, is looked at before it runs.

What stands in place of methods of Django's `CursorWrapper`; `install` puts it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db.backends.utils import CursorWrapper

from querycache.compiler import local
from querycache.plans import Effect
from querycache.questions import STATE
from querycache.rawsql import text_of
from querycache.runtime import runtime
from querycache.state import transaction_of
from querycache.transactions import Transaction
from querycache.writes import send_if_usable


def executing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Follow `_execute` and `_executemany`."""

    def execute(
        self: CursorWrapper, sql: Any, params: Any, many: Any = False, context: Any = None
    ) -> Any:
        if runtime.current is None:
            return original(self, sql, params, many, context)
        try:
            transaction = transaction_of(self.db)
            if sql is local.trusted:
                transaction.snapshot.passes(transaction)
                return original(self, sql, params, many, context)
            unfinished = None
            if self.db.vendor == "sqlite":
                unfinished = transaction.session.cursors.opened(self.cursor)
            elif self.db.vendor == "mysql":
                unfinished = transaction.session.cursors.used(self.cursor)
            if unfinished is not None:
                # Running a statement ends the one that this cursor ran before.
                try:
                    return tracked(transaction, self, sql, params, many, context)
                finally:
                    unfinished()
            if type(sql) is str and transaction.database.effects.get(sql, transaction) is None:
                # It does nothing but return rows.
                transaction.snapshot.passes(transaction)
                return original(self, sql, params, many, context)
            return tracked(transaction, self, sql, params, many, context)
        except BaseException:
            transaction_of(self.db).failed()
            raise

    def tracked(
        transaction: Transaction,
        self: CursorWrapper,
        sql: Any,
        params: Any,
        many: Any,
        context: Any,
    ) -> Any:
        effect = _effect(transaction, sql, self)
        if effect is None:
            return original(self, sql, params, many, context)
        return transaction.run(
            effect,
            sql if isinstance(sql, str) else None,
            params,
            local.writing > 0,
            lambda: original(self, sql, params, many, context),
            self,
            local.ahead,
        )

    return execute


def _effect(transaction: Transaction, sql: Any, cursor: CursorWrapper) -> Effect | None:
    database = transaction.database
    if type(sql) is str:
        try:
            effect = database.effects[sql]
        except KeyError:
            effect = database.effect(transaction, sql)
    else:
        effect = database.effect(transaction, text_of(sql, cursor))
    if effect is None or not transaction.tracks:
        transaction.snapshot.passes(transaction)
        return None
    return effect


@contextmanager
def _following(transaction: Transaction) -> Iterator[None]:
    try:
        yield
    except BaseException:
        transaction.failed()
        raise


def calling(original: Callable[..., Any]) -> Callable[..., Any]:
    """Follow `callproc`, which may do whatever its procedure is not declared to leave alone."""

    def callproc(
        self: CursorWrapper, procname: str, params: Any = None, kparams: Any = None
    ) -> Any:
        if runtime.current is None:
            return original(self, procname, params, kparams)
        transaction = transaction_of(self.db)
        effect = transaction.database.procedure(transaction, procname)
        with _following(transaction):
            return transaction.run(
                effect, None, None, False, lambda: original(self, procname, params, kparams), self
            )

    return callproc


def bulk(name: str) -> Callable[[CursorWrapper], Any]:
    """Make known to the cache a method of the driver's cursor that takes SQL or a table."""

    def get(self: CursorWrapper) -> Any:
        method = getattr(self.cursor, name)
        if runtime.current is None:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            transaction = transaction_of(self.db)
            effect = _bulk_effect(transaction, name, args, kwargs, self)
            if effect is None:
                return method(*args, **kwargs)
            with _following(transaction):
                return transaction.run(
                    effect, None, None, False, lambda: method(*args, **kwargs), self
                )

        return call

    return get


def _bulk_effect(
    transaction: Transaction, name: str, args: Any, kwargs: Any, cursor: CursorWrapper
) -> Effect | None:
    if name == "copy_from":
        # copy_from(file, table, …) of psycopg2 names the table itself.
        table = kwargs.get("table", args[1] if len(args) > 1 else None)
        sql: Any = None if table is None else f"COPY {table} FROM STDIN"
    else:
        sql = args[0] if args else next(iter(kwargs.values()), None)
    if sql is not None and not transaction.tracks:
        return None
    effect = _effect(transaction, sql, cursor)
    if name == "executescript":
        # sqlite3 commits what is open before it begins.
        return replace(effect or Effect(), unclear=True)
    return effect


def copier(self: CursorWrapper, name: str) -> Any:
    """Make psycopg 3's `Cursor.copy`, a context manager, known to the cache."""
    method = getattr(self.cursor, name)
    if runtime.current is None:
        return method

    @contextmanager
    def copy(statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        transaction = transaction_of(self.db)
        effect = _effect(transaction, statement, self)
        if effect is None:
            with method(statement, *args, **kwargs) as writer:
                yield writer
            return
        transaction.snapshot.passes(transaction)
        inside = transaction.open
        if inside:
            transaction.note(effect.writes)
        with (
            _following(transaction),
            transaction.writing(frozenset() if inside else effect.writes),
            method(statement, *args, **kwargs) as writer,
        ):
            yield writer
        if inside:
            transaction.note(effect.writes)
        if transaction.unannounced:
            send_if_usable(transaction)

    return copy


def closing(self: CursorWrapper) -> None:
    """Close the driver's cursor, which may end a statement of SQLite."""
    self.cursor.close()
    state = self.db.__dict__.get(STATE)
    if state is not None:
        state.session.cursors.closed(self.cursor)

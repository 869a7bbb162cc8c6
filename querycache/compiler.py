"""The read path and the write path of Django's SQL compilers.

`cached_class` makes, for any compiler class of any backend, a subclass that asks the cache before
it executes. `docs/explanation/hits.md` follows one query through it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.models.sql.compiler import (
    SQLCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE

from querycache.ahead import Ahead, announce_ahead
from querycache.compiled import Selecting, Texts, compiles_as_django
from querycache.conversions import Converted
from querycache.reading import ALL_ROWS, FIRST_ROW, Read
from querycache.runtime import runtime
from querycache.state import transaction_of
from querycache.switch import reads_enabled
from querycache.write_shapes import insert_shape_of, update_shape_of

if TYPE_CHECKING:
    _Base = SQLCompiler
    _InsertBase = SQLInsertCompiler
    _UpdateBase = SQLUpdateCompiler
else:
    _Base = _InsertBase = _UpdateBase = object

logger = logging.getLogger("querycache.compiler")

# What `exists()` selects.
_THERE_IS = (1,)

#: The attribute of a `Query` that `querycache.bypass` sets; clones carry it on.
BYPASS = "querycache_bypass"


class _Local(threading.local):
    """What this thread is compiling and executing.

    Not kept on the connection, since threads may share one.
    """

    tables: set[str] | None = None
    trusted: str | None = None
    writing = 0
    ahead: Ahead | None = None
    selecting_for_write = 0

    def exchange(self, ahead: Ahead | None) -> Ahead | None:
        """Put what was announced aside, or back; returns what was there."""
        found, self.ahead = self.ahead, ahead
        return found


local = _Local()


class CachedMixin(_Base):
    """Marks the classes that work with the cache."""

    #: Whether the class is Django's own, whose texts may be used again.
    is_stock = False


class RecordingMixin(_Base):
    """Notes the tables of every compiler that takes part in making one SQL text."""

    def get_from_clause(self) -> Any:
        tables = local.tables
        if tables is not None:
            query = self.query
            refcounts = query.alias_refcount
            for alias, join in query.alias_map.items():
                if refcounts[alias] and join.table_name:
                    tables.add(join.table_name)
        return super().get_from_clause()


class ReadMixin(CachedMixin):
    """Serves SELECTs from the cache."""

    #: The text that stood in for compiling, or will next time; None where none does.
    text: Selecting | None = None

    #: Whether the rows at hand have been converted by `Selecting.conversion`.
    is_converted = False

    def get_converters(self, expressions: Any) -> Any:
        text = self.text
        if text is not None:
            known = self.select is text.columns
            if self.is_converted:
                expressions = text.unconverted(expressions, known=known)
            elif known:
                expressions = text.converted(expressions)
            if not expressions:
                return {}
        return super().get_converters(expressions)

    def results_iter(
        self,
        results: Any = None,
        tuple_expected: bool = False,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        if results is None:
            results = self.execute_sql(MULTI, chunked_fetch=chunked_fetch, chunk_size=chunk_size)
        if type(results) is not Converted:
            return super().results_iter(results, tuple_expected, chunked_fetch, chunk_size)
        self.is_converted = True
        try:
            chunks: Any = results.chunks
            return super().results_iter(chunks, tuple_expected, chunked_fetch, chunk_size)
        finally:
            del self.is_converted

    def execute_sql(
        self,
        result_type: Any = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        installed = runtime.current
        query = self.query
        if (
            installed is None
            or chunked_fetch
            or (result_type != MULTI and result_type != SINGLE)
            or query.select_for_update
            or query.explain_info
            or self.connection.needs_rollback
        ):
            return super().execute_sql(result_type, chunked_fetch, chunk_size)
        transaction = transaction_of(self.connection)
        texts = transaction.texts if self.is_stock else None
        try:
            sql, params = self.as_sql() if texts is None else texts.compile(self)
        except EmptyResultSet:
            sql, params = "", ()
        multi = result_type == MULTI
        if not sql:
            return iter([]) if multi else None
        if (
            query.model in installed.skipped
            or not reads_enabled()
            or BYPASS in query.__dict__
            or local.selecting_for_write
            or not transaction.serves
        ):
            return self._run(sql, params, result_type, chunk_size, trusted=None)
        database = transaction.database
        plan = database.plans.get(sql)
        if plan is None:
            plan = database.plan(transaction, sql, lambda: tables_of(self, sql))
        trusted = sql if plan.reason is None else None

        def run() -> Any:
            return self._run(sql, params, result_type, chunk_size, trusted)

        asked = Read(plan, params, multi, ALL_ROWS if multi else FIRST_ROW, sql, run)
        text = self.text
        if multi and text is not None and text.conversion is not None and trusted is not None:
            connection = self.connection
            convert = text.conversion.of
            asked.form = text.conversion.form
            asked.run = lambda: convert(run(), connection)
            return Converted(installed.read(transaction, asked), run)
        witness = plan.witness
        if witness is None or multi or not _is_one(params[0]):
            return installed.read(transaction, asked)
        asked.witness = lambda: self._run(witness, params[1:], SINGLE, chunk_size, trusted=witness)
        return None if installed.read(transaction, asked) is None else _THERE_IS

    def _run(
        self, sql: str, params: Any, result_type: Any, chunk_size: int, trusted: str | None
    ) -> Any:
        """Execute what has been compiled already; cursors need not look at `trusted` again."""
        # Compiling once more could give other SQL than the one that was looked up, and costs as
        # much as all the rest.
        self.as_sql = lambda *args, **kwargs: (sql, params)  # type: ignore[method-assign]
        outer = local.trusted
        local.trusted = trusted
        try:
            return super().execute_sql(result_type, False, chunk_size)
        finally:
            local.trusted = outer
            del self.as_sql


def _is_one(value: Any) -> bool:
    # PostgreSQL's numbers are of classes of their own.
    return isinstance(value, int) and type(value) is not bool and value == 1


def tables_of(compiler: Any, sql: str) -> frozenset[str] | None:
    """Return the tables that all compilers name which take part in making a text.

    They are asked for once per text, so compilers that take notes make it once more for that.

    Args:
        compiler: what has made the text.
        sql: the text.

    Returns:
        None where it is another one now.
    """
    # Sub-queries come here through `cached_class` as well.
    outer = local.tables
    local.tables = tables = set[str]()
    try:
        kind: Any = type(compiler)
        again = recording_class(kind)(
            compiler.query, compiler.connection, compiler.using, compiler.elide_empty
        )
        text, _ = again.as_sql()
    except Exception:
        # It was made a moment ago without an error, and the query goes on as it would.
        logger.debug("a text could not be made once more", exc_info=True)
        return None
    finally:
        local.tables = outer
    return frozenset(tables) if text == sql else None


class WriteMixin(CachedMixin):
    """Marks the statements of Django's own writes; cursors do the rest."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        # Not where somebody only wants to see the text.
        if args or kwargs or not local.writing or runtime.current is None:
            return super().as_sql(*args, **kwargs)
        transaction = transaction_of(self.connection)
        texts = transaction.texts if self.is_stock else None
        make = super().as_sql
        found: Any = make() if texts is None else self._reuse(texts, make)
        # An INSERT may be several; those are announced one by one.
        only = found[0] if type(found) is list and len(found) == 1 else found
        if local.ahead is None and type(only) is tuple:
            local.ahead = announce_ahead(transaction, *only)
        return found

    def _reuse(self, texts: Texts, make: Callable[[], Any]) -> Any:
        """Return what Django makes, of a text that was made before if there is one."""
        return make()

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return _writing(super().execute_sql, args, kwargs)

    def execute_returning_sql(self, *args: Any, **kwargs: Any) -> Any:
        return _writing(super().execute_returning_sql, args, kwargs)  # type: ignore[misc]


def _writing(execute: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    # A receiver of a signal may write while another write is not over.
    outer = local.ahead
    if outer is not None:
        local.exchange(None)
    local.writing += 1
    try:
        return execute(*args, **kwargs)
    finally:
        local.writing -= 1
        if local.ahead is not outer:
            ahead = local.exchange(outer)
            if ahead is not None:
                ahead.withdraw()


class UpdateMixin(WriteMixin, _UpdateBase):
    """Has texts used again, and keeps the SELECT that an UPDATE runs away from the cache."""

    def _reuse(self, texts: Texts, make: Callable[[], Any]) -> Any:
        # Not where columns are to be returned, which the shape of a query does not tell.
        if getattr(self, "returning_fields", None):
            return make()
        return texts.compile(self, make, update_shape_of)

    def pre_sql_setup(self, *args: Any, **kwargs: Any) -> Any:
        local.selecting_for_write += 1
        try:
            return super().pre_sql_setup(*args, **kwargs)
        finally:
            local.selecting_for_write -= 1


class InsertMixin(WriteMixin, _InsertBase):
    """Has texts of one row used again."""

    def _reuse(self, texts: Texts, make: Callable[[], Any]) -> Any:
        if len(self.query.objs) != 1:
            return make()

        def only() -> tuple[str, Any]:
            ((sql, params),) = make()
            return sql, params

        return [texts.compile(self, only, insert_shape_of)]


@cache
def cached_class(compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    """Return the subclass of a compiler class that works with the cache."""
    if issubclass(compiler, CachedMixin):
        return compiler
    mixin: type
    if issubclass(compiler, SQLUpdateCompiler):
        mixin = UpdateMixin
    elif issubclass(compiler, SQLInsertCompiler):
        mixin = InsertMixin
    elif issubclass(compiler, SQLDeleteCompiler):
        mixin = WriteMixin
    else:
        mixin = ReadMixin
    return _mixed(mixin, compiler)


@cache
def recording_class(compiler: type[Any]) -> type[Any]:
    """Return the subclass of a compiler class that notes its tables."""
    return _mixed(RecordingMixin, compiler)


def _mixed(mixin: type, compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    # The name shows up in messages and in the repr of compilers.
    kind: Any = compiler
    made: Any = type(kind.__name__, (mixin, kind), {"__module__": kind.__module__})
    made.is_stock = compiles_as_django(kind)
    return made  # type: ignore[no-any-return]

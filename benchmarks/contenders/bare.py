"""The two that ratios are taken to: no cache, and the ORM alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender

#: Results that are kept for hits. More of them would cost fresh memory with every miss.
MOST = 128


class NoCache(Contender):
    """Django as it is."""

    __slots__ = ()
    serves: ClassVar[bool] = False


class Floor(Contender):
    """The ORM's own cost: compilers find their rows in a dict in place of the database."""

    __slots__ = ()
    kinds: ClassVar[frozenset[str]] = frozenset({"hit", "page"})
    real: ClassVar[bool] = False

    def install(self) -> None:
        """Let every SELECT compile, and then take the rows that it gave the first time.

        A cache behind Django's compilers does no less: they say what the query is and how its rows
        are read, and then it has to fetch, check and decode. querycache does less where it has seen
        a query of the same shape.
        """
        self._can()

    def _can(
        self,
        look: Callable[[Any], None] | None = None,
        keep: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Give compilers their rows.

        Args:
            look: called with what names a query, before its rows are looked for.
            keep: called with that and with the result, when it comes from the database.
        """
        from django.core.exceptions import EmptyResultSet
        from django.db.models.sql.compiler import SQLCompiler
        from django.db.models.sql.constants import MULTI, SINGLE

        run = SQLCompiler.execute_sql
        canned: dict[Any, Any] = {}

        def execute_sql(
            self: SQLCompiler, result_type: Any = MULTI, *args: Any, **kwargs: Any
        ) -> Any:
            if result_type not in (MULTI, SINGLE):
                return run(self, result_type, *args, **kwargs)
            try:
                sql, params = self.as_sql()
            except EmptyResultSet:
                return iter([]) if result_type == MULTI else None
            key = (sql, params, result_type)
            if look is not None:
                look(key)
            try:
                return canned[key]
            except KeyError:
                pass
            # Compiling once more costs more than all that is measured here.
            self.as_sql = lambda *args, **kwargs: (sql, params)  # type: ignore[method-assign]
            try:
                result = run(self, result_type, *args, **kwargs)
            finally:
                del self.as_sql
            if isinstance(result, Iterator):
                result = list(result)
            if len(canned) >= MOST:
                del canned[next(iter(canned))]
            canned[key] = result
            if keep is not None:
                keep(key, result)
            return result

        SQLCompiler.execute_sql = execute_sql  # type: ignore[method-assign]

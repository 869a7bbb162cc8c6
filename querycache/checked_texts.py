"""Texts that are used again, compared with what Django makes: `VERIFY` and shadow mode."""

from __future__ import annotations

from random import random
from typing import Any

from django.core.exceptions import EmptyResultSet

from querycache.compiled import Make, Reader, Text, Texts, comparable
from querycache.instances import model_of
from querycache.shapes import shape_of
from querycache.verify import report_text


class CheckedTexts(Texts):
    """Texts that are compared with what Django makes now, and then not used.

    Args:
        share: of the queries that are compared, from 0 to 1.
        raises: whether a difference is an error.
    """

    def __init__(self, share: float, *, raises: bool) -> None:
        super().__init__()
        self._share = share
        self._raises = raises

    def compile(
        self, compiler: Any, make: Make | None = None, shape_of: Reader = shape_of
    ) -> tuple[str, Any]:
        """Do what `Texts` do, and report where that is not what compiling comes to.

        Args:
            compiler: of a query that is about to be executed.
            make: see `Texts.compile`.
            shape_of: see `Texts.compile`.

        Raises:
            EmptyResultSet: there is nothing to be asked.
            StaleHit: there is a difference, and that is to be an error.
        """
        shape = shape_of(compiler)
        known = shape and self._known.get(shape.key)
        sql, params = super().compile(compiler, make, shape_of)
        if not isinstance(known, Text) or random() >= self._share:  # noqa: S311
            return sql, params
        found = outcome(compiler, sql, params)
        try:
            now = (make or compiler.as_sql)()
        except EmptyResultSet:
            report_text(found, None, raises=self._raises)
            raise
        made = outcome(compiler, *now)
        if found != made:
            report_text(found, made, raises=self._raises)
        return now


def outcome(compiler: Any, sql: str, params: Any) -> tuple[Any, ...]:
    """Return all that compiling comes to, in a form that can be compared.

    Args:
        compiler: that the query was compiled by.
        sql: the text.
        params: of it.
    """
    asked = (sql, comparable(params))
    if compiler.select is None:
        return asked
    return (
        *asked,
        [(type(expression), told, alias) for expression, told, alias in compiler.select],
        _shown_models(compiler.klass_info),
        compiler.annotation_col_map,
        compiler.col_count,
        compiler.has_extra_select,
        _shown_converters(compiler),
    )


def _shown_converters(compiler: Any) -> dict[int, list[str]]:
    """Return what of a result's converters can be compared: some are made anew each time."""
    columns = [expression for expression, _, _ in compiler.select[: compiler.col_count]]
    return {
        place: [converter.__qualname__ for converter in converters]
        for place, (converters, _) in compiler.get_converters(columns).items()
    }


def _shown_models(info: Any) -> Any:
    """Return what of `klass_info` can be compared: its functions are made anew each time."""
    if info is None:
        return None
    told = {name: info.get(name) for name in ("select_fields", "field", "reverse")}
    told["model"] = model_of(info["model"])
    return told, [_shown_models(related) for related in info.get("related_klass_infos", ())]

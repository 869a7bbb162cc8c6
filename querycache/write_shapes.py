"""The shapes of writes: less of a query has a say in the text of one than in that of a SELECT."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from django.db.models.sql.subqueries import InsertQuery, UpdateQuery

from querycache import assignments, shapes
from querycache.assignments import Assigned, is_value
from querycache.shape_parts import PLAIN, Parts, UnknownShapeError, conditions
from querycache.shapes import KNOWN, Shape, sources


class UpdateShape(Shape):
    """The shape of an UPDATE of rows that its own table tells.

    Args:
        compiler: of a query that is about to be compiled.

    Raises:
        UnknownShapeError: it has no shape.
    """

    __slots__ = ()

    def add_query(self, query: Any) -> None:
        if self.queries:
            super().add_query(query)
            return
        state = query.__dict__
        kind: type = type(query)
        if not _is_known(kind, tuple(state)) or any(map(state.get, _NOT_IN_UPDATES)):
            raise UnknownShapeError
        counts = state["alias_refcount"]
        if len(counts) > 1:
            base = next(iter(state["alias_map"]))
            # One that asks more than one table runs a SELECT first, or holds one.
            if any(count for alias, count in counts.items() if alias != base):
                raise UnknownShapeError
        self.queries.append(query)
        self.key_parts.append(state["model"])
        sources(state, self)
        assignments.changes(state["values"], self)
        conditions(state["where"], self)


class InsertShape(Parts):
    """The shape of an INSERT of one row.

    Fields are asked for the values of the row, and the compiler does not ask them once more.

    Args:
        compiler: of a query that is about to be compiled.

    Raises:
        UnknownShapeError: it has no shape.
    """

    __slots__ = ("_compiler",)

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        super().__init__(compiler)

    def add_query(self, query: Any) -> None:
        state = query.__dict__
        kind: type = type(query)
        if not _is_known(kind, tuple(state)) or any(map(state.get, _NOT_IN_INSERTS)):
            raise UnknownShapeError
        (row,) = state["objs"]
        fields = state["fields"]
        compiler = self._compiler
        returned = compiler.returning_fields or ()
        saved = {id(field): compiler.pre_save_val(field, row) for field in fields}
        compiler.pre_save_val = lambda field, row: saved[id(field)]
        self.queries.append(query)
        self.key_parts += (state["model"], len(saved), *saved, *map(id, returned))
        self.fields += (*fields, *returned)
        for field, value in zip(fields, saved.values(), strict=True):
            kind = type(value)
            if kind not in PLAIN and not is_value(kind):
                raise UnknownShapeError
            self.values.append(Assigned(field, value))


def update_shape_of(compiler: Any) -> Shape | None:
    """Return the shape of an UPDATE that is about to be compiled, None where it has none."""
    try:
        return UpdateShape(compiler)
    except UnknownShapeError:
        return None


def insert_shape_of(compiler: Any) -> InsertShape | None:
    """Return the shape of an INSERT that is about to be compiled, None where it has none."""
    try:
        return InsertShape(compiler)
    except UnknownShapeError:
        return None


#: Attributes that only these queries have.
_OWN: Final[dict[type, frozenset[str]]] = {
    UpdateQuery: frozenset({"related_ids", "related_updates", "values"}),
    InsertQuery: frozenset(
        {"fields", "objs", "on_conflict", "raw", "unique_fields", "update_fields"}
    ),
}
#: Those that would have a say in the text, and are to be empty.
_NOT_IN_UPDATES: Final = (
    *("annotations", "combinator", "external_aliases", "extra", "extra_tables", "order_by"),
    *("related_ids", "related_updates"),
)
_NOT_IN_INSERTS: Final = ("on_conflict", "unique_fields", "update_fields")


@lru_cache(maxsize=1024)
def _is_known(kind: type, names: tuple[str, ...]) -> bool:
    """Tell whether a query that has just these attributes has nothing unknown in it."""
    own = _OWN.get(kind)
    return own is not None and own.issubset(names) and (KNOWN | own).issuperset(names)


#: Classes that write texts of these, besides compilers and backends.
WRITERS: Final = shapes.WRITERS | assignments.WRITERS | _OWN.keys()

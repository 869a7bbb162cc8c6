"""What a write gives to columns, as part of its shape: values, and sums of columns and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import django
from django.db.models import Value
from django.db.models.expressions import Col, CombinedExpression

from querycache.shape_parts import PLAIN, Parts, UnknownShapeError, column_of, is_plain

#: What fields of JSON and of arrays are given, besides plain values.
_CONTAINERS: Final = frozenset({dict, list, tuple})


class Assigned:
    """A value for a column, as compilers of INSERT make it ready.

    Args:
        field: of the column.
        value: of a kind that has no SQL of its own.
    """

    __slots__ = ("field", "value")

    #: What NULL is.
    null: tuple[str, tuple[Any, ...]] = ("%s", (None,))

    def __init__(self, field: Any, value: Any) -> None:
        self.field = field
        self.value = value

    def process_rhs(self, compiler: Any, connection: Any) -> tuple[str | None, tuple[Any, ...]]:
        """Return what stands for the value in the text, None where that is not known here."""
        value = self.field.get_db_prep_save(self.value, connection=connection)
        if value is None:
            return self.null
        if hasattr(value, "as_sql"):
            return None, ()
        return "%s", (value,)

    as_sql = process_rhs

    @property
    def is_plain(self) -> bool:
        """Whether the field leaves it to Django how its values stand in a text."""
        return not any(hasattr(self.field, f"get_placeholder{kind}") for kind in ("", "_sql"))


class Changed(Assigned):
    """A value for a column, as compilers of UPDATE make it ready."""

    __slots__ = ()

    null = Assigned.null if django.VERSION >= (6, 1) else ("NULL", ())


class Operand:
    """A value that a column's own is combined with.

    Args:
        value: it, resolved.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def process_rhs(self, compiler: Any, connection: Any) -> Any:
        """Return what stands for the value in the text."""
        return compiler.compile(self.value)

    as_sql = process_rhs


def is_value(kind: type) -> bool:
    """Tell whether what a column is given is a value, and no SQL.

    Args:
        kind: of what it is given, not one of `PLAIN`.
    """
    return kind in _CONTAINERS or is_plain(kind)


def changes(values: Sequence[tuple[Any, Any, Any]], shape: Parts) -> None:
    """Read what an UPDATE gives to which columns.

    Args:
        values: of the query: field, model, value.
        shape: that they are part of.

    Raises:
        UnknownShapeError: they have no shape.
    """
    parts = shape.key_parts
    parts.append(len(values))
    for field, _, value in values:
        kind = type(value)
        shape.fields.append(field)
        if kind in PLAIN or is_value(kind):
            # NULL is no parameter in older releases of Django.
            parts += (id(field), value is None)
            shape.values.append(Changed(field, value))
        elif kind is CombinedExpression:
            parts += (id(field), kind)
            _combined(value, shape)
        else:
            raise UnknownShapeError


def _combined(value: Any, shape: Parts) -> None:
    arguments, options = value._constructor_args
    if len(arguments) != 3 or options:
        raise UnknownShapeError
    shape.key_parts.append(value.connector)
    for side in (value.lhs, value.rhs):
        kind = type(side)
        shape.key_parts.append(kind)
        if kind is Col:
            column_of(side, shape)
        elif kind is CombinedExpression:
            _combined(side, shape)
        elif kind is Value and side._constructor_args == ((side.value,), {}):
            # What it is decides what the whole is, and so what is written around it.
            shape.key_parts.append(type(side.value))
            if type(side.value) not in PLAIN:
                raise UnknownShapeError
            shape.values.append(Operand(side))
        else:
            raise UnknownShapeError


#: Classes that write these parts.
WRITERS: Final = frozenset({CombinedExpression})

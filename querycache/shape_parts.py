"""The parts of queries that have a shape: columns, conditions and expressions, one function each.

What is not known here makes a query one without a shape: a project may have taught it to write
anything.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Avg, Count, F, Max, Min, StdDev, Sum, Variance, lookups
from django.db.models.expressions import (
    Col,
    Exists,
    NegatedExpression,
    OrderBy,
    Ref,
    Star,
    Value,
)
from django.db.models.fields import related_lookups
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode

#: A longer list of values has a text of its own for each length, which are too many to remember.
_LONGEST_LIST = 100


class UnknownShapeError(Exception):
    """A query has a part whose text this module cannot tell."""


class Constant:
    """A value that belongs to the shape, and is a parameter all the same.

    Args:
        value: it.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Parts:
    """What a shape is made of, as it is found.

    Args:
        compiler: of a query that is about to be compiled.
    """

    __slots__ = ("fields", "key", "key_parts", "queries", "values")

    def __init__(self, compiler: Any) -> None:
        #: What the key is made of; numbers of parts come before the parts.
        self.key_parts: list[Any] = [type(compiler), compiler.elide_empty]
        #: What stands for parameters, in the order of the text: what compares a column with a
        #: value, and constants.
        self.values: list[Any] = []
        #: Fields that the key names by their address, which are to live as long as the key does.
        self.fields: list[Any] = []
        #: The query, and those in it.
        self.queries: list[Query] = []
        self.add_query(compiler.query)
        #: Equal for queries of one shape.
        self.key = tuple(self.key_parts)

    def add_query(self, query: Any) -> None:
        """Read a query, which may stand in another.

        Args:
            query: it.

        Raises:
            UnknownShapeError: it has no shape.
        """
        raise NotImplementedError


Read = Callable[[Any, Parts], None]


def conditions(node: Any, shape: Parts) -> None:
    """Read what rows are to be like.

    Args:
        node: a `WhereNode`.
        shape: that it is part of.

    Raises:
        UnknownShapeError: it has no shape.
    """
    if type(node) is not WhereNode:
        raise UnknownShapeError
    children = node.children
    shape.key_parts += (node.connector, node.negated, node.resolved, len(children))
    for child in children:
        read = _LOOKUPS.get(type(child), conditions)
        read(child, shape)


def column_of(column: Any, shape: Parts) -> None:
    """Read a column.

    Args:
        column: a `Col`.
        shape: that it is part of.

    Raises:
        UnknownShapeError: it is something else.
    """
    if type(column) is not Col:
        raise UnknownShapeError
    target = column.target
    field = column.output_field
    shape.key_parts += (column.alias, id(target), id(field))
    shape.fields += (target, field)


def _value(lookup: Any, shape: Parts) -> None:
    """A column and a value, another column, or the one value of a query."""
    value = lookup.rhs
    kind = type(value)
    column = lookup.lhs
    if type(column) is not Col:
        # A condition that is to be true.
        if value is not True:
            raise UnknownShapeError
        shape.key_parts.append(type(lookup))
        _exists(column, shape)
        return
    target = column.target
    field = column.output_field
    shape.key_parts += (type(lookup), kind, column.alias, id(target), id(field))
    shape.fields += (target, field)
    if kind in PLAIN or is_plain(kind):
        if kind is bool:
            # Some databases are asked for the column alone, or for its opposite.
            shape.key_parts.append(value)
        shape.values.append(lookup)
    elif kind is Col:
        column_of(value, shape)
    else:
        shape.add_query(value)


def _values(lookup: Any, shape: Parts) -> None:
    """A column and a list of values, or a query for them."""
    values = lookup.rhs
    kind = type(values)
    shape.key_parts += (type(lookup), kind)
    column_of(lookup.lhs, shape)
    if kind is Query:
        shape.add_query(values)
        return
    if (kind is not list and kind is not tuple) or len(values) > _LONGEST_LIST:
        raise UnknownShapeError
    for kind in set(map(type, values)):
        if kind not in PLAIN and not is_plain(kind):
            raise UnknownShapeError
    # Django asks once for values that are equal, and not for None.
    try:
        different = set(values)
    except TypeError:
        raise UnknownShapeError from None
    different.discard(None)
    shape.key_parts += (len(values), len(different))
    shape.values.append(lookup)


def _is_null(lookup: Any, shape: Parts) -> None:
    if type(lookup.rhs) is not bool:
        raise UnknownShapeError
    shape.key_parts += (type(lookup), lookup.rhs)
    column_of(lookup.lhs, shape)


def expression(part: Any, shape: Parts) -> None:
    """Read what stands for a column, or for an order.

    Args:
        part: an expression, resolved or not.
        shape: that it is part of.

    Raises:
        UnknownShapeError: it has no shape.
    """
    kind = type(part)
    parts = shape.key_parts
    if kind is Col:
        parts.append(kind)
        column_of(part, shape)
    elif kind is Star:
        parts.append(kind)
    elif kind in _AGGREGATES:
        state = part.__dict__
        if not _SAID.issuperset(state["_constructor_args"][1]) or any(map(state.get, _OPTIONS)):
            raise UnknownShapeError
        sources = part.source_expressions
        parts += (kind, part.is_summary, part.distinct, len(sources))
        for source in sources:
            expression(source, shape)
    elif kind is Value:
        value = part.value
        if type(value) not in (int, str, bool) or part._constructor_args != ((value,), {}):
            raise UnknownShapeError
        parts += (kind, type(value), value, part.for_save)
        shape.values.append(Constant(value))
    elif kind is F:
        parts += (kind, part.name)
    elif kind is Ref:
        parts += (kind, part.refs)
        expression(part.source, shape)
    elif kind is OrderBy:
        parts += (kind, part.descending, part.nulls_first, part.nulls_last)
        expression(part.expression, shape)
    else:
        raise UnknownShapeError


def _exists(exists: Any, shape: Parts) -> None:
    negated = type(exists) is NegatedExpression
    if negated:
        exists = exists.expression
    if type(exists) is not Exists or exists.extra or exists.template != Exists.template:
        raise UnknownShapeError
    shape.key_parts += (Exists, negated)
    shape.add_query(exists.query)


def expressions(several: Iterable[Any], shape: Parts) -> None:
    """Read several expressions, or names of them.

    Args:
        several: in their order.
        shape: that they are part of.

    Raises:
        UnknownShapeError: one of them has no shape.
    """
    found = tuple(several)
    shape.key_parts.append(len(found))
    for part in found:
        if type(part) is str:
            shape.key_parts.append(part)
        else:
            expression(part, shape)


#: Kinds of values that are handed over to the driver, whatever they are.
PLAIN: Final = {
    bool,
    bytes,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    Decimal,
    float,
    int,
    str,
    type(None),
    UUID,
}


def is_plain(kind: type) -> bool:
    """Tell whether a class is one of texts or numbers, such as an enumeration of choices.

    Args:
        kind: the class, not one of `PLAIN`.
    """
    return issubclass(kind, str | int) and not (
        hasattr(kind, "as_sql") or hasattr(kind, "resolve_expression")
    )


#: Of aggregates: what they may be made with, and what is not to be set.
_SAID: Final = frozenset({"distinct"})
_OPTIONS: Final = ("filter", "default", "order_by", "extra")
_AGGREGATES: Final = frozenset({Avg, Count, Max, Min, StdDev, Sum, Variance})

_LOOKUPS: Final[Mapping[type, Read]] = {
    Exists: _exists,
    NegatedExpression: _exists,
    lookups.Exact: _value,
    lookups.IExact: _value,
    lookups.GreaterThan: _value,
    lookups.GreaterThanOrEqual: _value,
    lookups.LessThan: _value,
    lookups.LessThanOrEqual: _value,
    lookups.IntegerFieldExact: _value,
    lookups.IntegerGreaterThan: _value,
    lookups.IntegerGreaterThanOrEqual: _value,
    lookups.IntegerLessThan: _value,
    lookups.IntegerLessThanOrEqual: _value,
    lookups.Contains: _value,
    lookups.IContains: _value,
    lookups.StartsWith: _value,
    lookups.IStartsWith: _value,
    lookups.EndsWith: _value,
    lookups.IEndsWith: _value,
    lookups.Regex: _value,
    lookups.IRegex: _value,
    lookups.In: _values,
    lookups.Range: _values,
    lookups.IsNull: _is_null,
    related_lookups.RelatedExact: _value,
    related_lookups.RelatedGreaterThan: _value,
    related_lookups.RelatedGreaterThanOrEqual: _value,
    related_lookups.RelatedLessThan: _value,
    related_lookups.RelatedLessThanOrEqual: _value,
    related_lookups.RelatedIn: _values,
    related_lookups.RelatedIsNull: _is_null,
}

#: The classes of these parts, which write their texts.
WRITERS: Final = frozenset(
    {Query, WhereNode, Col, Star, Value, F, Ref, OrderBy, *_AGGREGATES, *_LOOKUPS}
)

"""The shape of a query: all that Django makes its text from, but for the values.

Two queries of one shape have one text; they differ in parameters alone. What is not known here
makes a query one without a shape, be it a class, an attribute, or a kind of value: a project may
have taught it to write anything. `docs/explanation/decisions.md` tells why the list is complete.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
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
from django.db.models.sql.datastructures import BaseTable, Join
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


class Shape:
    """The shape of one query, and where its values are.

    Args:
        compiler: of a query that is about to be compiled.

    Raises:
        UnknownShapeError: it has no shape.
    """

    __slots__ = ("kept", "key", "parts", "queries", "values")

    def __init__(self, compiler: Any) -> None:
        #: What the key is made of; numbers of parts come before the parts.
        self.parts: list[Any] = [type(compiler), compiler.elide_empty]
        #: What stands for parameters, in the order of the text: what compares a column with a
        #: value, and constants.
        self.values: list[Any] = []
        #: Fields that the key names by their address, which are to live as long as the key does.
        self.kept: list[Any] = []
        #: The query, and those in it.
        self.queries: list[Query] = []
        _query(compiler.query, self)
        #: Equal for queries of one shape.
        self.key = tuple(self.parts)


def shape_of(compiler: Any) -> Shape | None:
    """Return the shape of a query that is about to be compiled, None where it has none."""
    try:
        return Shape(compiler)
    except UnknownShapeError:
        return None


_Read = Callable[[Any, Shape], None]


def _nothing(value: Any, shape: Shape) -> None:
    """Stand for an attribute that is to be empty: others are not asked."""
    raise UnknownShapeError


def _names(mapping: Mapping[str, Any], shape: Shape) -> None:
    shape.parts.append(tuple(mapping.items()))


def _query(query: Any, shape: Shape) -> None:
    if type(query) is not Query:
        raise UnknownShapeError
    state = query.__dict__
    names = tuple(state)
    read = _reader(names)
    if read is None:
        raise UnknownShapeError
    shape.queries.append(query)
    shape.parts.append(names)
    read(state, shape)


def _sources(state: Mapping[str, Any], shape: Shape) -> None:
    """The tables of a query, and how they are joined."""
    joins = state["alias_map"]
    counts = state["alias_refcount"]
    parts = shape.parts
    parts.append(len(joins))
    for alias, join in joins.items():
        if type(join) is BaseTable:
            parts += (alias, counts.get(alias), join.table_name, join.table_alias)
        elif type(join) is Join and join.filtered_relation is None:
            field = join.join_field
            parts += (
                alias,
                counts.get(alias),
                join.table_name,
                join.table_alias,
                join.parent_alias,
                join.join_type,
                join.nullable,
                id(field),
            )
            shape.kept.append(field)
        else:
            raise UnknownShapeError
    if len(joins) > 1:
        # Further tables, for the order or for related objects, are given names by this.
        parts.append(tuple((table, *used) for table, used in state["table_map"].items()))


def _conditions(node: Any, shape: Shape) -> None:
    if type(node) is not WhereNode:
        raise UnknownShapeError
    children = node.children
    shape.parts += (node.connector, node.negated, node.resolved, len(children))
    for child in children:
        read = _LOOKUPS.get(type(child), _conditions)
        read(child, shape)


def _column(column: Any, shape: Shape) -> None:
    if type(column) is not Col:
        raise UnknownShapeError
    target = column.target
    field = column.output_field
    shape.parts += (column.alias, id(target), id(field))
    shape.kept += (target, field)


def _value(lookup: Any, shape: Shape) -> None:
    """A column and a value, another column, or the one value of a query."""
    value = lookup.rhs
    kind = type(value)
    column = lookup.lhs
    if type(column) is not Col:
        # A condition that is to be true.
        if value is not True:
            raise UnknownShapeError
        shape.parts.append(type(lookup))
        _exists(column, shape)
        return
    target = column.target
    field = column.output_field
    shape.parts += (type(lookup), kind, column.alias, id(target), id(field))
    shape.kept += (target, field)
    if kind in _PLAIN or _is_plain(kind):
        if kind is bool:
            # Some databases are asked for the column alone, or for its opposite.
            shape.parts.append(value)
        shape.values.append(lookup)
    elif kind is Col:
        _column(value, shape)
    else:
        _query(value, shape)


def _values(lookup: Any, shape: Shape) -> None:
    """A column and a list of values, or a query for them."""
    values = lookup.rhs
    kind = type(values)
    shape.parts += (type(lookup), kind)
    _column(lookup.lhs, shape)
    if kind is Query:
        _query(values, shape)
        return
    if (kind is not list and kind is not tuple) or len(values) > _LONGEST_LIST:
        raise UnknownShapeError
    for kind in set(map(type, values)):
        if kind not in _PLAIN and not _is_plain(kind):
            raise UnknownShapeError
    # Django asks once for values that are equal, and not for None.
    different = set(values)
    different.discard(None)
    shape.parts += (len(values), len(different))
    shape.values.append(lookup)


def _is_null(lookup: Any, shape: Shape) -> None:
    if type(lookup.rhs) is not bool:
        raise UnknownShapeError
    shape.parts += (type(lookup), lookup.rhs)
    _column(lookup.lhs, shape)


def _expression(expression: Any, shape: Shape) -> None:
    kind = type(expression)
    parts = shape.parts
    if kind is Col:
        parts.append(kind)
        _column(expression, shape)
    elif kind is Star:
        parts.append(kind)
    elif kind in _AGGREGATES:
        state = expression.__dict__
        if not _SAID.issuperset(state["_constructor_args"][1]) or any(map(state.get, _OPTIONS)):
            raise UnknownShapeError
        sources = expression.source_expressions
        parts += (kind, expression.is_summary, expression.distinct, len(sources))
        for source in sources:
            _expression(source, shape)
    elif kind is Value:
        value = expression.value
        if type(value) not in (int, str, bool) or expression._constructor_args != ((value,), {}):
            raise UnknownShapeError
        parts += (kind, type(value), value, expression.for_save)
        shape.values.append(Constant(value))
    elif kind is F:
        parts += (kind, expression.name)
    elif kind is Ref:
        parts += (kind, expression.refs)
        _expression(expression.source, shape)
    elif kind is OrderBy:
        parts += (kind, expression.descending, expression.nulls_first, expression.nulls_last)
        _expression(expression.expression, shape)
    else:
        raise UnknownShapeError


def _exists(expression: Any, shape: Shape) -> None:
    negated = type(expression) is NegatedExpression
    if negated:
        expression = expression.expression
    if type(expression) is not Exists or expression.extra or expression.template != Exists.template:
        raise UnknownShapeError
    shape.parts += (Exists, negated)
    _query(expression.query, shape)


def _expressions(expressions: Iterable[Any], shape: Shape) -> None:
    found = tuple(expressions)
    shape.parts.append(len(found))
    for expression in found:
        if type(expression) is str:
            shape.parts.append(expression)
        else:
            _expression(expression, shape)


def _annotations(annotations: Mapping[str, Any], shape: Shape) -> None:
    shape.parts.append(tuple(annotations))
    for annotation in annotations.values():
        _expression(annotation, shape)


def _group_by(group_by: Any, shape: Shape) -> None:
    if group_by is True:
        shape.parts.append(True)
    else:
        _expressions(group_by, shape)


def _extra(extra: Mapping[str, Any], shape: Shape) -> None:
    shape.parts.append(len(extra))
    for alias, (sql, params) in extra.items():
        if params:
            raise UnknownShapeError
        shape.parts += (alias, sql)


def _texts(texts: Iterable[Any], shape: Shape) -> None:
    found = tuple(texts)
    if any(type(text) is not str for text in found):
        raise UnknownShapeError
    shape.parts.append(found)


def _mask(mask: Any, shape: Shape) -> None:
    # A list has an order, which the columns of the text follow; a set has none.
    shape.parts.append(tuple(mask) if isinstance(mask, list) else frozenset(mask))


def _deferred(deferred: tuple[Iterable[str], bool], shape: Shape) -> None:
    shape.parts += (frozenset(deferred[0]), deferred[1])


def _related(related: Any, shape: Shape) -> None:
    if isinstance(related, dict):
        shape.parts.append(len(related))
        for name, further in related.items():
            shape.parts.append(name)
            _related(further, shape)
    else:
        shape.parts.append(related)


def _selected(selected: Mapping[str, Any], shape: Shape) -> None:
    for value in selected.values():
        if type(value) is not int and type(value) is not str:
            raise UnknownShapeError
    shape.parts.append(tuple(selected.items()))


#: What reads attributes of a query that need more than to be compared, where they are not empty.
_ATTRIBUTES: Final[Mapping[str, _Read]] = {
    "_filtered_relations": _nothing,
    "annotation_select_mask": _mask,
    "annotations": _annotations,
    "combinator": _nothing,
    "combined_queries": _nothing,
    "deferred_loading": _deferred,
    "distinct_fields": _texts,
    "explain_info": _nothing,
    "external_aliases": _names,
    "extra": _extra,
    "extra_order_by": _texts,
    "extra_select_mask": _mask,
    "extra_tables": _texts,
    "group_by": _group_by,
    "order_by": _expressions,
    "select": _expressions,
    "select_for_no_key_update": _nothing,
    "select_for_update": _nothing,
    "select_for_update_nowait": _nothing,
    "select_for_update_of": _nothing,
    "select_for_update_skip_locked": _nothing,
    "select_related": _related,
    "selected": _selected,
    "subq_aliases": _mask,
    "values_select": _texts,
    "where": _conditions,
}
#: Those that are one plain value, or a class.
_COMPARED: Final = frozenset(
    {
        "_db",
        "alias_cols",
        "alias_prefix",
        "base_table",
        "combinator_all",
        "contains_subquery",
        "default_cols",
        "default_ordering",
        "distinct",
        "high_mark",
        "low_mark",
        "max_depth",
        "model",
        "standard_ordering",
        "subquery",
    }
)
#: Those that follow from others, or that only a later `filter()` looks at.
_IRRELEVANT: Final = frozenset(
    {
        "_annotation_select_cache",
        "_extra_select_cache",
        "_lookup_joins",
        "contains_aggregate",
        "contains_column_references",
        "contains_over_clause",
        "filter_is_sticky",
        "used_aliases",
    }
)

#: Those whose parameters come before all others.
_FIRST: Final = ("select", "annotations")
#: Those that every query has, and that are read together.
_SOURCES: Final = frozenset({"alias_map", "alias_refcount", "table_map"})

_KNOWN: Final = _ATTRIBUTES.keys() | _COMPARED | _IRRELEVANT | _SOURCES


@lru_cache(maxsize=1024)
def _reader(names: tuple[str, ...]) -> Callable[[Mapping[str, Any], Shape], None] | None:
    """Return what reads the attributes of queries that have just these of their own.

    Returns:
        None where one of them is not known.
    """
    if not _KNOWN.issuperset(names) or not _SOURCES.union(("model", "alias_cols")).issubset(names):
        return None
    compared = itemgetter(*(name for name in names if name in _COMPARED))
    # Parameters come in the order of the text.
    ordered = sorted(names, key=lambda name: name not in _FIRST)
    others = tuple((name, _ATTRIBUTES[name]) for name in ordered if name in _ATTRIBUTES)

    def read(state: Mapping[str, Any], shape: Shape) -> None:
        parts = shape.parts
        parts.append(compared(state))
        _sources(state, shape)
        for name, part in others:
            value = state[name]
            if value:
                part(value, shape)
            else:
                # No mask and a mask of nothing are not the same.
                parts.append(type(value))

    return read


#: Kinds of values that are handed over to the driver, whatever they are.
_PLAIN: Final = {
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


def _is_plain(kind: type) -> bool:
    """Tell whether a class is one of texts or numbers, such as an enumeration of choices."""
    return issubclass(kind, str | int) and not (
        hasattr(kind, "as_sql") or hasattr(kind, "resolve_expression")
    )


#: Of aggregates: what they may be made with, and what is not to be set.
_SAID: Final = frozenset({"distinct"})
_OPTIONS: Final = ("filter", "default", "order_by", "extra")
_AGGREGATES: Final = frozenset({Avg, Count, Max, Min, StdDev, Sum, Variance})

_LOOKUPS: Final[Mapping[type, _Read]] = {
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

#: Classes that write texts of queries that have a shape, besides compilers and backends.
WRITERS: Final = frozenset(
    {Query, WhereNode, BaseTable, Join, Col, Star, Value, F, Ref, OrderBy, *_AGGREGATES, *_LOOKUPS}
)

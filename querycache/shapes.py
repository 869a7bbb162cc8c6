"""The shape of a query: all that Django makes its text from, but for the values.

Two queries of one shape have one text; they differ in parameters alone. What is not known here
makes a query one without a shape, be it a class, an attribute, or a kind of value: a project may
have taught it to write anything. `docs/explanation/decisions.md` tells why the list is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query

from querycache import shape_parts
from querycache.shape_parts import (
    Parts,
    Read,
    UnknownShapeError,
    conditions,
    expression,
    expressions,
)


class Shape(Parts):
    """The shape of one query, and where its values are.

    Args:
        compiler: of a query that is about to be compiled.

    Raises:
        UnknownShapeError: it has no shape.
    """

    __slots__ = ()

    def add_query(self, query: Any) -> None:
        if type(query) is not Query:
            raise UnknownShapeError
        state = query.__dict__
        names = tuple(state)
        read = _reader(names)
        if read is None:
            raise UnknownShapeError
        self.queries.append(query)
        self.key_parts.append(names)
        read(state, self)


def shape_of(compiler: Any) -> Shape | None:
    """Return the shape of a query that is about to be compiled, None where it has none."""
    try:
        return Shape(compiler)
    except UnknownShapeError:
        return None


def _nothing(value: Any, shape: Parts) -> None:
    """Stand for an attribute that is to be empty: others are not asked."""
    raise UnknownShapeError


def _names(mapping: Mapping[str, Any], shape: Parts) -> None:
    shape.key_parts.append(tuple(mapping.items()))


def sources(state: Mapping[str, Any], shape: Parts) -> None:
    """Read the tables of a query, and how they are joined.

    Args:
        state: the attributes of the query.
        shape: that it is part of.

    Raises:
        UnknownShapeError: there is something else among them.
    """
    joins = state["alias_map"]
    counts = state["alias_refcount"]
    parts = shape.key_parts
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
            shape.fields.append(field)
        else:
            raise UnknownShapeError
    if len(joins) > 1:
        # Further tables, for the order or for related objects, are given names by this.
        parts.append(tuple((table, *used) for table, used in state["table_map"].items()))


def _annotations(annotations: Mapping[str, Any], shape: Parts) -> None:
    shape.key_parts.append(tuple(annotations))
    for annotation in annotations.values():
        expression(annotation, shape)


def _group_by(group_by: Any, shape: Parts) -> None:
    if group_by is True:
        shape.key_parts.append(True)
    else:
        expressions(group_by, shape)


def _extra(extra: Mapping[str, Any], shape: Parts) -> None:
    shape.key_parts.append(len(extra))
    for alias, (sql, params) in extra.items():
        if params:
            raise UnknownShapeError
        shape.key_parts += (alias, sql)


def _strings(strings: Iterable[Any], shape: Parts) -> None:
    found = tuple(strings)
    if any(type(one) is not str for one in found):
        raise UnknownShapeError
    shape.key_parts.append(found)


def _mask(mask: Any, shape: Parts) -> None:
    # A list has an order, which the columns of the text follow; a set has none.
    shape.key_parts.append(tuple(mask) if isinstance(mask, list) else frozenset(mask))


def _deferred(deferred: tuple[Iterable[str], bool], shape: Parts) -> None:
    shape.key_parts += (frozenset(deferred[0]), deferred[1])


def _related(related: Any, shape: Parts) -> None:
    if isinstance(related, dict):
        shape.key_parts.append(len(related))
        for name, further in related.items():
            shape.key_parts.append(name)
            _related(further, shape)
    else:
        shape.key_parts.append(related)


def _selected(selected: Mapping[str, Any], shape: Parts) -> None:
    for value in selected.values():
        if type(value) is not int and type(value) is not str:
            raise UnknownShapeError
    shape.key_parts.append(tuple(selected.items()))


#: What reads attributes of a query that need more than to be compared, where they are not empty.
_ATTRIBUTES: Final[Mapping[str, Read]] = {
    "_filtered_relations": _nothing,
    "annotation_select_mask": _mask,
    "annotations": _annotations,
    "combinator": _nothing,
    "combined_queries": _nothing,
    "deferred_loading": _deferred,
    "distinct_fields": _strings,
    "explain_info": _nothing,
    "external_aliases": _names,
    "extra": _extra,
    "extra_order_by": _strings,
    "extra_select_mask": _mask,
    "extra_tables": _strings,
    "group_by": _group_by,
    "order_by": expressions,
    "select": expressions,
    "select_for_no_key_update": _nothing,
    "select_for_update": _nothing,
    "select_for_update_nowait": _nothing,
    "select_for_update_of": _nothing,
    "select_for_update_skip_locked": _nothing,
    "select_related": _related,
    "selected": _selected,
    "subq_aliases": _mask,
    "values_select": _strings,
    "where": conditions,
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

#: Attributes of queries whose part in a text is known.
KNOWN: Final = _ATTRIBUTES.keys() | _COMPARED | _IRRELEVANT | _SOURCES


@lru_cache(maxsize=1024)
def _reader(names: tuple[str, ...]) -> Callable[[Mapping[str, Any], Parts], None] | None:
    """Return what reads the attributes of queries that have just these of their own.

    Returns:
        None where one of them is not known.
    """
    if not KNOWN.issuperset(names) or not _SOURCES.union(("model", "alias_cols")).issubset(names):
        return None
    compared = itemgetter(*(name for name in names if name in _COMPARED))
    # Parameters come in the order of the text.
    ordered = sorted(names, key=lambda name: name not in _FIRST)
    others = tuple((name, _ATTRIBUTES[name]) for name in ordered if name in _ATTRIBUTES)

    def read(state: Mapping[str, Any], shape: Parts) -> None:
        parts = shape.key_parts
        parts.append(compared(state))
        sources(state, shape)
        for name, part in others:
            value = state[name]
            if value:
                part(value, shape)
            else:
                # No mask and a mask of nothing are not the same.
                parts.append(type(value))

    return read


#: Classes that write texts of queries that have a shape, besides compilers and backends.
WRITERS: Final = shape_parts.WRITERS | {Query, BaseTable, Join}

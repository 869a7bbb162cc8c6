"""Texts that Django made once, for all further queries of their shape.

Making the text of a query is a good part of what a cheap one costs, and most programs ask the same
few hundred questions. Only values are made ready anew, by Django's own lookups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models.expressions import Col

from querycache.assignments import Assigned
from querycache.conversions import conversion_of, is_left_to_backends
from querycache.instances import with_makers
from querycache.memos import remember
from querycache.shape_parts import Constant, Parts
from querycache.shapes import shape_of
from querycache.write_shapes import WRITERS

#: Shapes that are remembered per alias; each takes a few kilobytes.
_REMEMBERED = 1024

_VENDORS = frozenset({"sqlite", "postgresql", "mysql"})


def writes_as_django(connection: Any) -> bool:
    """Tell whether the backend of a connection writes SQL as one of Django's own does.

    Args:
        connection: of any backend.
    """
    parts: tuple[Any, ...] = (connection.ops, connection.features)
    return connection.vendor in _VENDORS and all(
        compiles_as_django(part.__class__) for part in parts
    )


@cache
def compiles_as_django(kind: type[Any]) -> bool:
    """Tell whether a class that has a say in SQL is Django's own, and nobody has changed it.

    Args:
        kind: of compilers, of a part of a backend, or of parts of queries.
    """
    return kind.__module__.startswith("django.") and all(
        # Ours are in the place of some of Django's.
        getattr(part, "__module__", "django.").startswith(("django.", "querycache."))
        for ancestor in kind.__mro__[:-1]
        for part in vars(ancestor).values()
    )


#: What compiling a write leaves on a compiler, for those who fetch columns that are returned.
_RETURNED = frozenset({"returning_params"})

#: What compiling leaves on a compiler, for those who make objects of the rows.
_COMPILED = ("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select")


class Text:
    """A text, for all queries of its shape.

    Args:
        compiler: that has just made it.
        shape: of its query.
        sql: the text.
        placeholders: of each value of the shape: the parameters of a constant; what those of a
            lookup look like in the text, None where it shows none.
    """

    __slots__ = ("_fields", "_left", "_models", "_placeholders", "sql")

    def __init__(self, compiler: Any, shape: Parts, sql: str, placeholders: Sequence[Any]) -> None:
        self.sql = sql
        self._placeholders = placeholders
        self._fields = shape.fields
        #: What compiling leaves on a compiler.
        self._left = {
            name: compiler.__dict__[name] for name in _RETURNED & compiler.__dict__.keys()
        }
        self._models = [
            (meta, meta.concrete_fields, copy(meta.ordering), meta.db_table)
            for meta in _models(shape.queries)
        ]

    def holds(self) -> bool:
        """Tell whether models are as they were: programs add fields, or have other tables used."""
        for meta, fields, ordering, table in self._models:
            if (
                meta.concrete_fields is not fields
                # A program may change the list itself.
                or meta.ordering != ordering
                or meta.db_table != table
            ):
                return False
        return True

    def parameters(self, compiler: Any, shape: Parts) -> tuple[Any, ...] | None:
        """Do for a compiler what making the text would do.

        Args:
            compiler: of another query of the shape.
            shape: where the values are.

        Returns:
            The parameters; None where its text is another one after all, and is to be made.
        """
        connection = compiler.connection
        params: tuple[Any, ...] = ()
        try:
            for value, placeholder in zip(shape.values, self._placeholders, strict=True):
                if type(placeholder) is Constant:
                    params += placeholder.value
                elif placeholder is not None:
                    text, values = value.process_rhs(compiler, connection)
                    if text != placeholder:
                        return None
                    params += tuple(values)
        except (EmptyResultSet, FullResultSet):
            return None
        compiler.__dict__.update(self._left)
        return params


class Selecting(Text):
    """A text that returns rows, and what those who make objects of them need.

    Args:
        compiler: see `Text`.
        shape: see `Text`.
        sql: see `Text`.
        placeholders: see `Text`.
    """

    __slots__ = ("_converting", "_unconverted", "columns", "conversion")

    def __init__(self, compiler: Any, shape: Parts, sql: str, placeholders: Sequence[Any]) -> None:
        super().__init__(compiler, shape, sql, placeholders)
        self._left = {name: getattr(compiler, name) for name in _COMPILED} | {"text": self}
        if compiler.query.default_cols:
            self._left["klass_info"] = with_makers(compiler.klass_info, compiler.select)
        #: What they were compiled to; the same object on all compilers that get the text.
        self.columns = compiler.select
        connection = compiler.connection
        columns = [column for column, _, _ in compiler.select[: compiler.col_count]]
        #: What is made of values before they are kept, if anything.
        self.conversion = conversion_of(columns, connection)
        converting = [column if _may_convert(column, connection) else None for column in columns]
        self._converting = _none_or_all(converting)
        left = converting if self.conversion is None else self.conversion.left(converting)
        self._unconverted = _none_or_all(left)

    def converted(self, columns: Any) -> Any:
        """Leave out of the columns of a result those whose values nothing converts.

        Args:
            columns: what a compiler is about to look for converters of.
        """
        # Those of an aggregate come in another form.
        return self._converting if type(columns) is list else columns

    def unconverted(self, columns: Any, *, known: bool) -> Any:
        """Leave out of the columns of a converted result all that nothing converts any more.

        Args:
            columns: what a compiler is about to look for converters of.
            known: whether they are those of this text.
        """
        if known or self.conversion is None:
            return self._unconverted
        return _none_or_all(self.conversion.left(columns))


#: Makes a text and its parameters.
Make = Callable[[], tuple[str, Any]]
#: Reads the shape of what a compiler is about to compile.
Reader = Callable[[Any], Parts | None]

#: Told apart from None, which stands for a shape whose texts differ.
_NEVER_SEEN = object()


class Texts:
    """The texts of the queries of one alias, by shape."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def compile(
        self, compiler: Any, make: Make | None = None, shape_of: Reader = shape_of
    ) -> tuple[str, Any]:
        """Return what Django would make, and leave on the compiler what that leaves.

        Args:
            compiler: of a query that is about to be executed.
            make: Django's own `as_sql`; None: the compiler's.
            shape_of: reads shapes of such queries.

        Raises:
            EmptyResultSet: there is nothing to be asked.
        """
        shape = shape_of(compiler)
        if shape is not None:
            text = self._known.get(shape.key, _NEVER_SEEN)
            if text is _NEVER_SEEN or (text is not None and not text.holds()):
                return self._learn(compiler, shape, make or compiler.as_sql)
            if text is not None:
                params = text.parameters(compiler, shape)
                if params is not None:
                    return text.sql, params
        return (make or compiler.as_sql)()

    def _learn(self, compiler: Any, shape: Parts, make: Make) -> tuple[str, Any]:
        sql, params = make()
        text = None
        try:
            placeholders = _placeholders(compiler, shape, params)
        except (EmptyResultSet, FullResultSet):
            # A condition that is never or always true has no text; it is by its value.
            return sql, params
        if placeholders is not None and _may_be_mistaken(shape, params):
            # Another query of the shape tells.
            return sql, params
        if placeholders is not None:
            kind = Text if compiler.select is None else Selecting
            text = kind(compiler, shape, sql, placeholders)
            if isinstance(text, Selecting):
                compiler.text = text
        remember(self._known, shape.key, text, _REMEMBERED)
        return sql, params


def _placeholders(compiler: Any, shape: Parts, params: Any) -> list[Any] | None:
    """Find the values of a query in what it has just been compiled to.

    Returns:
        What each lookup's values look like in the text, None for a lookup whose text says it all.
        None where something else has a say in the text or the parameters.

    Raises:
        EmptyResultSet: a condition is not in the text, since it is never true.
        FullResultSet: likewise, since it is always true.
    """
    if type(params) is not tuple or not _is_plain_query(compiler, shape):
        return None
    placeholders: list[Any] = []
    explained = 0
    for value in shape.values:
        if type(value) is Constant:
            own = params[explained : explained + 1]
            # PostgreSQL's numbers are of classes of their own.
            if own != (value.value,):
                return None
            placeholders.append(Constant(own))
        elif isinstance(value, Assigned) and not value.is_plain:
            return None
        else:
            placeholder, values = value.process_rhs(compiler, compiler.connection)
            if placeholder is None:
                return None
            _, own = compiler.compile(value)
            there = params[explained : explained + len(own)]
            if own and comparable(values) != comparable(there):
                return None
            shows = own or isinstance(value, Assigned)
            placeholders.append(placeholder if shows else None)
        explained += len(own)
    return placeholders if explained == len(params) else None


def _may_be_mistaken(shape: Parts, params: Sequence[Any]) -> bool:
    """Tell whether a constant may stand at the place of another parameter with the same value.

    Django writes constants where they are selected, ordered by or grouped by, so not always in the
    order of the shape, and found by their values alone they are found at each place of that value.
    """
    constants = [value.value for value in shape.values if type(value) is Constant]
    if not constants or all(map(_selects_constants_alone, shape.queries)):
        return False
    # As often as in the shape, and no more.
    return any(list(params).count(one) != constants.count(one) for one in constants)


def _selects_constants_alone(query: Any) -> bool:
    """Tell whether the constants of a query are selected and nothing else, as by `exists()`."""
    return not (
        query.order_by
        or query.extra_order_by
        or query.group_by
        or (query.default_ordering and query.get_meta().ordering)
        or query.annotations.keys() != query.annotation_select.keys()
    )


def _may_convert(column: Any, connection: Any) -> bool:
    """Tell whether values of a column may be converted on their way from the driver."""
    return bool(
        not is_left_to_backends(column, connection)
        # Whether times are depends on a setting.
        or (
            connection.vendor == "mysql"
            and column.output_field.get_internal_type() == "DateTimeField"
        )
        or connection.ops.get_db_converters(column)
    )


def _none_or_all(columns: list[Any]) -> list[Any]:
    """Return columns by their place, and none at all where there are only gaps."""
    return columns if any(column is not None for column in columns) else []


def _models(queries: Sequence[Any]) -> list[Any]:
    """Return what describes the models that queries were compiled with."""
    found: dict[int, Any] = {}
    for query in queries:
        models = [query.model]
        for join in query.alias_map.values():
            if join.join_type is not None:
                models += (join.join_field.model, join.join_field.related_model)
        found.update((id(model._meta), model._meta) for model in models)
    return list(found.values())


def _is_plain_query(compiler: Any, shape: Parts) -> bool:
    """Tell whether all parts of a query are written as Django writes them, and where it says."""
    writers: Any = WRITERS
    if not all(map(compiles_as_django, writers)):
        return False
    columns = [column for column, _, _ in compiler.select or ()]
    for query in shape.queries:
        # Conditions on aggregates and windows are taken out, and come later.
        if (
            query.model is None
            or query.where.contains_aggregate
            or query.where.contains_over_clause
        ):
            return False
        columns += query.select
        joins: Any = query.alias_map.values()
        for join in joins:
            if join.join_type is not None:
                field = join.join_field
                for part in (field, getattr(field, "field", field)):
                    if not _is_djangos(type(part), "get_extra_restriction", "django.db.models."):
                        return False
    for column in columns:
        if isinstance(column, Col) and type(column) is not Col:
            return False
        field = column._output_field_or_none
        if field is not None and not _is_djangos(type(field), "select_format"):
            return False
    return True


def _is_djangos(kind: type, method: str, module: str = "django.") -> bool:
    return getattr(kind, method).__module__.startswith(module)  # type: ignore[no-any-return]


def comparable(params: Sequence[Any]) -> list[tuple[type, Any]]:
    """Return parameters in a form that can be compared.

    Args:
        params: of a statement.
    """
    # psycopg's wrappers of JSON and of bytes are equal to nothing else.
    return [(type(param), getattr(param, "obj", param)) for param in params]

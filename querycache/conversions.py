"""Results whose values have been made what fields hold, before they are kept.

SQLite has no times and no decimals, and MySQL no truth: Django makes them of what the driver gives,
for each row of each result. What is kept are the values that come of it, so hits need not make them
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, overload

from django.db.models import DecimalField
from django.db.models.expressions import Col, ColPairs

from querycache.keys import digest

#: Types of fields whose values depend on what the driver gives, on the field and on the session's
#: time zone alone, where Django's own backends convert them.
_KINDS: Final = frozenset(
    {"BooleanField", "DateField", "DateTimeField", "DecimalField", "TimeField", "UUIDField"}
)

Rows = list[tuple[Any, ...]]


class Conversion:
    """What a backend makes of the values of some columns, and fields leave as it is.

    Args:
        columns: by their place in a row.
    """

    __slots__ = ("_columns", "form")

    def __init__(self, columns: dict[int, Any]) -> None:
        self._columns = columns
        told = repr([(place, *_told(column)) for place, column in columns.items()])
        #: Tells results that were converted like this from all others of their query.
        self.form: bytes = b"C" + digest(told)

    def of(self, chunks: Sequence[Rows], connection: Any) -> list[Rows]:
        """Return rows with converted values.

        Args:
            chunks: of rows as the driver gives them.
            connection: that has read them.
        """
        steps = [
            (place, column, connection.ops.get_db_converters(column))
            for place, column in self._columns.items()
        ]
        done = []
        for rows in chunks:
            columns: list[Any] = list(zip(*rows, strict=True))
            for place, column, converters in steps:
                for convert in converters:
                    values = columns[place]
                    columns[place] = [convert(value, column, connection) for value in values]
            done.append(list(zip(*columns, strict=True)))
        return done

    def left(self, columns: Sequence[Any]) -> list[Any]:
        """Leave out of the columns of a result those that have been converted.

        Args:
            columns: all of them.
        """
        done = self._columns
        return [None if place in done else column for place, column in enumerate(columns)]


class Converted(Sequence[Rows]):
    """A result with converted values, for Django's own compilers.

    Whoever else looks into it gets rows as the driver gives them, as without the cache.

    Args:
        chunks: of converted rows.
        run: runs the query on the database.
    """

    __slots__ = ("_run", "chunks")

    def __init__(self, chunks: list[Rows], run: Callable[[], list[Rows]]) -> None:
        self.chunks = chunks
        self._run: Callable[[], list[Rows]] = run

    def __iter__(self) -> Iterator[Rows]:
        return iter(self._given())

    def __len__(self) -> int:
        return len(self._given())

    @overload
    def __getitem__(self, place: int) -> Rows: ...

    @overload
    def __getitem__(self, place: slice) -> list[Rows]: ...

    def __getitem__(self, place: int | slice) -> Rows | list[Rows]:
        return self._given()[place]

    def _given(self) -> list[Rows]:
        found = self._run()
        # Once is enough, and what it gives is to stay the same.
        self._run = lambda: found
        return found


def conversion_of(columns: Sequence[Any], connection: Any) -> Conversion | None:
    """Return what a backend makes of the values of a result.

    Args:
        columns: of the result, of a query that Django compiles as it always does.
        connection: that reads it, of a backend of Django's.

    Returns:
        None where that is nothing, or not known here.
    """
    if any(type(column) is ColPairs for column in columns):
        # Of a composite primary key each part is a value of a row.
        return None
    found = {
        place: column
        for place, column in enumerate(columns)
        if _is_known(column, connection) and connection.ops.get_db_converters(column)
    }
    return Conversion(found) if found else None


def is_left_to_backends(column: Any, connection: Any) -> bool:
    """Tell whether nothing but a backend converts the values of a column.

    Args:
        column: of a result.
        connection: that reads it.
    """
    return (
        type(column) is Col
        and all(
            type(field).get_db_converters.__module__.startswith("django.")
            for field in (column.target, column.output_field)
        )
        and not column.get_db_converters(connection)
    )


def _is_known(column: Any, connection: Any) -> bool:
    if not is_left_to_backends(column, connection):
        return False
    kind = column.output_field.get_internal_type()
    return kind in _KINDS and (kind != "DecimalField" or type(column.output_field) is DecimalField)


def _told(column: Any) -> tuple[Any, ...]:
    """Return what tells a conversion from another."""
    field = column.output_field
    kind = field.get_internal_type()
    # SQLite's floats are rounded to what a column can hold.
    digits = (field.max_digits, field.decimal_places) if kind == "DecimalField" else ()
    return kind, *digits

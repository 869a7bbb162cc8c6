"""Which rows of a table a statement is about, and the keys of their stamps.

`changes` names what these stamps stand for.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from querycache.changes import ALL, NEW, REFERRED, reference_of, row_of
from querycache.keys import EVERYTHING
from querycache.memos import remember

#: Stamps of a table's rows. More of them keep more rows apart, and each of them has to be made
#: known to a store anew that has lost it. A prime, so that keys in even steps use them all.
BUCKETS = 1021

#: Kinds of primary keys: those whose equality is the same in Python as in every database.
INTEGER = "integer"
UUID = "uuid"

#: MySQL may cut other integers to what a column can hold, and then the row refers to another.
_MOST_REFERRED = 2**31 - 1

# Buckets of which a process remembers what they lead to, for one table or text.
_MOST_KNOWN = 512

#: Begins the stamps that an entry made of certain rows was sealed under; a stamp begins otherwise.
SEAL = b"R"

_HEX = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)


def bucket_of(value: Any, kind: str) -> int | None:
    """Return the bucket of a primary key's value; None where the database may read it otherwise."""
    if kind == INTEGER:
        # MySQL compares a number with the text '1 and more', and SQLite 1 with 1.0.
        if isinstance(value, int) and type(value) is not bool:
            return int.__mod__(value, BUCKETS)
    elif isinstance(value, uuid.UUID):
        return value.int % BUCKETS
    elif type(value) is str and _HEX.fullmatch(value) is not None:
        # However it is spelled, since columns of text may compare without case.
        return int(value.replace("-", ""), 16) % BUCKETS
    return None


@dataclass(frozen=True, slots=True)
class Keyed:
    """A statement that is about no rows of its only table but those that one column names.

    Args:
        table: the table.
        kind: of its primary key.
        first: the place among the parameters of the first value.
        count: how many values there are.
        total: how many parameters the statement has.
        reference: the column with a foreign key that names the rows in place of the primary key.
    """

    table: str
    kind: str
    first: int
    count: int
    total: int
    reference: str | None = None

    def values(self, params: Any) -> Sequence[Any] | None:
        """Return the values of the column; None where parameters are given otherwise."""
        if (type(params) is tuple or type(params) is list) and len(params) == self.total:
            return params[self.first : self.first + self.count]
        return None

    def rows(self, params: Any) -> int:
        """Return how many rows a result has that lacks none."""
        return 1 if self.count == 1 else len(set(self.values(params) or ()))

    def buckets(self, params: Any) -> tuple[int, ...] | None:
        """Return the buckets of the rows, sorted; None where they cannot be told."""
        values = self.values(params)
        if values is None:
            return None
        if self.count == 1:
            # Most queries and writes by key, so nothing is done for them that need not be.
            only = bucket_of(values[0], self.kind)
            return None if only is None else (only,)
        found = {bucket_of(value, self.kind) for value in values}
        known = sorted(bucket for bucket in found if bucket is not None)
        return tuple(known) if len(known) == len(found) else None


class Reference(NamedTuple):
    """Where the statement that makes new rows says what they refer to.

    Args:
        column: the column.
        kind: of its values.
        places: of them among the parameters, one for each row.
    """

    column: str
    kind: str
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refined:
    """A write to one table that is not about all of its rows.

    Args:
        table: the table.
        keyed: which rows; None: new ones.
        references: all of the new rows; none where they are not known.
        total: how many parameters the statement has.
        columns: what changes of certain rows besides: `changes.column_of` some, or `ANY`. Of new
            ones where nobody knows what they refer to.
    """

    table: str
    keyed: Keyed | None
    references: tuple[Reference, ...] = ()
    total: int = 0
    columns: frozenset[str] = frozenset()
    #: What writes to one row change, by the tables and the row's bucket.
    _known: dict[tuple[frozenset[str], int], frozenset[str]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def changes(self, writes: frozenset[str], params: Any) -> frozenset[str]:
        """Return what a statement changes when it runs with some parameters.

        Args:
            writes: the tables that it changes, and those that the database changes in turn.
            params: the parameters.
        """
        if self.keyed is None:
            return (writes - {self.table}).union(self._new(params))
        buckets = self.keyed.buckets(params)
        if buckets is None:
            return writes
        # Mostly one, and then the same set each time: it keeps its hash, by which the keys of
        # stamps are found.
        changes = self._known.get((writes, buckets[0])) if len(buckets) == 1 else None
        if changes is None:
            rows = (row_of(self.table, one) for one in buckets)
            changes = (writes - {self.table}).union(self.columns, rows)
            if len(buckets) == 1:
                remember(self._known, (writes, buckets[0]), changes, _MOST_KNOWN)
        return changes

    def _new(self, params: Any) -> set[str]:
        unknown = {f"{self.table}{NEW}", *self.columns}
        if not self.references or type(params) not in (tuple, list) or len(params) != self.total:
            return unknown
        found = {f"{self.table}{REFERRED}"}
        for column, kind, places in self.references:
            for place in places:
                value = params[place]
                if value is None and len(places) == 1:
                    # No query asks for it with an equality. Of several rows, MySQL may make it 0.
                    continue
                bucket = bucket_of(value, kind)
                if bucket is None:
                    return unknown
                if kind == INTEGER and not 0 <= value <= _MOST_REFERRED:
                    return unknown
                found.add(reference_of(self.table, column, bucket))
        return found


def seal_of(found: Sequence[bytes | None]) -> bytes:
    """Return what an entry that has every row which was asked for is sealed under.

    Args:
        found: the stamps, that of `NEW` last, on which it does not depend.

    Raises:
        TypeError: a stamp is absent.
    """
    return SEAL + b"".join(found[:-1])  # type: ignore[arg-type]


class RowKeys:
    """The keys of the stamps of one table's rows.

    Args:
        table: the table.
        key: returns the key of a dependency's stamp.
    """

    __slots__ = ("_key", "_known", "_new", "_start", "_table")

    def __init__(self, table: str, key: Callable[[str], bytes]) -> None:
        self._table = table
        self._key = key
        self._start = (key(EVERYTHING), key(f"{table}{ALL}"))
        self._new = key(f"{table}{NEW}")
        # Bucket → the keys of a result of rows in it; with a column, of those that refer to it.
        self._known: dict[int | tuple[str, int], tuple[bytes, ...]] = {}

    def of(self, keyed: Keyed, params: Any) -> tuple[tuple[bytes, ...], int] | None:
        """Return what a query's result depends on.

        Args:
            keyed: which rows it is made of.
            params: its parameters.

        Returns:
            The keys of the stamps, and how many rows it has if it lacks none; then it does not
            depend on the last, that of `NEW`. Of rows that refer to others the table's is the last,
            and there are 0. None where it depends on the table as a whole.
        """
        if keyed.reference is not None:
            return self._referring(keyed, keyed.reference, params)
        if keyed.count == 1 and type(params) is tuple and len(params) == keyed.total:
            # Most queries by key, so that nothing is called for them: see `bucket_of`.
            value = params[keyed.first]
            if type(value) is int and keyed.kind == INTEGER:
                known = self._known.get(value % BUCKETS)
                if known is not None:
                    return known, 1
        buckets = keyed.buckets(params)
        if buckets is None:
            return None
        found = (*self._start, *map(self._bucket, buckets), self._new)
        if len(buckets) == 1:
            remember(self._known, buckets[0], found, _MOST_KNOWN)
        return found, keyed.rows(params)

    def _referring(
        self, keyed: Keyed, column: str, params: Any
    ) -> tuple[tuple[bytes, ...], int] | None:
        buckets = keyed.buckets(params)
        if buckets is None:
            return None
        found = self._known.get((column, buckets[0])) if len(buckets) == 1 else None
        if found is None:
            named = (reference_of(self._table, column, bucket) for bucket in buckets)
            found = (self._start[0], *map(self._key, named), self._key(self._table))
            if len(buckets) == 1:
                remember(self._known, (column, buckets[0]), found, _MOST_KNOWN)
        # Whatever rows there are now, each new one changes a stamp.
        return found, 0

    def _bucket(self, bucket: int) -> bytes:
        return self._key(row_of(self._table, bucket))

"""One read: what its result depends on, and what that may be kept under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from querycache import stamps
from querycache.lists import Asked
from querycache.plans import Plan
from querycache.rows import SEAL
from querycache.stamps import SETTLED_BYTES

if TYPE_CHECKING:
    from querycache.cache import QueryCache, Row

Run = Callable[[], Any]

ALL_ROWS = b"M"
FIRST_ROW = b"S"


@dataclass(slots=True)
class Read:
    """A compiled query on its way.

    Args:
        plan: what is known of its text.
        params: of the query.
        multi: whether all rows are wanted (`MULTI`), or the first (`SINGLE`).
        form: what its answer looks like: `ALL_ROWS`, `FIRST_ROW`, or all rows with values that were
            converted as `Conversion.form` says.
        sql: its text.
        run: runs it on the database, without compiling it again.
        keys: of the stamps that its result depends on; found out by `read`.
        rows: how many rows it has if it lacks none of those that it is made of, and then it does
            not depend on the last stamp; 0 where it may be made of any rows.
        listed: what is asked for where the result says which rows it is made of, see `lists`.
        witness: runs `Plan.witness` on the database, whose rows are what is kept then.
    """

    plan: Plan
    params: Any
    multi: bool
    form: bytes
    sql: str
    run: Run
    keys: tuple[bytes, ...] = ()
    rows: int = 0
    listed: Asked | None = None
    witness: Run | None = None

    def lacks_none(self, result: Sequence[Row]) -> bool:
        """Tell whether a result has every row that it is made of."""
        return self.rows > 0 and len(result) == self.rows

    def counting(
        self, result: Sequence[Row], found: Sequence[bytes | None]
    ) -> tuple[tuple[bytes, ...], Sequence[bytes | None]]:
        """Return the stamps on which a result in the cache depends, and their keys.

        Args:
            result: the result.
            found: the stamps of `keys`.
        """
        listed = self.listed
        if listed is None:
            return (self.keys[:-1], found[:-1]) if self.lacks_none(result) else (self.keys, found)
        of_rows = listed.of_rows(found)
        if None not in of_rows and listed.holds(listed.listing.buckets(result)):
            return (*listed.of_rows(self.keys),), of_rows
        return listed.whole, listed.of_whole(found)


@dataclass(slots=True)
class Under:
    """Settled stamps from before a query ran, under which its result may be kept.

    Args:
        everything: the stamp of the whole database, which comes first.
        some: the joined stamps of a result that lacks no row; None where one is not settled.
        whole: of any other result.
    """

    everything: bytes
    some: bytes | None
    whole: bytes | None

    def filtered(self, good: Callable[[bytes], bool]) -> Under | None:
        """Return those of the joined stamps that are good, None where none are."""
        some = self.some if self.some is not None and good(self.some) else None
        whole = self.whole if self.whole is not None and good(self.whole) else None
        return None if some is None and whole is None else Under(self.everything, some, whole)

    def seal(self, query: Read, result: Sequence[Row]) -> bytes | None:
        """Return what the result of a query is sealed under; None where it cannot be kept."""
        if query.listed is not None:
            return query.listed.seal(result, self.some, self.whole)
        if self.some is not None and query.lacks_none(result):
            return SEAL + self.some
        return self.whole


def kept_under(cache: QueryCache, query: Read, found: Sequence[bytes | None]) -> Under | None:
    """Return what the result of a query that has not run yet may be kept under, if anything."""
    if query.listed is not None:
        return _under_list(cache, query, query.listed, found)
    if not query.rows:
        joined = cache.usable(query.keys, found)
        return None if joined is None else Under(joined[:SETTLED_BYTES], None, joined)
    whole = stamps.joined(found)
    if whole is not None:
        some: bytes | None = whole[:-SETTLED_BYTES]
    else:
        found = cache.settled(query.keys, found)
        some, whole = stamps.joined(found[:-1]), stamps.joined(found)
    return None if some is None else Under(some[:SETTLED_BYTES], some, whole)


def _under_list(
    cache: QueryCache, query: Read, listed: Asked, found: Sequence[bytes | None]
) -> Under | None:
    """Return what a list may be kept under."""

    def joined() -> tuple[bytes | None, bytes | None]:
        some = None if listed.buckets is None else stamps.joined(listed.of_rows(found))
        return some, stamps.joined(listed.of_whole(found))

    some, whole = joined()
    if whole is None or (some is None and listed.buckets is not None):
        found = cache.settled(query.keys, found)
        some, whole = joined()
    either = some or whole
    return None if either is None else Under(either[:SETTLED_BYTES], some, whole)

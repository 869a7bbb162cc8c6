"""Results made of rows that nobody knows before their query has run: pages, and rows by a name.

A page of a category changes when one of its rows does, when a row comes or goes, or when the
columns change that decide which rows are on it; a counter in the row of another page is none of
these. But which rows are on it the query tells, and stamps have to be read before.

So the first result depends on the table as a whole, and its entry notes the buckets of its rows.
Where a later read finds that nothing but the table's own stamp has changed, as a write to certain
rows changes it, it asks for the stamps of these buckets too, and then runs the query. If what that
gives is made of rows in them, it depends on them from then on, and on the table no more.

`docs/explanation/protocol.md` says why that is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from querycache.entries import MAC_BYTES
from querycache.generations import Generations
from querycache.rows import bucket_of
from querycache.stamps import SETTLED_BYTES

if TYPE_CHECKING:
    from querycache.stores.base import Store

#: Begins what an entry was sealed under that depends on the rows which it is made of.
LISTED = b"L"
#: Likewise of one that depends on the table, and notes its rows.
NOTED = b"N"

#: Rows of a result, each of which costs a hit one more stamp.
MOST_LISTED = 32

#: Bytes of an entry that tell its mark and its buckets.
HEAD = slice(MAC_BYTES, MAC_BYTES + 2 + 255)

# Of one bucket in a note.
_BUCKET_BYTES = 2

#: Results of which the process remembers which rows they were made of.
_REMEMBERED = 4096

_Row = tuple[Any, ...]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of a table the results of a query are made of.

    Args:
        kind: of the table's primary key.
        place: of the key in a row.
        most: results of as many rows depend on the table; None: however many there are.
        more: the keys of the stamps on which one that is made of certain rows depends besides.
        own: how many of the stamps that any other result depends on are none of its business, the
            last ones.
        witness: whether it is made of any row that there is: then those of fewer rows than `most`
            depend on the table, and others do not.
        bucket: returns the key of a bucket's stamp.
    """

    kind: str
    place: int
    most: int | None
    more: tuple[bytes, ...]
    own: int
    witness: bool
    bucket: Callable[[int], bytes] = field(compare=False)

    def buckets(self, rows: Sequence[_Row]) -> bytes | None:
        """Return the buckets of a result's rows as they are noted; None: they are not told."""
        if self.most is not None and (len(rows) >= self.most) is not self.witness:
            return None
        place, kind = self.place, self.kind
        if rows and place >= len(rows[0]):
            # Django cuts off what it asks for to order by.
            return None
        found: set[int] = set()
        for row in rows:
            bucket = bucket_of(row[place], kind)
            if bucket is None or len(found) > MOST_LISTED:
                return None
            found.add(bucket)
        if len(found) > MOST_LISTED:
            return None
        return b"".join([bucket.to_bytes(_BUCKET_BYTES, "big") for bucket in sorted(found)])


class Asked:
    """What is asked for by a read of a list; safe between threads.

    Args:
        listing: what its results are made of.
        whole: the keys of the stamps that one depends on which may be made of any rows. On the last
            ones, mostly the table's, others do not depend.
        buckets: that are known to be those of its rows, as they are noted; None: none are known.
    """

    __slots__ = ("_seal", "_shared", "buckets", "further", "keys", "listing", "whole")

    def __init__(
        self, listing: Listing, whole: tuple[bytes, ...], buckets: bytes | None = None
    ) -> None:
        self.listing = listing
        self.whole = whole
        self.buckets = buckets
        # How many of `whole` others depend on as well.
        self._shared = len(whole) - listing.own
        #: The keys that are not asked for where no rows are known.
        self.further: tuple[bytes, ...] = ()
        self._seal = b""
        if buckets is not None:
            self.further = (*listing.more, *map(listing.bucket, _told(buckets)))
            self._seal = _noted(LISTED, buckets)
        #: Of all stamps that are asked for.
        self.keys = self.asked(whole, self.further)

    def asked(self, whole: Sequence[_T], further: Sequence[_T]) -> tuple[_T, ...]:
        """Return stamps, or whatever stands for them, in the order of `keys`.

        Args:
            whole: those of `whole`.
            further: those of `further`.
        """
        return (*whole[: self._shared], *further, *whole[self._shared :])

    def of_whole(self, found: Sequence[_T]) -> Sequence[_T]:
        """Return those of the stamps, or whatever stands for them, whose keys are `whole`."""
        if not self.further:
            return found
        return (*found[: self._shared], *found[-self.listing.own :])

    def of_rows(self, found: Sequence[_T]) -> Sequence[_T]:
        """Return those of the stamps on which a result depends that is made of known rows."""
        return found[: -self.listing.own]

    def better(self, entry: bytes, found: Sequence[bytes | None]) -> Asked | None:
        """Return what has to be asked for besides, as an entry tells; None: nothing.

        Args:
            entry: as the store has it, valid or not, ours or not.
            found: the stamps of `keys`.
        """
        head = entry[HEAD]
        mark = head[:1]
        buckets = head[2 : _length(head)]
        if mark not in (LISTED, NOTED) or buckets == self.buckets:
            return None
        if mark == NOTED:
            # Worth it where writes to certain rows are all that there was since it was made. Else
            # rows may have come or gone, and its own tell nothing of the next result's.
            start = MAC_BYTES + _length(head)
            middle = start + SETTLED_BYTES * self._shared
            whole = [stamp or b"" for stamp in self.of_whole(found)]
            own = b"".join(whole[self._shared :])
            if entry[middle : middle + SETTLED_BYTES * self.listing.own] == own:
                return None
            if entry[start:middle] != b"".join(whole[: self._shared]):
                return None
        return Asked(self.listing, self.whole, buckets)

    def under(self, sealed: bytes, found: Sequence[bytes | None]) -> bytes:
        """Return what a result that is still true was sealed under.

        Args:
            sealed: what it was sealed under, or more that begins so.
            found: the stamps of `keys` as they are now.

        Raises:
            TypeError: a stamp is absent.
        """
        mark = sealed[:1]
        if mark == LISTED and self.buckets is not None:
            return self._seal + b"".join(self.of_rows(found))  # type: ignore[arg-type]
        whole = b"".join(self.of_whole(found))  # type: ignore[arg-type]
        return sealed[: _length(sealed)] + whole if mark == NOTED else whole

    def seal(self, rows: Sequence[_Row], some: bytes | None, whole: bytes | None) -> bytes | None:
        """Return what a result is sealed under; None where it cannot be kept.

        Args:
            rows: the result.
            some: the joined stamps of one that is made of known rows; None where one is not
                settled.
            whole: those of a result that is made of any rows; likewise.
        """
        buckets = self.listing.buckets(rows)
        if some is not None and self.holds(buckets):
            return self._seal + some
        if whole is None or buckets is None:
            return whole
        return _noted(NOTED, buckets) + whole

    def holds(self, buckets: bytes | None) -> bool:
        """Tell whether rows in these buckets are among those that are known."""
        if self.buckets is None or buckets is None:
            return False
        return {*_told(buckets)} <= {*_told(self.buckets)}


def is_listed(entry: bytes) -> bool:
    """Tell whether an entry depends on the rows which it is made of, and not on their table."""
    return entry[MAC_BYTES : MAC_BYTES + 1] == LISTED


class Lists:
    """What is best asked for by the next reads of lists, by their fingerprints."""

    __slots__ = ("_known", "empty")

    def __init__(self) -> None:
        self._known: Generations[Asked] = Generations(_REMEMBERED)
        #: Forget all; what a forked child does first.
        self.empty = self._known.empty

    def asked(self, fingerprint: bytes, listing: Listing, whole: tuple[bytes, ...]) -> Asked:
        """Return what is best asked for.

        Args:
            fingerprint: of the query.
            listing: what its results are made of.
            whole: the keys of what one depends on that may be made of any rows.
        """
        known = self._known.get(fingerprint)
        # Another listing is of an earlier schema.
        if known is not None and known.listing is listing and known.whole == whole:
            return known
        return Asked(listing, whole)

    def ask(
        self,
        store: Store,
        fingerprint: bytes,
        listed: Asked,
        entry: bytes,
        found: Sequence[bytes | None],
    ) -> tuple[Asked, Sequence[bytes | None]]:
        """Ask for what an entry tells is to be asked for besides.

        Args:
            store: has the stamps.
            fingerprint: of the query.
            listed: what was asked for.
            entry: as the store has it.
            found: the stamps that were asked for.

        Returns:
            What has been asked for then, and its stamps.

        Raises:
            StoreError: the store did not answer.
        """
        better = listed.better(entry, found)
        if better is None:
            return listed, found
        self._known.put(fingerprint, better, 1)
        return better, better.asked(listed.of_whole(found), store.stamps(better.further))

    def note(self, fingerprint: bytes, listed: Asked, seal: bytes) -> None:
        """Take note of what a result was kept under.

        Args:
            fingerprint: of the query.
            listed: what was asked for before it ran.
            seal: what the result was sealed under.
        """
        if not seal.startswith(LISTED):
            self._known.drop(fingerprint)
        elif self._known.get(fingerprint) is not listed:
            self._known.put(fingerprint, listed, 1)


def _length(sealed: bytes) -> int:
    """Return how long the note is that stamps are sealed with."""
    # Who knows what is in the store: a part of an entry, perhaps.
    return 2 + sum(sealed[1:2])


def _told(buckets: bytes) -> list[int]:
    """Return buckets that are noted."""
    starts = range(0, len(buckets), _BUCKET_BYTES)
    return [int.from_bytes(buckets[start : start + _BUCKET_BYTES], "big") for start in starts]


def _noted(mark: bytes, buckets: bytes) -> bytes:
    return mark + bytes([len(buckets)]) + buckets

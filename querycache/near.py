"""The near cache: decoded results in the process, served while the store's stamps are still theirs.

A near hit fetches the stamps and nothing else: no entry crosses the network, nothing is opened or
decoded. The stamps decide, as they do for entries of the store, so the promise is the same.

With a follower even the stamps are known beforehand, and a hit asks nobody. It may then come a
message's way after a write has ended: a weaker promise, which is why a project has to ask for it.
"""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid
from collections.abc import Sequence
from typing import Any

from querycache import codec
from querycache.generations import Generations
from querycache.lists import LISTED, Asked
from querycache.rows import SEAL, seal_of
from querycache.stores.base import Follower, Store

Row = tuple[Any, ...]

# Values that callers cannot change, so that all of them may get the same ones → bytes that one
# takes besides those of its encoded form, about.
_IMMUTABLE: dict[type, int] = {
    **dict.fromkeys((type(None), bool), 0),
    **dict.fromkeys((float, datetime.datetime, datetime.date, datetime.time), 20),
    **dict.fromkeys((int, datetime.timedelta), 28),
    **dict.fromkeys((str, bytes), 48),
    **dict.fromkeys((decimal.Decimal, uuid.UUID), 100),
    **dict.fromkeys((ipaddress.IPv4Address, ipaddress.IPv6Address), 80),
    **dict.fromkeys((ipaddress.IPv4Interface, ipaddress.IPv6Interface), 380),
    **dict.fromkeys((ipaddress.IPv4Network, ipaddress.IPv6Network), 380),
}

# What a held result takes besides its rows, a row besides its values, and the place of a value.
_OVERHEAD = 500
_ROW = 56
_PLACE = 8


class Held:
    """A result in the process.

    Args:
        stamps: the joined stamps from before its query ran.
        rows: the rows, where no caller can change them; else None.
        body: the encoded rows where they are decoded for each caller.
    """

    __slots__ = ("_body", "_rows", "stamps")

    def __init__(self, stamps: bytes, rows: list[Row] | None, body: bytes | None) -> None:
        self.stamps = stamps
        self._rows = rows
        self._body = body

    def fits(self, found: Sequence[bytes | None], listed: Asked | None = None) -> bool:
        """Tell whether it is valid under the stamps as they are now.

        Args:
            found: the stamps.
            listed: what they were asked for, where the result is a list.
        """
        try:
            if listed is not None:
                return self.stamps == listed.under(self.stamps, found)
            if self.stamps.startswith(SEAL):
                return self.stamps == seal_of(found)
            return self.stamps == b"".join(found)  # type: ignore[arg-type]
        except TypeError:
            # A stamp is absent.
            return False

    def rows(self) -> list[Row]:
        """Return the rows in a list that is the caller's own."""
        if self._rows is None:
            assert self._body is not None
            return codec.decode(self._body)
        return self._rows[:]


class NearCache:
    """Results by their fingerprints, bounded in bytes; safe between threads.

    Args:
        size: bytes that all results take at most, estimated.
    """

    def __init__(self, size: int) -> None:
        self._held: Generations[Held] = Generations(size)
        #: Knows stamps without asking for them; None where they are asked for.
        self.follower: Follower | None = None
        self.get = self._held.get

    def look(
        self,
        store: Store,
        fingerprint: bytes,
        keys: Sequence[bytes],
        listed: Asked | None = None,
        *,
        ask: bool = False,
    ) -> tuple[list[Row] | None, Sequence[bytes | None] | None]:
        """Look for a result that is held and valid.

        Args:
            store: tells the stamps.
            fingerprint: of the query.
            keys: of the stamps of its dependencies.
            listed: what these are, where the result is a list.
            ask: whether the store must be asked, whatever it has told.

        Returns:
            The rows and the stamps; no rows but stamps where no entry could be valid under these;
            and neither where the store may have an entry.

        Raises:
            StoreError: the store does not answer.
        """
        held = self.get(fingerprint)
        if held is None:
            return None, None
        # On the last stamps it does not depend.
        own = 0
        if held.stamps.startswith((SEAL, LISTED)):
            own = 1 if listed is None else listed.listing.own
        needed = len(keys) - own
        follower = self.follower
        if follower is None:
            found = store.stamps(keys)
        else:
            known = None if ask else follower.known(keys[:needed])
            if known is not None:
                full = (*known, *[None] * own) if own else known
                if held.fits(full, listed):
                    return held.rows(), full
            ticket = follower.ticket()
            found = store.stamps(keys)
            follower.note(ticket, keys, found)
        if held.fits(found, listed):
            return held.rows(), found
        if None in found[:needed]:
            return None, found
        # Another process may have stored the new result.
        self._held.drop(fingerprint)
        return None, None

    def put(self, fingerprint: bytes, stamps: bytes, rows: Sequence[Row], body: bytes) -> None:
        """Hold a result.

        Args:
            fingerprint: of its query.
            stamps: the joined stamps from before it ran.
            rows: the result.
            body: the same, encoded.
        """
        size = _size(rows)
        if size is None:
            held, size = Held(stamps, None, body), len(body)
        else:
            # Of text and of large numbers the encoded form tells.
            held, size = Held(stamps, list(rows), None), size + codec.inflated_size(body)
        self._held.put(fingerprint, held, _OVERHEAD + len(fingerprint) + size)

    def empty(self) -> None:
        """Drop everything; what a forked child does first."""
        self._held.empty()

    @property
    def used(self) -> int:
        """Bytes in use, estimated."""
        return self._held.cost

    def __len__(self) -> int:
        return len(self._held)


def _size(rows: Sequence[Row]) -> int | None:
    """Estimate the bytes that rows take besides text; None where callers could change a value."""
    # To ask for the size of each value would take longer than to encode them all.
    size = 0
    try:
        for column in zip(*rows, strict=True):
            size += _PLACE + max([_IMMUTABLE[kind] for kind in set(map(type, column))])
    except KeyError:
        return None
    return len(rows) * (_ROW + size)

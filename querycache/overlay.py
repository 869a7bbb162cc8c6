"""The overlay: results that only the open transaction of one connection may see."""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of rows that an overlay may hold before it starts afresh.
OVERLAY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """A result that only this transaction may see.

    Args:
        marks: the transaction's own writes to each dependency when the query ran.
        stamps: the joined shared stamps from before it ran; empty in a snapshot, which sees no
            commits of others.
        body: the encoded rows.
    """

    marks: tuple[int, ...]
    stamps: bytes
    body: bytes


class Overlay:
    """Results by their fingerprints, bounded in bytes."""

    __slots__ = ("_bytes", "_results")

    def __init__(self) -> None:
        self._results: dict[bytes, Seen] = {}
        self._bytes = 0

    def seen(self, fingerprint: bytes, marks: tuple[int, ...], stamps: bytes) -> bytes | None:
        """Return the rows that a query gave in this very state, encoded."""
        found = self._results.get(fingerprint)
        if found is not None and found.marks == marks and found.stamps == stamps:
            return found.body
        return None

    def holds(self, fingerprint: bytes) -> bool:
        """Tell whether a query has run in this transaction, in whatever state."""
        return fingerprint in self._results

    def see(self, fingerprint: bytes, seen: Seen) -> None:
        """Keep what a query gave for the rest of the transaction."""
        # Fingerprints hold parameters whole.
        size = len(seen.body) + len(fingerprint)
        self._bytes += size
        if self._bytes > OVERLAY_BYTES:
            self._results.clear()
            self._bytes = size
        self._results[fingerprint] = seen

    def forget(self) -> None:
        """Drop everything."""
        if self._results:
            self._results.clear()
            self._bytes = 0

"""Counts of what the cache did in this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """What the cache did in this process since it started (or since its settings changed).

    Args:
        hits: reads that were served from the cache, overlay hits included.
        near: hits whose rows came from the near cache of the process.
        misses: cacheable reads that were run on the database.
        declined: reads that `ADMISSION` left to the database.
        stored: entries written to the store.
        bypassed: reads that may not be cached, or not now.
        invalidations: commits (or statements in autocommit) that changed stamps.
        damaged: entries that were forged, cut or damaged, each served as a miss.
        stale: hits that `VERIFY` or shadow mode found to differ from the database.
        failures: calls to the store that failed.
    """

    hits: int
    near: int
    misses: int
    declined: int
    stored: int
    bypassed: int
    invalidations: int
    damaged: int
    stale: int
    failures: int

    @property
    def hit_rate(self) -> float:
        """The share of cacheable reads that were hits, 0 to 1."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0


class Counters:
    """The running counts behind `Stats`.

    Plain attributes without a lock: a count that two threads raise at the very same moment may lose
    one, which costs a hit nothing and a reader of statistics nothing that matters.
    """

    __slots__ = Stats.__slots__

    def __init__(self) -> None:
        self.hits = 0
        self.near = 0
        self.misses = 0
        self.declined = 0
        self.stored = 0
        self.bypassed = 0
        self.invalidations = 0
        self.damaged = 0
        self.stale = 0
        self.failures = 0

    def snapshot(self) -> Stats:
        """Return the counts as they are now."""
        return Stats(**{name: getattr(self, name) for name in self.__slots__})

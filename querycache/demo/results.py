"""From what the processes found to figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

from querycache.demo.messages import Difference, Tally

KINDS: Final = ("plain", "miss", "hit")


@dataclass(slots=True)
class Phase:
    """What all processes did in one part of the run.

    Args:
        name: for people and programs.
        hits: reads that were served from the cache.
        misses: cacheable reads that were run on the database.
        bypassed: reads that could not be cached, or not then.
        invalidations: commits that changed stamps.
        checked: answers that were compared with the database.
        repeated: answers that were asked for again, as others committed before the comparison.
        writes: name of a write → how many.
    """

    name: str
    hits: int = 0
    misses: int = 0
    bypassed: int = 0
    invalidations: int = 0
    checked: int = 0
    repeated: int = 0
    writes: dict[str, int] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Add what one process did."""
        for name in ("hits", "misses", "bypassed", "invalidations"):
            setattr(self, name, getattr(self, name) + tally.counts[name])
        self.checked += tally.checked
        self.repeated += tally.repeated
        for name, number in tally.writes.items():
            self.writes[name] = self.writes.get(name, 0) + number


@dataclass(slots=True)
class Results:
    """Everything that the run found.

    Args:
        rows: table → rows that were loaded.
        phases: name → what was done, in order.
        differences: answers that were wrong.
    """

    rows: dict[str, int]
    phases: dict[str, Phase] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    _times: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, phase: str, tallies: Iterable[Tally]) -> None:
        """Add what the processes found in a phase, or in one more round of it."""
        whole = self.phases.setdefault(phase, Phase(phase))
        for tally in tallies:
            whole.add(tally)
            self.differences += tally.differences
            for question, kinds in tally.times.items():
                known = self._times.setdefault(question, {})
                for kind, seconds in kinds.items():
                    known.setdefault(kind, []).extend(seconds)

    @property
    def checked(self) -> int:
        """The answers that were compared with the database."""
        return sum(phase.checked for phase in self.phases.values())

    def medians(self) -> dict[str, dict[str, float | None]]:
        """Return question → kind → median seconds, None where there was no such answer."""
        return {
            question: {kind: median(kinds[kind]) if kind in kinds else None for kind in KINDS}
            for question, kinds in self._times.items()
        }

    def samples(self) -> dict[str, int]:
        """Return kind → how many times were taken."""
        return {
            kind: sum(len(kinds.get(kind, ())) for kinds in self._times.values()) for kind in KINDS
        }

    def page(self) -> dict[str, float | None]:
        """Return kind → the sum of all questions' medians, None where one of them is missing."""
        found = self.medians().values()
        return {
            kind: None
            if any(kinds[kind] is None for kinds in found)
            else sum(kinds[kind] or 0.0 for kinds in found)
            for kind in KINDS
        }

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints, without what the results do not know of themselves."""

        def named(kinds: dict[str, float | None]) -> dict[str, float | None]:
            labels = zip(kinds.values(), ("without_ms", "miss_ms", "hit_ms"), strict=True)
            return {
                label: None if seconds is None else round(seconds * 1000, 4)
                for seconds, label in labels
            }

        phases = self.phases.values()
        return {
            "ok": self.checked > 0 and not self.differences,
            "checked": self.checked,
            "differences": len(self.differences),
            "first_differences": [
                {
                    "query": difference.question,
                    "cached": difference.cached,
                    "database": difference.database,
                }
                for difference in self.differences[:10]
            ],
            "hits": sum(phase.hits for phase in phases),
            "misses": sum(phase.misses for phase in phases),
            "bypassed": sum(phase.bypassed for phase in phases),
            "invalidations": sum(phase.invalidations for phase in phases),
            "writes": sum((Counter(phase.writes) for phase in phases), Counter()),
            "rows": self.rows,
            "samples": self.samples(),
            "page": named(self.page()),
            "queries": [
                {"query": question} | named(kinds) for question, kinds in self.medians().items()
            ],
            "phases": [asdict(phase) for phase in phases],
        }

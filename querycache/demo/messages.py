"""What the processes of the demo send each other: orders, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plain:
    """Order: ask the page once; querycache is not installed.

    Args:
        start: as for `Page`.
    """

    start: int


@dataclass(frozen=True, slots=True)
class Page:
    """Order: ask the page once, and check all answers.

    Args:
        start: the question to begin with; each process begins at another one.
    """

    start: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Order: ask the page `rounds` times, writing in between; check all answers."""

    rounds: int


Order = Plain | Page | Edit


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer that is not what the database says.

    Args:
        question: its name.
        cached: the answer.
        database: what it should have been.
    """

    question: str
    cached: str
    database: str


@dataclass(slots=True)
class Tally:
    """What one process found in one phase.

    Args:
        times: question → ``"plain"``, ``"hit"`` or ``"miss"`` → seconds that it took each time.
        checked: answers that were compared with the database.
        repeated: answers that were asked for again, as others committed before the comparison.
        differences: those that were wrong.
        writes: name of a write → how many.
        counts: what `querycache.stats` counted.
    """

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    checked: int = 0
    repeated: int = 0
    differences: list[Difference] = field(default_factory=list)
    writes: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def took(self, question: str, kind: str, seconds: float) -> None:
        """Note a time."""
        self.times.setdefault(question, {}).setdefault(kind, []).append(seconds)

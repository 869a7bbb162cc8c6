"""What a report is made of, whatever it is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Sequence[Sequence[str]]

#: What stands where there is nothing.
NOTHING = "—"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it.

    Args:
        title: the heading; empty for what goes on under the last one.
        level: of the heading, 2 at least.
        text: paragraphs, with backticks as in Markdown.
        rows: a table, its head first.
        plot: the name of the plot that shows it.
    """

    title: str = ""
    level: int = 3
    text: str = ""
    rows: Rows = field(default_factory=list)
    plot: str = ""


def markdown(section: Section) -> str:
    """Return a section in Markdown."""
    parts = []
    if section.title:
        parts.append(f"{'#' * section.level} {section.title}")
    if section.text:
        parts.append(section.text)
    if section.rows:
        parts.append(table(section.rows))
    return "\n\n".join(parts)


def table(rows: Rows) -> str:
    """Return rows, the first of them the head, as an aligned table of Markdown."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [
        "-" * width if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)
    ]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])


def number(value: float) -> str:
    """Return three digits, or all that are before the point."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(figure: Mapping[str, float]) -> str:
    """Return a ratio with half the distance of its quartiles."""
    return f"{figure['median']:.2f} ± {(figure['q3'] - figure['q1']) / 2:.2f}"


def cell(figure: Mapping[str, Any] | None, unit: str, base: str = "") -> str:
    """Return a figure, and its ratio to a base where it has one.

    Args:
        figure: as a result holds it; None and failures are `NOTHING`.
        unit: the key of its median.
        base: the key of its ratio.
    """
    if figure is None or unit not in figure:
        return NOTHING
    value = figure[unit]
    text = number(value["median"] if isinstance(value, Mapping) else value)
    return f"{text} · {ratio(figure[base])}" if base and base in figure else text


def present(cases: Mapping[str, Mapping[str, Any]], order: Mapping[str, str]) -> list[str]:
    """Return the contenders that a group of cases has, in order."""
    return [name for name in order if any(name in case for case in cases.values())]

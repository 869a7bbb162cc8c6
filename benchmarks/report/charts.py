"""The two kinds of charts: dots by row, and lines by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report.style import LOOKS, SETTINGS, log_ticks, look, times

Labels = Mapping[str, str]
#: Row → contender → median and quartiles.
Spreads = Mapping[str, Mapping[str, Mapping[str, float]]]


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes beside each other, sizes in inches."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def plain(text: str) -> str:
    """Return a label without the marks of Markdown."""
    return text.replace("`", "")


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 4) -> None:
    """Put one legend for all axes below them, each contender once, in their order."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        list(found.values()), list(found), loc="outside lower center", ncols=columns, frameon=False
    )


def dots(rows: Spreads, titles: Labels, contenders: Labels, base: str) -> Figure:
    """Return a chart of ratios: a dot for each contender in each row, with its quartiles.

    Args:
        rows: what was measured.
        titles: what rows are called, in order.
        contenders: what contenders are called, in order.
        base: what the ratios are taken to.
    """
    with mpl.rc_context(SETTINGS):
        present = [name for name in contenders if any(name in row for row in rows.values())]
        height = 1.5 + len(rows) * (0.085 * len(present) + 0.14)
        figure, (axes,) = new_figure(9, height)
        width = 0.84 / max(1, len(present))
        for place, name in enumerate(present):
            offset = (place - (len(present) - 1) / 2) * width
            points = [(y, row[name]) for y, row in enumerate(rows.values()) if name in row]
            style = look(name)
            medians = [spread["median"] for _, spread in points]
            axes.errorbar(
                medians,
                [y + offset for y, _ in points],
                xerr=[
                    [spread["median"] - spread["q1"] for _, spread in points],
                    [spread["q3"] - spread["median"] for _, spread in points],
                ],
                fmt=style.marker,
                color=style.color,
                markersize=4.5,
                elinewidth=1.1,
                label=contenders[name],
            )
        for y in range(0, len(rows), 2):
            axes.axhspan(y - 0.5, y + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        axes.axvline(1, color="#000000", linewidth=1)
        axes.set_yticks(range(len(rows)), [plain(titles[row]) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        everything = [spread for row in rows.values() for spread in row.values()]
        low = min(0.8, *(spread["median"] for spread in everything)) * 0.93
        high = max(2.0, *(spread["median"] for spread in everything)) * 1.1
        log_ticks(axes, "x", low, high, times)
        axes.set_xlabel(f"time over that of {base} (logarithmic; less is better)")
        legend(figure, [axes])
    return figure


def lines(
    axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], contenders: Labels
) -> None:
    """Draw a line for each contender.

    Args:
        axes: where.
        series: contender → x and y.
        contenders: what they are called, in order.
    """
    for name in [*contenders, *(name for name in LOOKS if name not in contenders)]:
        if name in series:
            style = look(name)
            axes.plot(
                *series[name],
                color=style.color,
                marker=style.marker,
                linestyle=style.line,
                markersize=5,
                linewidth=1.4,
                label=contenders.get(name, name),
            )
    axes.grid(visible=True)


def bars(
    axes: Axes,
    values: Mapping[str, float],
    contenders: Labels,
    notes: Mapping[str, str],
) -> None:
    """Draw a horizontal bar for each contender with a note at its end.

    Args:
        axes: where.
        values: contender → length.
        contenders: what they are called, in order.
        notes: contender → what stands at the end of its bar.
    """
    names = [name for name in contenders if name in values]
    axes.barh(
        range(len(names)),
        [values[name] for name in names],
        color=[look(name).color for name in names],
        height=0.7,
    )
    longest = max(values.values(), default=1) or 1
    for y, name in enumerate(names):
        axes.text(values[name] + longest * 0.015, y, notes[name], va="center", fontsize=8.5)
    axes.set_yticks(range(len(names)), [contenders[name] for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.35)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")

"""A result as plots, by the names that sections know them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import labels
from benchmarks.report.charts import bars, dots, legend, lines, new_figure, plain
from benchmarks.report.sections import number
from benchmarks.report.style import SETTINGS, log_ticks, times

Result = Mapping[str, Any]


def plots(result: Result) -> Iterator[tuple[str, Figure]]:
    """Yield the names of plots with the plots."""
    with mpl.rc_context(SETTINGS):
        for database, found in result["databases"].items():
            yield from _queries(result, database, found.get("queries", {}))
            if found.get("traffic"):
                yield f"{database}:traffic", _traffic(result, found["traffic"])
        for part, draw in _ONCE.items():
            found = result.get(part, {}).get("found", {})
            if found and not isinstance(found.get("failed"), str):
                yield from draw(result, found)
        if result["budgets"]:
            yield "budgets", _budgets(result)


def _queries(
    result: Result, database: str, queries: Mapping[str, Any]
) -> Iterator[tuple[str, Figure]]:
    for group in labels.GROUPS:
        rows = {
            name: {
                one: figure[group.base]
                for one, figure in queries.get(f"{group.kind}:{name}", {}).items()
                if group.base in figure and one in result["contenders"]
            }
            for name in group.titles
        }
        rows = {name: row for name, row in rows.items() if row}
        if rows:
            drawn = dots(rows, group.titles, result["contenders"], group.base_label)
            yield f"{database}:{group.slug}", drawn


def _traffic(result: Result, traffic: Mapping[str, Any]) -> Figure:
    figure, (cost, reached) = new_figure(9, 4, 2)
    places = list(range(len(traffic)))
    for axes, key in ((cost, "over_none"), (reached, "reached_of_1000")):
        series = {}
        for name in result["contenders"]:
            points = [
                (place, case[name][key])
                for place, case in zip(places, traffic.values(), strict=True)
                if key in case.get(name, {})
            ]
            if points:
                values = [value["median"] if key == "over_none" else value for _, value in points]
                series[name] = [place for place, _ in points], values
        lines(axes, series, result["contenders"])
        axes.set_xticks(places, [f"{share} %" for share in traffic])
        axes.set_xlabel("writes")
        axes.margins(x=0.08)
        if key == "over_none" and series:
            everything = [value for _, values in series.values() for value in values]
            low, high = min(0.5, *everything) * 0.9, max(2.0, *everything) * 1.1
            log_ticks(axes, "y", low, high, times)
            axes.axhline(1, color="#000000", linewidth=1)
    cost.set_title("Cost of an operation over no cache")
    reached.set_title("Reads of 1000 that reach the database")
    reached.set_ylim(0, 1050)
    legend(figure, [cost, reached])
    return figure


def _pages(result: Result, found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    figure, panels = new_figure(10, 3.6, len(found))
    for axes, (page, case) in zip(panels, found.items(), strict=True):
        good = {name: one for name, one in case.items() if "us" in one}
        values = {name: one["us"]["median"] / 1000 for name, one in good.items()}
        notes = {
            name: f"{number(values[name])} ms, {one['queries']} queries"
            for name, one in good.items()
        }
        bars(axes, values, result["contenders"], notes)
        axes.set_xlim(0, max(values.values(), default=1) * 1.75)
        axes.set_title(plain(labels.PAGES[page]))
        axes.set_xlabel("ms of a page over HTTP")
    yield "pages", figure


def _load(result: Result, found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    for way, cases in found.items():
        figure, (axes,) = new_figure(7, 4)
        series: dict[str, tuple[list[float], list[float]]] = {}
        for amount, case in cases.items():
            for name, one in case.items():
                if "per_second" in one:
                    x, y = series.setdefault(name, ([], []))
                    x.append(int(amount))
                    y.append(one["per_second"]["median"])
        lines(axes, series, result["contenders"])
        axes.set_xscale("log", base=2)
        axes.set_xticks([int(amount) for amount in cases], list(cases))
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{way} (the machine has {result['machine']['cores']} cores)")
        axes.set_ylabel("operations a second")
        legend(figure, [axes], 3)
        yield f"load:{way}", figure


def _stale(result: Result, found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    figure, panels = new_figure(10, 3, 2)
    for axes, key, title in (
        (panels[0], "stale", "Stale reads of 1000"),
        (panels[1], "back", "Reads of 1000 that went back in time"),
    ):
        good = {name: one for name, one in found.items() if "reads" in one}
        values = {name: one[f"{key}_of_1000"] for name, one in good.items()}
        bars(axes, values, result["contenders"], {n: f"{v:g}" for n, v in values.items()})
        axes.set_title(title)
    yield "stale", figure


def _slow(result: Result, found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    for case in ("hit:get", "write:save"):
        figure, panels = new_figure(9, 3.8, 2)
        everything: list[float] = []
        for axes, key in zip(panels, ("p50", "p99"), strict=True):
            series: dict[str, tuple[list[float], list[float]]] = {}
            for place, figures in enumerate(found["delays"].values()):
                for name, one in figures[case].items():
                    if key in one:
                        x, y = series.setdefault(name, ([], []))
                        x.append(place)
                        y.append(one[key])
            everything += [value for _, y in series.values() for value in y]
            lines(axes, series, result["contenders"])
            axes.set_xticks(range(len(found["delays"])), [f"+{d}" for d in found["delays"]])
            axes.set_xlabel("ms that each answer of the store is late")
            axes.set_title(f"{key}, ms")
        if everything:
            for axes in panels:
                low, high = min(everything) * 0.8, max(everything) * 1.25
                log_ticks(axes, "y", low, high, lambda value, _: f"{value:g}")
        legend(figure, panels, 3)
        yield f"slow:{case}", figure


def _memory(result: Result, found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    figure, panels = new_figure(10, 3.2, 2)
    for axes, kind, title in ((panels[0], "row", "One row"), (panels[1], "page", "50 rows")):
        values = {name: one[kind] for name, one in found.items() if kind in one}
        bars(axes, values, result["contenders"], {n: f"{v:,} bytes" for n, v in values.items()})
        axes.set_title(title)
        axes.set_xlabel("bytes of one entry")
    yield "memory:entries", figure
    grown = {name: one["used"] for name, one in found.items() if "used" in one}
    if grown:
        figure, (axes,) = new_figure(7, 3.4)
        series = {
            name: ([writes for writes, _ in marks], [used / marks[0][1] for _, used in marks])
            for name, marks in grown.items()
        }
        lines(axes, series, result["contenders"])
        axes.set_ylim(0, max(2.0, *(value for _, y in series.values() for value in y)) * 1.05)
        axes.set_xlabel("writes")
        axes.set_ylabel("memory over the first mark")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        legend(figure, [axes], 3)
        yield "memory:writes", figure


def _budgets(result: Result) -> Figure:
    rows = result["budgets"]
    figure, (axes,) = new_figure(9, 1.2 + 0.22 * len(rows))
    for place, row in enumerate(rows):
        measured, most = row["measured"], row["budget"]
        kept = measured["median"] <= most
        axes.plot(
            max(0.2, measured["median"] / most),
            place,
            marker="o" if kept else "X",
            color="#0072b2" if kept else "#d55e00",
            markersize=6,
        )
    texts = [f"{plain(row['what'])} ({labels.NAMES[row['database']]})" for row in rows]
    axes.set_yticks(range(len(rows)), texts, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(1, color="#000000", linewidth=1)
    axes.grid(axis="x")
    shares = [row["measured"]["median"] / row["budget"] for row in rows]
    log_ticks(axes, "x", 0.18, max(2.0, *shares, 0) * 1.1, times)
    axes.set_xlabel("measured over the budget (logarithmic; ● within, ✖ above)")
    return figure


_ONCE: dict[str, Callable[[Result, Mapping[str, Any]], Iterator[tuple[str, Figure]]]] = {
    "pages": _pages,
    "load": _load,
    "stale": _stale,
    "slow": _slow,
    "memory": _memory,
}

"""A result as tables: what was measured on each database, then the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import labels
from benchmarks.report.others import others
from benchmarks.report.sections import NOTHING, Section, cell, markdown, present, ratio

Result = Mapping[str, Any]

_HOW = "Microseconds · ratio to {} ± half the distance of its quartiles."

_LIMIT = (
    "How many times what its store must be asked at the least takes (the *limit*), ± half the"
    " distance of the quartiles."
)

_YARDSTICKS = {"mget": "bare `MGET`", "stamps": "bare `MGET`, stamps alone"}


def sections(result: Result) -> Iterator[Section]:
    """Yield all sections of a report."""
    yield Section(text=_about(result))
    if noise := _noise(result):
        yield Section(text=noise)
    for database, found in result["databases"].items():
        yield Section(labels.DATABASES[database], 2)
        yield from _queries(result, database, found.get("queries", {}))
        yield from _limits(result, found.get("queries", {}))
        if found.get("traffic"):
            yield _traffic(result, database, found["traffic"])
        yield from _failures(result, found)
    yield from others(result)
    if result["budgets"]:
        yield _budgets(result)
    if result["left_out"]:
        lines = [f"- {name}: {reason}" for name, reason in result["left_out"].items()]
        yield Section("Left out", 2, "\n".join(lines))


def parts(result: Result) -> Iterator[str]:
    """Yield the sections in Markdown."""
    return map(markdown, sections(result))


def _about(result: Result) -> str:
    machine = result["machine"]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in sorted(result["versions"].items(), key=lambda pair: pair[0].lower())
    )
    how = {"full": "in full", "quick": "in short", "smoke": "with the smallest sizes"}
    return (
        f"Measured on {result['date']} {how[result['size']]}, in {result['seconds'] // 60} min"
        f" {result['seconds'] % 60} s: {machine['cpu']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}; {versions}."
    )


def _noise(result: Result) -> str:
    widths = sorted(
        (figure["us"]["q3"] - figure["us"]["q1"]) / figure["us"]["median"]
        for found in result["databases"].values()
        for case in found.get("queries", {}).values()
        for figure in case.values()
        if "us" in figure
    )
    if not widths:
        return ""
    known = result["others"] is not None
    share = f"{result['others']:.0%} of the processors" if known else "an unknown share"
    text = (
        f"Others used {share} during this run. Between a case's quartiles lie"
        f" {widths[len(widths) // 2]:.0%} of its median in the middle case and"
        f" {widths[len(widths) * 9 // 10]:.0%} in the worst tenth; differences smaller than that"
        " mean nothing."
    )
    busy = "**Measured on a busy machine**: the ratios hold better than the times. "
    return busy + text if result["busy"] else text


def _queries(result: Result, database: str, queries: Mapping[str, Any]) -> Iterator[Section]:
    for group in labels.GROUPS:
        cases = {
            name: queries[f"{group.kind}:{name}"]
            for name in group.titles
            if f"{group.kind}:{name}" in queries
        }
        if not cases:
            continue
        names = present(cases, result["contenders"])
        head = ["µs", *(result["contenders"][name] for name in names)]
        yardsticks = [one for one in _YARDSTICKS if any(one in case for case in cases.values())]
        head += [_YARDSTICKS[one] for one in yardsticks]
        rows = [head]
        for name, case in cases.items():
            row = [group.titles[name], *(cell(case.get(one), "us", group.base) for one in names)]
            row += [cell(case.get(one), "us") for one in yardsticks]
            rows.append(row)
        text = _HOW.format(group.base_label)
        yield Section(group.title, 3, text, rows, f"{database}:{group.slug}")


def _limits(result: Result, queries: Mapping[str, Any]) -> Iterator[Section]:
    groups = {"hit": labels.SHAPES, "miss": labels.SHAPES, "write": labels.WRITES}
    cases = {
        f"{title}, {kind}": queries.get(f"{kind}:{name}", {})
        for kind, titles in groups.items()
        for name, title in titles.items()
    }
    cases = {
        title: case
        for title, case in cases.items()
        if any("over_limit" in figure for figure in case.values())
    }
    names = [
        name
        for name in result["contenders"]
        if any("over_limit" in case.get(name, {}) for case in cases.values())
    ]
    if names:
        rows = [["", *(result["contenders"][name] for name in names)]]
        for title, case in cases.items():
            figures = (case.get(name, {}).get("over_limit") for name in names)
            rows.append([title, *(ratio(figure) if figure else NOTHING for figure in figures)])
        yield Section("Beside the limit", 3, _LIMIT, rows)


def _traffic(result: Result, database: str, traffic: Mapping[str, Any]) -> Section:
    names = present(traffic, result["contenders"])
    rows = [["", *(f"{share} % writes" for share in traffic)]]
    for name in names:
        row = [result["contenders"][name]]
        for share in traffic:
            figure = traffic[share].get(name, {})
            text = cell(figure, "us", "over_none")
            if "reached_of_1000" in figure:
                text = f"{figure['reached_of_1000']} / {figure['stale_of_1000']:g} · {text}"
            row.append(text)
        rows.append(row)
    text = (
        "Products by Zipf's law, their reviews, pages of categories; view counters, saves of one"
        " row and inserts among them. Reads of 1000 that reach the database / that are stale ·"
        " microseconds of one operation · the ratio to no cache."
    )
    return Section("Shop traffic", 3, text, rows, f"{database}:traffic")


def _failures(result: Result, found: Mapping[str, Any]) -> Iterator[Section]:
    failed: dict[tuple[str, str], list[str]] = {}
    for group in ("queries", "traffic"):
        for case, figures in found.get(group, {}).items():
            for name, figure in figures.items():
                if "failed" in figure:
                    label = result["contenders"].get(name, name)
                    reason = figure["failed"].removeprefix(f"{name}: ")
                    title = case if group == "queries" else f"traffic, {case} % writes"
                    failed.setdefault((label, reason), []).append(title)
    lines = [
        f"- {label}: {', '.join(f'`{case}`' for case in cases)}: {reason}"
        for (label, reason), cases in failed.items()
    ]
    if lines:
        yield Section("Not measured", 3, "\n".join(lines))


def _budgets(result: Result) -> Section:
    rows = [["what", "database", "budget", "measured", "quartiles", "within"]]
    for row in result["budgets"]:
        measured = row["measured"]
        rows.append(
            [
                row["what"],
                labels.NAMES[row["database"]],
                f"{row['budget']:.2f} {row['unit']}",
                f"{measured['median']:.2f}",
                f"{measured['q1']:.2f} to {measured['q3']:.2f}",
                "yes" if measured["median"] <= row["budget"] else "no",
            ]
        )
    kept = sum(row["measured"]["median"] <= row["budget"] for row in result["budgets"])
    text = f"What the design allows beside what this run gave: {kept} of {len(rows) - 1} are kept."
    return Section("Budgets", 2, text, rows, "budgets")

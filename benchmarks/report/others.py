"""A result as tables: the parts that one database is enough for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import labels
from benchmarks.report.sections import NOTHING, Section, cell, number, present, ratio

Result = Mapping[str, Any]
Found = Mapping[str, Any]


def others(result: Result) -> Iterator[Section]:
    """Yield the sections of what was measured once."""
    for part, (title, tables) in PARTS.items():
        if part not in result:
            continue
        on = labels.DATABASES[result[part]["database"]]
        found = result[part]["found"]
        if isinstance(found.get("failed"), str):
            yield Section(title, 2, f"Not measured: {found['failed']}")
            continue
        yield Section(title, 2, f"On {on}.")
        yield from tables(result, found)


def _failed(result: Result, found: Found) -> str:
    return "\n".join(
        f"- {result['contenders'].get(name, name)}: {figure['failed'].removeprefix(f'{name}: ')}"
        for name, figure in found.items()
        if isinstance(figure, Mapping) and "failed" in figure
    )


def _with_failures(result: Result, text: str, *cases: Found) -> str:
    lines: dict[str, None] = {}
    for case in cases:
        lines |= dict.fromkeys(filter(None, _failed(result, case).splitlines()))
    return "\n\n".join(filter(None, [text, "\n".join(lines)]))


def _pages(result: Result, found: Found) -> Iterator[Section]:
    names = present(found, result["contenders"])
    rows: list[list[str]] = [["", *(labels.PAGES[page] for page in found)]]
    for name in names:
        row = [result["contenders"][name]]
        for case in found.values():
            figure = case.get(name, {})
            if "us" not in figure:
                row.append(NOTHING)
                continue
            text = f"{number(figure['us']['median'] / 1000)} ms, {figure['queries']} queries"
            row.append(f"{text} · {ratio(figure['over_none'])}" if "over_none" in figure else text)
        rows.append(row)
    text = (
        "Pages of one gunicorn process over HTTP, all of them fetched before: time of a page, how"
        " many of its queries reach the database, and the ratio to no cache."
    )
    yield Section("", 3, _with_failures(result, text, *found.values()), rows, "pages")


def _load(result: Result, found: Found) -> Iterator[Section]:
    for way, title in (("threads", "Threads of one process"), ("processes", "Processes")):
        cases = found[way]
        names = present(cases, result["contenders"])
        rows: list[list[str]] = [["", *cases]]
        rows += [
            [
                result["contenders"][name],
                *(cell(case.get(name), "per_second", "over_none") for case in cases.values()),
            ]
            for name in names
        ]
        text = (
            "Operations of shop traffic with 1 % writes a second, by number of"
            f" {way}, then the ratio to no cache: more is better."
        )
        yield Section(title, 3, _with_failures(result, text, *cases.values()), rows, f"load:{way}")


def _stale(result: Result, found: Found) -> Iterator[Section]:
    rows: list[list[str]] = [
        ["of 1000 reads", "stale", "back in time", "reach the database", "reads", "writes"]
    ]
    for name, figure in found.items():
        if "reads" in figure:
            rows.append(
                [
                    result["contenders"][name],
                    f"{figure['stale_of_1000']:g}",
                    f"{figure['back_of_1000']:g}",
                    str(figure["reached_of_1000"]),
                    str(figure["reads"]),
                    str(figure["writes"]),
                ]
            )
    crews = {(one["writers"], one["readers"]) for one in found.values() if "reads" in one}
    who = " and ".join(f"{writers} to {readers}" for writers, readers in crews)
    text = (
        f"Processes write rows that others read ({who}); the writers are 10 ms away from a store"
        " with a server. A read is stale when what it gives is older than what was committed when"
        " it began, and goes back in time when it is older than what any reader had seen by then."
    )
    yield Section("", 3, _with_failures(result, text, found), rows, "stale")


def _slow(result: Result, found: Found) -> Iterator[Section]:
    for case, title in (("hit:get", "Reads"), ("write:save", "Writes")):
        cases = {delay: figures[case] for delay, figures in found["delays"].items()}
        names = present(cases, result["contenders"])
        rows: list[list[str]] = [["p50 / p99, ms", *(f"+ {delay} ms" for delay in cases)]]
        for name in names:
            row = [result["contenders"][name]]
            for figures in cases.values():
                figure = figures.get(name, {})
                good = "p50" in figure
                row.append(
                    f"{number(figure['p50'])} / {number(figure['p99'])}" if good else NOTHING
                )
            rows.append(row)
        text = "`get(pk)`, cached before." if case == "hit:get" else "`save()` in autocommit."
        yield Section(title, 3, _with_failures(result, text, *cases.values()), rows, f"slow:{case}")
    hangs = found["hangs"]
    rows = [["`get(pk)` meanwhile", "longest, ms", "reads"]]
    rows += [
        [result["contenders"][name], number(figure["longest"]), str(figure["done"])]
        for name, figure in hangs["found"].items()
        if "done" in figure
    ]
    text = (
        f"The store answers nothing for {hangs['seconds']:g} s, without closing a connection, in"
        f" the middle of {3 * hangs['seconds']:g} s of reads."
    )
    yield Section("A store that hangs", 3, _with_failures(result, text, hangs["found"]), rows)


def _memory(result: Result, found: Found) -> Iterator[Section]:
    rows: list[list[str]] = [["bytes of one entry", "one row", "50 rows"]]
    for name, figure in found.items():
        rows.append(
            [
                result["contenders"][name],
                *(f"{figure[kind]:,}" if kind in figure else NOTHING for kind in ("row", "page")),
            ]
        )
    text = "As the store counts its memory; stores in the process by the process's."
    yield Section("Entries", 3, _with_failures(result, text, found), rows, "memory:entries")
    grown = {name: figure["used"] for name, figure in found.items() if "used" in figure}
    if not grown:
        return
    first = next(iter(grown.values()))
    rows = [["MB in use", *(f"{writes:,} writes" for writes, _ in first)]]
    rows += [
        [result["contenders"][name], *(number(used / 2**20) for _, used in marks)]
        for name, marks in grown.items()
    ]
    text = (
        "Writes of 100 tables, four in each transaction, with results of 500 queries stored among"
        " them: what a store takes must not grow with the number of writes."
    )
    yield Section("After many writes", 3, text, rows, "memory:writes")


def _startup(result: Result, found: Found) -> Iterator[Section]:
    rows: list[list[str]] = [["ms of processor time", "until Django is set up"]]
    rows += [
        [result["contenders"][name], cell(figure, "ms", "over_none")]
        for name, figure in found.items()
        if "ms" in figure
    ]
    text = "Fresh processes, from the import of Django on; then the ratio to no cache."
    yield Section("", 3, _with_failures(result, text, found), rows)


PARTS: dict[str, tuple[str, Any]] = {
    "pages": ("Pages over HTTP", _pages),
    "load": ("Concurrency", _load),
    "stale": ("Stale reads", _stale),
    "slow": ("A slow store", _slow),
    "memory": ("Memory", _memory),
    "startup": ("Start-up", _startup),
}

"""Results as tables, readable in a terminal and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.contenders import CONTENDERS

DATABASES = {"sqlite": "SQLite (a file, WAL)", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}

SHAPES = {
    "get": "`get(pk)`",
    "page": "50 rows, `select_related`",
    "count": "`count()` over a join",
    "exists": "`exists()`",
    "thousand": "1000 rows",
    "aggregate": "`aggregate()` over a join",
}
WRITES = {
    "save": "`save()` in autocommit",
    "atomic": "`atomic()` with 3 `save()`",
    "bulk": "`bulk_create()` of 100",
}
OFF = {
    "excluded": "`get(pk)` of an excluded model",
    "disabled": "`get(pk)` within `disabled()`",
}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, the first of them the head, as an aligned table of Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

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


def _us(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _cell(figure: Mapping[str, Any] | None, base: str) -> str:
    if figure is None:
        return ""
    text = _us(figure["us"]["median"])
    ratio = figure.get(base)
    return text if ratio is None else f"{text} ({ratio['median']:.2f})"


def _contenders(cases: Mapping[str, Any]) -> list[str]:
    return [name for name in CONTENDERS if any(name in case for case in cases.values())]


def _cases(found: Mapping[str, Any], group: str, labels: Mapping[str, str], base: str) -> str:
    cases = {name: found["cases"].get(f"{group}:{name}", {}) for name in labels}
    names = _contenders(cases)
    rows = [["µs", *(labels[name] for name in labels)]]
    rows += [
        [CONTENDERS[name].label, *(_cell(cases[label].get(name), base) for label in labels)]
        for name in names
    ]
    if group == "hit" and any("mget" in case for case in cases.values()):
        rows.append(
            ["a bare `MGET` of the same keys", *(_cell(cases[n].get("mget"), "") for n in labels)]
        )
    return table(rows)


def _traffic(found: Mapping[str, Any]) -> str:
    traffic = found["traffic"]
    names = _contenders(traffic)
    rows = [["", *(f"{share} % writes" for share in traffic)]]
    for contender in names:
        cells = []
        for share in traffic:
            figure = traffic[share].get(contender)
            reached = "" if figure is None else f"{figure['reached_of_1000']} · "
            cells.append(reached + _cell(figure, "over_none"))
        rows.append([CONTENDERS[contender].label, *cells])
    return table(rows)


def _budgets(result: Mapping[str, Any]) -> str:
    rows = [["what", "database", "budget", "measured", "quartiles", "within"]]
    for row in result["budgets"]:
        measured = row["measured"]
        rows.append(
            [
                row["what"],
                row["database"],
                f"{row['budget']:.2f} {row['unit']}",
                f"{measured['median']:.2f}",
                f"{measured['q1']:.2f} to {measured['q3']:.2f}",
                "yes" if measured["median"] <= row["budget"] else "no",
            ]
        )
    return table(rows)


def _noise(result: Mapping[str, Any]) -> str:
    widths = sorted(
        (figure["us"]["q3"] - figure["us"]["q1"]) / figure["us"]["median"]
        for found in result["databases"].values()
        for case in found["cases"].values()
        for figure in case.values()
    )
    if not widths:
        return ""
    return (
        f"Between a case's quartiles lie {widths[len(widths) // 2]:.0%} of its median in the middle"
        f" case and {widths[-1]:.0%} in the worst; the load of the machine was"
        f" {result['load'][0]} at the start and {result['load'][1]} at the end"
        f" ({result['machine']['cores']} cores). Differences smaller than that mean nothing."
    )


def tables(result: Mapping[str, Any]) -> Iterable[str]:
    """Yield the parts of a report: headings, tables and what explains them."""
    machine = result["machine"]
    versions = ", ".join(
        f"{name} {version}" for name, version in sorted(result["versions"].items())
    )
    yield (
        f"Measured on {result['date']} with {'`--quick`, ' if result['quick'] else ''}"
        f"{result['rounds']} rounds: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}; {versions}."
    )
    yield _noise(result)
    for database, found in result["databases"].items():
        yield f"## {DATABASES[database]}"
        yield "### Hits\n\nMicroseconds of one query; in brackets the ratio to the ORM floor."
        yield _cases(found, "hit", SHAPES, "over_floor")
        yield "### Misses\n\nThe result is stored too; in brackets the ratio to no cache."
        yield _cases(found, "miss", SHAPES, "over_none")
        yield "### Writes\n\nIn brackets the ratio to no cache."
        yield _cases(found, "write", WRITES, "over_none")
        yield "### With the cache out of the way\n\nIn brackets the ratio to no cache."
        yield _cases(found, "off", OFF, "over_none")
        if found["traffic"]:
            yield (
                "### Shop traffic\n\nProducts by Zipf's law, their reviews, pages of categories;"
                " orders, reviews and sales among them: reads of 1000 that reach the database ·"
                " microseconds of one operation, in brackets the ratio to no cache."
            )
            yield _traffic(found)
    if result["budgets"]:
        yield "## Budgets\n\nWhat the design allows beside what this run gave."
        yield _budgets(result)


HEAD = """\
# Performance

What a query costs with querycache, without a cache and with others, and what the ORM alone costs
(the *floor*: compilers find their rows in a dict in place of the database, which no cache behind
them can beat).

Every contender runs in a process of its own with a database of its own. They take turns of a few
milliseconds, so that whatever slows the machine slows all of them, and ratios are taken turn by
turn. The figure of a turn is that of its fastest tenth of queries, since a busy machine only ever
makes a query slower; the figures below are medians over all turns. The traffic's are medians over
batches. Hits are checked to leave the database alone and misses to reach it.

Servers run on the same machine and are reached over loopback. PostgreSQL does not wait for its disk
(`fsync` off) and SQLite has `synchronous=normal`, which makes writes without a cache as cheap as
they get, and so the ratios of writes as high.

This page is made from a result in the repository. To repeat it on your machine:

```console
$ python -m benchmarks --json result.json
$ python -m benchmarks report result.json
```

With `--quick` it takes about two minutes on a machine that does nothing else. `--databases`,
`--stores` and `--contenders` choose what runs;
`python -m benchmarks codec` measures the codec alone.
"""


def page(result: Mapping[str, Any], source: str) -> str:
    """Return the page of the documentation.

    Args:
        result: what a run gave.
        source: the file name of the result.
    """
    # Nothing in the tables but what the result holds: the page is made by a command.
    made = f"<!-- made by `python -m benchmarks report benchmarks/results/{source}` -->"
    return "\n\n".join([made, HEAD.rstrip(), *tables(result)]) + "\n"

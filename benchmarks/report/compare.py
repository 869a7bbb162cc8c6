"""What changed between two results: ratios of ratios, so that another machine may have made one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.report.sections import table
from benchmarks.rounds import YARDSTICKS

Result = Mapping[str, Any]

#: Ratios closer to each other than this are the same, however narrow their quartiles are.
LEAST = 0.03

#: What others are compared with, and does not change with the library.
_BASES = {"none", "floor", "limit-lmdb", "limit-redis", *YARDSTICKS}


class Change(NamedTuple):
    """One figure in both results.

    Args:
        what: it is.
        before: median and quartiles of its ratio.
        after: the same in the other result.
        more_is_better: whether it is a speed, not a time.
    """

    what: tuple[str, str, str]
    before: Mapping[str, float]
    after: Mapping[str, float]
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """The ratio after over the ratio before."""
        return self.after["median"] / self.before["median"]

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"``, or ``"same"`` within the quartiles of both."""
        apart = self.after["q1"] > self.before["q3"] or self.after["q3"] < self.before["q1"]
        if not apart or abs(self.ratio - 1) < LEAST:
            return "same"
        return "better" if (self.ratio > 1) == self.more_is_better else "worse"


def comparison(before: Result, after: Result, *, everything: bool) -> str:
    """Return what got better or worse, as text.

    Args:
        before: a result.
        after: another.
        everything: whether what is the same is listed too.
    """
    changes = list(_changes(before, after))
    if not changes:
        return "The results have nothing in common."
    groups = {
        verdict: [change for change in changes if change.verdict == verdict]
        for verdict in ("worse", "better", "same")
    }
    summary = (
        f"{before['date']} ({before['size']}) → {after['date']} ({after['size']}):"
        f" {len(changes)} ratios in both, {len(groups['better'])} better,"
        f" {len(groups['worse'])} worse, {len(groups['same'])} the same within their quartiles."
    )
    parts = [summary]
    parts += [
        f"Careful: the result {name} was measured on a busy machine."
        for name, result in (("before", before), ("after", after))
        if result["busy"]
    ]
    if before["machine"] != after["machine"]:
        parts.append("The results are of different machines.")
    for verdict, found in groups.items():
        if found and (everything or verdict != "same"):
            found.sort(key=lambda change: abs(1 - change.ratio), reverse=True)
            parts.append(f"{verdict.capitalize()}:")
            parts.append(table([_HEAD, *map(_row, found)]))
    return "\n\n".join(parts)


_HEAD = ("where", "what", "who", "before", "after", "after / before")


def _row(change: Change) -> tuple[str, ...]:
    return (
        *change.what,
        *(f"{one['median']:.2f}" for one in (change.before, change.after)),
        f"{change.ratio:.2f}",
    )


def _changes(before: Result, after: Result) -> Iterator[Change]:
    old, new = dict(_ratios(before)), dict(_ratios(after))
    for key, (spread, more_is_better) in new.items():
        if key in old:
            yield Change(key, old[key][0], spread, more_is_better)


def _ratios(result: Result) -> Iterator[tuple[tuple[str, str, str], tuple[Any, bool]]]:
    """Yield every ratio of a result: hits over the floor, everything else over no cache."""
    for database, found in result["databases"].items():
        for case, figures in found.get("queries", {}).items():
            base = "over_floor" if case.startswith("hit:") else "over_none"
            yield from _of_case(database, case, figures, base)
        for share, figures in found.get("traffic", {}).items():
            yield from _of_case(database, f"traffic, {share} % writes", figures, "over_none")
    for part in ("pages", "startup", "load"):
        found = result.get(part, {}).get("found", {})
        if not found or isinstance(found.get("failed"), str):
            continue
        where = result[part]["database"]
        if part == "startup":
            yield from _of_case(where, "start-up", found, "over_none")
        elif part == "pages":
            for page, figures in found.items():
                yield from _of_case(where, f"page, {page}", figures, "over_none")
        else:
            for way, cases in found.items():
                for amount, figures in cases.items():
                    what = f"{amount} {way}"
                    yield from _of_case(where, what, figures, "over_none", more_is_better=True)


def _of_case(
    where: str, what: str, figures: Mapping[str, Any], base: str, *, more_is_better: bool = False
) -> Iterator[tuple[tuple[str, str, str], tuple[Any, bool]]]:
    for name, figure in figures.items():
        if base in figure and name not in _BASES:
            yield (where, what, name), (figure[base], more_is_better)

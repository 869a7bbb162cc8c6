"""Results of runs: rows for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from tests.history.checker import BACKWARD, MEANINGS, STALE, Verdict
from tests.history.registers import name_of
from tests.history.scenario import Outcome

_PROMISES = ("nothing is stale", "a read lags for as long as the options say, at most")


def row_of(group: str, label: str, outcome: Outcome) -> dict[str, Any]:
    """Return what is told of a run.

    Args:
        group: "history" or "fault".
        label: what was done.
        outcome: of the run.
    """
    scenario, verdict = outcome.scenario, outcome.verdict
    fault = scenario.fault
    return {
        "group": group,
        "label": label,
        "cache": scenario.cache,
        "database": scenario.database,
        "store": scenario.store,
        "seconds": round(outcome.seconds, 1),
        "reads": verdict.reads,
        "hits": verdict.hits,
        "failed reads": verdict.failed,
        "writes": dict(sorted(verdict.writes.items())),
        "faults": dict(sorted(verdict.faults.items())),
        "worst lag in ms": round(verdict.worst_lag / 1e6, 1),
        "longest write in ms": round(verdict.longest_write / 1e6, 1),
        "compared when quiet": verdict.compared,
        "not served when quiet": verdict.unserved,
        "failures of the store": verdict.store_failures,
        "promise": fault.promise if fault is not None else _PROMISES[scenario.lag > 0],
        "tried": outcome.tried,
        "broken": broken(outcome),
        "examples": [
            {
                "kind": each.kind,
                "register": name_of(each.register),
                "value": each.value,
                "least": each.least,
                "lag in ms": round(each.lag / 1e6, 3),
                "hit": each.hit,
            }
            for each in verdict.examples
        ],
        "versions": outcome.versions,
    }


def broken(outcome: Outcome) -> list[str]:
    """Return what of the promise did not hold in a run, in words."""
    fault, verdict = outcome.scenario.fault, outcome.verdict
    if fault is not None:
        return fault.broken(verdict)
    found = verdict.beyond(outcome.scenario.lag)
    if verdict.failed:
        found.append(f"{verdict.failed} reads failed")
    if verdict.unserved and outcome.scenario.cache != "none":
        found.append(f"{verdict.unserved} reads were not served when quiet")
    return found


def seen(verdict: Verdict) -> str:
    """Return the faults of a verdict in short."""
    if verdict.clean:
        return "nothing"
    found = ", ".join(f"{number} {kind}" for kind, number in sorted(verdict.faults.items()))
    return f"{found}, by {verdict.worst_lag / 1e6:.0f} ms at most"


def histories(rows: Iterable[dict[str, Any]]) -> str:
    """Return a table of runs in which nothing went wrong, summed up over databases."""
    sums: dict[tuple[str, ...], Counter[str]] = {}
    worst: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row["group"] != "history":
            continue
        key = (row["cache"], row["store"], row["label"])
        found = sums.setdefault(key, Counter())
        found["reads"] += row["reads"]
        found["hits"] += row["hits"]
        found["writes"] += row["writes"].get("committed", 0)
        for kind, number in row["faults"].items():
            found[kind if kind in (STALE, BACKWARD) else "other"] += number
        worst[key] = max(worst.get(key, 0.0), row["worst lag in ms"])
    columns = ["reads", "hits", "writes", STALE, BACKWARD, "other"]
    return table(
        ["cache", "store", "how", *columns, "worst lag, ms"],
        [
            [*key, *(found[column] for column in columns), f"{worst[key]:.0f}"]
            for key, found in sums.items()
        ],
    )


def faults(rows: Iterable[dict[str, Any]]) -> str:
    """Return a table of faults, summed up over databases and stores."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["group"] != "fault":
            continue
        label = row["label"]
        found = sums.setdefault(
            label,
            {
                "promise": row["promise"],
                "on": {},
                "tried": 0,
                "reads": 0,
                "seen": {},
                "refused": 0,
                "lag": 0.0,
            },
        )
        found["on"][f"{row['database']} {row['store']}"] = None
        found["tried"] += row["tried"]
        found["reads"] += row["reads"]
        found["refused"] += row["writes"].get("refused", 0)
        found["lag"] = max(found["lag"], row["worst lag in ms"])
        for kind, number in row["faults"].items():
            found["seen"][kind] = found["seen"].get(kind, 0) + number
    lines = []
    for label, found in sums.items():
        wrong = ", ".join(f"{number} {kind}" for kind, number in found["seen"].items())
        if wrong:
            wrong += f", by {found['lag']:.0f} ms at most"
        refused = f"; {found['refused']} writes refused" if found["refused"] else ""
        lines.append(
            [
                *(label, found["promise"], (wrong or "nothing stale") + refused),
                *(found["tried"], found["reads"], "; ".join(found["on"])),
            ]
        )
    return table(["fault", "promised", "seen", "tried", "reads", "on"], lines)


def together(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return several results as one."""
    return {
        "versions": dict(sorted(chain.from_iterable(each["versions"].items() for each in results))),
        "rows": [row for each in results for row in each["rows"]],
        "did not end": [line for each in results for line in each["did not end"]],
    }


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def text(result: dict[str, Any]) -> str:
    """Return everything that people want to see of a result."""
    rows = result["rows"]
    parts = [histories(rows), faults(rows)]
    wrong = [row for row in rows if row["broken"] and row["cache"] == "querycache"]
    for row in wrong:
        where = f"{row['database']}, {row['store']}, {row['label']}"
        parts.append(f"BROKEN ({where}): {'; '.join(row['broken'])}\n{row['examples']}")
    if any(row["faults"] for row in rows):
        parts.append("\n".join(f"{kind}: {meaning}" for kind, meaning in MEANINGS.items()))
    parts += [f"DID NOT END: {each}" for each in result["did not end"]]
    ours = [row for row in rows if row["cache"] == "querycache"]
    parts.append(
        f"{sum(row['reads'] for row in ours)} reads through querycache,"
        f" {sum(row['hits'] for row in ours)} of them hits;"
        f" {len(wrong)} of {len(ours)} runs broke a promise"
    )
    return "\n\n".join(part for part in parts if part.count("\n") != 1)

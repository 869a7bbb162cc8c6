"""What two runs of one suite differ in, and which of the differences are known."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Outcomes = Mapping[str, Mapping[str, str]]

#: How a test ends that is counted as a failure of the suite.
BAD = frozenset({"error", "failed", "passed unexpectedly"})


@dataclass(frozen=True, slots=True)
class Expected:
    """A difference that is known.

    Args:
        reason: why it is no fault.
        shows: what the test must have failed with, a regular expression.
    """

    reason: str
    shows: re.Pattern[str]


@dataclass(slots=True)
class Difference:
    """What a run with the cache has that the one without has not.

    Args:
        failures: tests that failed only with the cache and are in no list, with the reasons.
        expected: those that are in the list and failed with what the list says.
        cured: tests that failed only without the cache.
        others: tests that ran, or were skipped, in one of the runs only.
    """

    failures: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    cured: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing differs that is not known."""
        return not (self.failures or self.others)


def compare(without: Outcomes, having: Outcomes, expected: Mapping[str, Expected]) -> Difference:
    """Compare a run without the cache with one that has it.

    Args:
        without: the outcomes of the first.
        having: the outcomes of the second.
        expected: differences that are known.
    """
    found = Difference()
    for test in sorted({*without, *having}):
        before, after = without.get(test), having.get(test)
        failed = after is not None and after["outcome"] in BAD
        failed_before = before is not None and before["outcome"] in BAD
        if failed and not failed_before:
            assert after is not None
            known = expected.get(test)
            if known is not None and known.shows.search(after["why"]):
                found.expected[test] = known.reason
            else:
                found.failures[test] = after["why"]
        elif failed_before and not failed:
            found.cured.append(test)
        elif not failed and (before or {}).get("outcome") != (after or {}).get("outcome"):
            found.others.append(test)
    return found


def read_expected(path: Path, occasions: Iterable[str]) -> dict[str, Expected]:
    """Read the list of known differences.

    Args:
        path: of a TOML file: a table for each kind of difference, with the reason, what shows it,
            when it holds (words of `occasions`, all of which must be there), and the tests.
        occasions: what the run is: the database, the store, ``serve`` or ``verify``.

    Raises:
        ValueError: a kind says too little, or something unknown.
    """
    given = set(occasions)
    found: dict[str, Expected] = {}
    for name, kind in tomllib.loads(path.read_text()).items():
        found.update(_tests(name, kind, given))
    return found


def _tests(name: str, kind: dict[str, Any], given: set[str]) -> dict[str, Expected]:
    if set(kind) != {"reason", "shows", "when", "tests"}:
        raise ValueError(f"{name} must say reason, shows, when and tests, and says {sorted(kind)}")
    if not given.issuperset(kind["when"]):
        return {}
    shows = re.compile(kind["shows"], re.DOTALL)
    return {
        test: Expected(f"{kind['reason']} {own}".strip(), shows)
        for test, own in kind["tests"].items()
    }

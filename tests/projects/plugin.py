"""A plugin of pytest that writes down what became of every test, as the runner for Django does.

It is imported before pytest runs, which some projects' settings would have pytest refuse:
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_outcomes: dict[str, dict[str, str]] = {}


def pytest_runtest_logreport(report: Any) -> None:
    noted = _outcomes.setdefault(report.nodeid, {"outcome": "passed", "why": ""})
    if report.failed:
        noted["outcome"] = "failed" if report.when == "call" else "error"
        noted["why"] += str(report.longrepr)
    elif report.skipped:
        noted["outcome"] = "failed as expected" if hasattr(report, "wasxfail") else "skipped"


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        _outcomes[f"collecting {report.nodeid}"] = {"outcome": "error", "why": str(report.longrepr)}


def pytest_sessionfinish() -> None:
    path = Path(os.environ["DJANGO_SUITE_RESULTS"]) / "outcomes.json"
    path.write_text(json.dumps(_outcomes, indent=1, sort_keys=True))

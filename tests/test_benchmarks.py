"""The benchmarks run, measure what they say, and their report can be made of what they write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTENDERS = {"none", "floor", "querycache-memory", "querycache-lmdb"}


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_smallest_run_measures_every_case_and_makes_a_page(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    printed = run(
        *("--smoke", "--databases", "sqlite", "--stores", "memory,lmdb", "--json", str(file)),
        *("--contenders", "querycache-memory,querycache-lmdb"),
    )
    result = json.loads(file.read_text())
    cases = result["databases"]["sqlite"]["cases"]
    assert len(cases) == 17
    for case, figures in cases.items():
        assert set(figures) == (CONTENDERS if case.startswith("hit:") else CONTENDERS - {"floor"})
        assert all(figure["us"]["median"] > 0 for figure in figures.values())
    traffic = result["databases"]["sqlite"]["traffic"]["5"]
    assert traffic["none"]["reached_of_1000"] == 1000
    assert traffic["querycache-memory"]["reached_of_1000"] < 1000
    assert result["budgets"]
    page = run("report", str(file))
    for text in (printed, page):
        assert "querycache, LMDB" in text
        assert "over no cache" in text
    assert str(tmp_path) not in file.read_text() + page


def test_a_contender_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--contenders", "johnny"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "'johnny' is none of" in done.stderr


def test_the_page_is_made_of_the_committed_result() -> None:
    page = (ROOT / "docs" / "reference" / "performance.md").read_text()
    result = page.partition("python -m benchmarks report ")[2].partition("`")[0]
    assert run("report", result) == page

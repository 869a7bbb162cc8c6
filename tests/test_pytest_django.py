"""pytest-django, with a database for each of several workers, and every hit compared."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import Environment
from tests.test_django_testcases import ROOT, database, suite_environment

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pytest_django") is None, reason="pytest-django is not installed"
)


@pytest.mark.parametrize("kind", ["memory", "file", "postgresql"])
@pytest.mark.parametrize("processes", [0, 2])
def test_the_suite(environment: Environment, tmp_path: Path, kind: str, processes: int) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = with_pytest.py\n")
    settings = database(environment, kind)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/suite/with_pytest.py", "--noconftest"),
            *("-c", str(tmp_path / "pytest.ini"), "--rootdir", str(ROOT)),
            *("--ds", "tests.suite.settings", "-n", str(processes), "-p", "no:cacheprovider"),
        ],
        cwd=ROOT,
        env=suite_environment(settings, environment.store_url("lmdb")),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout
    assert "differs from the database" not in done.stdout + done.stderr

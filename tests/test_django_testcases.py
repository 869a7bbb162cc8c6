"""Django's own test cases, run by its own runner, with every hit compared with the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import Environment
from tests.servers import required

ROOT = Path(__file__).parent.parent


def database(environment: Environment, kind: str) -> dict[str, object]:
    with required():
        if kind == "postgresql":
            return environment.postgres.django_database("suite")
        if kind == "mariadb":
            return environment.mariadb.django_database("suite")
    settings: dict[str, object] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "unused"}
    if kind == "file":
        settings["TEST"] = {"NAME": str(environment.folder / "suite.db")}
        settings["OPTIONS"] = {"timeout": 30}
    return settings


def suite_environment(settings: dict[str, object], store: str) -> dict[str, str]:
    """Return the environment of a run of the suite on this database and store."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "SUITE_DATABASE": json.dumps(settings),
        "SUITE_STORE": store,
    }


def run(
    settings: dict[str, object], store: str, *options: str, module: str = "cases", tests: int = 22
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "django",
            "test",
            f"tests.suite.{module}",
            "--settings=tests.suite.settings",
            "--noinput",
            *options,
        ],
        cwd=ROOT,
        env=suite_environment(settings, store),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Ran {tests} tests" in done.stderr, done.stderr
    assert "differs from the database" not in done.stderr


@pytest.mark.parametrize("kind", ["memory", "file", "postgresql", "mariadb"])
def test_the_suite(environment: Environment, kind: str) -> None:
    run(database(environment, kind), "memory://")


@pytest.mark.parametrize("kind", ["memory", "postgresql"])
def test_serialized_rollback(environment: Environment, kind: str) -> None:
    run(database(environment, kind), "memory://", module="restored", tests=2)


@pytest.mark.parametrize("kind", ["memory", "file", "postgresql"])
def test_a_store_that_outlives_the_test_database(environment: Environment, kind: str) -> None:
    """What a run leaves in the store is about tables that are made anew for the next."""
    settings = database(environment, kind)
    for options in (["--keepdb"], ["--keepdb"], []):
        run(settings, environment.store_url("lmdb"), *options)


@pytest.mark.parametrize("kind", ["memory", "postgresql"])
def test_in_parallel(environment: Environment, kind: str) -> None:
    """Each worker has a copy of the database and none of another's rows."""
    run(database(environment, kind), environment.store_url("lmdb"), "--parallel=2")

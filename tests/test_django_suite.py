"""How runs of other projects' suites are compared: `nox -s django_suite` and `nox -s projects`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.django_suite import __main__ as program
from tests.django_suite import running
from tests.django_suite.comparison import Difference, Expected, compare, read_expected

ROOT = Path(__file__).parent.parent


def outcomes(**tests: str) -> dict[str, dict[str, str]]:
    return {
        test: {"outcome": outcome, "why": "2 != 3 : 2 queries executed, 3 expected"}
        for test, outcome in tests.items()
    }


@pytest.mark.parametrize("outcome", ["failed", "error", "passed unexpectedly"])
def test_a_test_that_fails_with_the_cache_alone(outcome: str) -> None:
    found = compare(outcomes(a="passed", b=outcome), outcomes(a=outcome, b=outcome), {})
    assert list(found.failures) == ["a"]
    assert not found.clean


def test_a_test_that_only_one_run_knows() -> None:
    for pair in (("passed", "skipped"), ("skipped", "passed"), ("passed", "failed as expected")):
        found = compare(outcomes(a=pair[0]), outcomes(a=pair[1]), {})
        assert found.others == ["a"]
        assert not found.clean
    assert compare(outcomes(a="passed"), outcomes(), {}).others == ["a"]
    assert compare(outcomes(), outcomes(a="passed"), {}).others == ["a"]
    assert list(compare(outcomes(), outcomes(a="failed"), {}).failures) == ["a"]


def test_a_test_that_fails_without_the_cache_alone_is_told() -> None:
    found = compare(outcomes(a="failed"), outcomes(a="passed"), {})
    assert found == Difference(cured=["a"])
    assert found.clean


LISTED = """
[counts]
reason = "a hit runs no query"
shows = "\\\\d+ queries executed"
when = ["serve"]
tests = { a = "", b = "the last page" }
"""


def expected(tmp_path: Path, text: str, *occasions: str) -> dict[str, Expected]:
    path = tmp_path / "expected.toml"
    path.write_text(text)
    return read_expected(path, occasions)


def test_a_known_difference_must_look_as_it_is_known(tmp_path: Path) -> None:
    known = expected(tmp_path, LISTED, "serve", "sqlite")
    assert known["b"].reason == "a hit runs no query the last page"
    passed, failed = outcomes(a="passed", c="passed"), outcomes(a="failed", c="failed")
    found = compare(passed, failed, known)
    assert found.expected == {"a": "a hit runs no query"}
    assert list(found.failures) == ["c"]
    failed["a"]["why"] = "AssertionError: stale"
    assert list(compare(passed, failed, known).failures) == ["a", "c"]


def test_a_known_difference_holds_on_its_occasion_alone(tmp_path: Path) -> None:
    assert expected(tmp_path, LISTED, "verify", "sqlite") == {}


@pytest.mark.parametrize("line", ["reason", "shows", "when", "tests"])
def test_a_list_that_says_too_little(tmp_path: Path, line: str) -> None:
    text = "\n".join(one for one in LISTED.splitlines() if not one.startswith(line))
    with pytest.raises(ValueError, match="counts must say reason, shows, when and tests"):
        expected(tmp_path, text, "serve")


def test_the_list_in_the_tree() -> None:
    for name, kind in tomllib.loads(program.EXPECTED.read_text()).items():
        words = {"serve", "verify", *running.DATABASES, *running.STORES}
        assert words.issuperset(one for one in kind["when"] if not one.startswith("django")), name
        assert read_expected(program.EXPECTED, kind["when"]), name


SUITE = """
from django.contrib.contenttypes.models import ContentType
from django.test import SimpleTestCase, TestCase

class Counting(TestCase):
    def test_counts(self):
        list(ContentType.objects.all())
        with self.assertNumQueries(1):
            list(ContentType.objects.all())

class Failing(SimpleTestCase):
    def test_fails(self):
        self.fail("always")

    def test_each(self):
        for number in range(2):
            with self.subTest(number=number):
                self.assertEqual(number, 0)
"""

RUN = """
import os, sys
from django.conf import settings
import django
settings.configure(
    SECRET_KEY="tests",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}},
    INSTALLED_APPS=["django.contrib.contenttypes"],
)
django.setup()
from django.test.runner import DiscoverRunner
DiscoverRunner(verbosity=0).run_tests(["counting_tests"])
"""


@pytest.mark.parametrize("pytest_runs", [False, True])
def test_a_whole_project(tmp_path: Path, pytest_runs: bool) -> None:
    """Nothing of the project knows of querycache, and yet its reads are cached and compared."""
    (tmp_path / "counting_tests.py").write_text(SUITE)
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "project_settings.py").write_text(
        "SECRET_KEY = 'tests'\n"
        "INSTALLED_APPS = ('django.contrib.contenttypes',)\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n"
    )
    launch = [sys.executable, str(ROOT / "tests" / "projects" / "launch.py")]
    command = [*launch, "run.py"]
    env = {"PYTHONPATH": str(ROOT)}
    if pytest_runs:
        command = [*launch, "-m", "pytest", "-p", "querycache_plugin", "-p", "no:cacheprovider"]
        command += ["--rootdir", str(tmp_path), "counting_tests.py"]
        env |= {"DJANGO_SETTINGS_MODULE": "project_settings"}

    def run(name: str, querycache: dict[str, object] | None) -> dict[str, dict[str, str]]:
        return running.run(
            command, tmp_path / name, {"querycache": querycache}, cwd=tmp_path, env=env
        )

    without = run("without", None)
    assert sorted(one["outcome"] for one in without.values()) == ["failed", "failed", "passed"]
    verify = run("verify", {"STORE": "memory://", "VERIFY": 1.0, "VERIFY_RAISES": True})
    found = compare(without, verify, {})
    assert running.conclude(found, tmp_path / "verify")
    found = compare(without, run("serve", {"STORE": "memory://"}), {})
    (failure,) = found.failures
    assert "test_counts" in failure
    assert "0 queries executed, 1 expected" in found.failures[failure]
    assert not running.conclude(found, tmp_path / "serve")


def test_a_run_without_a_hit_shows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not running.conclude(Difference(), tmp_path)
    assert "served nothing" in capsys.readouterr().out


def test_help() -> None:
    for module in ("tests.django_suite", "tests.projects"):
        command = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert "--store" in done.stdout

"""Everything that is run on this project: `nox -l` lists it, `nox -s tests` runs the tests."""

from __future__ import annotations

import os
import shutil
from itertools import chain
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "docs", "tests"]

PROJECT = nox.project.load_toml()

#: The projects whose tests are run under the cache.
PROJECTS = nox.project.load_toml("tests/projects/projects.toml")

#: Every extra: tests cover all stores, and skip those whose server is not there.
EVERYTHING = ".[{}]".format(",".join(PROJECT["project"]["optional-dependencies"]))

#: Django → the Python versions it runs on, of those that the project supports.
MATRIX = {
    "5.2": ["3.11", "3.12", "3.13"],
    "6.0": ["3.12", "3.13"],
    "6.1": ["3.12", "3.13"],
}


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def install_for_tests(
    session: nox.Session, *requirements: str, postgresql: str | None = None
) -> None:
    """Install the project, all extras and the drivers of the databases that can run here.

    Args:
        session: where to.
        requirements: what else is wanted.
        postgresql: the only driver of PostgreSQL, a dependency group; None for all of them, of
            which Django takes psycopg 3.
    """
    drivers = []
    # mysqlclient is compiled against the library that one of these describes.
    if shutil.which("mariadb_config") or shutil.which("mysql_config"):
        drivers.append("mysqlclient>=2.2.7")
    tools = group("test") if postgresql is None else group("test-base") + group(postgresql)
    session.install("-e", EVERYTHING, *tools, *drivers, *requirements)


def run_tests(session: nox.Session, *chosen: str, env: dict[str, str] | None = None) -> None:
    """Run pytest; what follows ``--`` on the command line goes to it."""
    session.run("python", "-c", "import django; print('Django', django.get_version())")
    # However few processors there are, since tests wait a lot; each process starts databases of its
    # own, so more of them cost more than they save.
    processes = ["-n", "4", "--dist", "worksteal"]
    session.run("python", "-m", "pytest", *(session.posargs or [*processes, *chosen]), env=env)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests: this Python, the newest Django that it supports, every database and store.

    Tests of a server that cannot run here are skipped; QUERYCACHE_REQUIRE_SERVERS=1 fails them.
    """
    install_for_tests(session)
    run_tests(session)


@nox.session
@nox.parametrize(
    ("python", "django", "postgresql"),
    [
        nox.param(python, django, driver, id=f"python{python}-django{django}-{driver}")
        for django, pythons in MATRIX.items()
        for python in pythons
        for driver in ("psycopg", "psycopg2")
    ],
)
def matrix(session: nox.Session, django: str, postgresql: str) -> None:
    """Run the tests with every supported pair of Python and Django, and each driver.

    SQLite and MariaDB have one driver each, which every environment has.
    """
    install_for_tests(session, f"Django=={django}.*", postgresql=postgresql)
    run_tests(session)


#: Tests of what is the same whatever the versions of Django and Python are, or nearly.
ELSEWHERE = (
    "catalogue", "history", "journal", "machine", "session", "stores",
    *(
        f"test_{name}.py"
        for name in (
            "advice", "codec_compression", "codec_damage", "codec_drivers", "codec_refusals",
            "codec_values", "docs", "fuzz", "hostile_store", "leases", "model", "near", "outage",
            "passwords", "processes", "rawsql_properties", "servers", "stamps", "state_machine",
        )
    ),
)  # fmt: skip


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Run the tests of the oldest pair of Python and Django in short; `matrix` runs them all.

    Whole programs are left out, and on PostgreSQL there is only what compiles and what writes.
    """
    install_for_tests(session, f"Django=={next(iter(MATRIX))}.*", postgresql="psycopg")
    chosen = (
        "not mariadb and not memcached and (not sqlite_wal or lmdb)"
        " and (not postgresql or compiled or test_writes)"
        " and not in_a_project and not outlives"
    )
    left_out = [f"--ignore=tests/{name}" for name in ELSEWHERE]
    run_tests(session, "-m", "not slow", "-k", chosen, *left_out)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest release of each dependency that the project promises."""
    project = PROJECT["project"]
    promised = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    oldest = [requirement.partition(",")[0].replace(">=", "==") for requirement in promised]
    install_for_tests(session, *oldest)
    run_tests(session)


#: What reads and writes at large; the other tests plant differences, or count queries.
VERIFIED = (
    "end_after_commit", "isolation", "last_write", "memory_databases", "never_cached",
    "overlay", "query_shapes", "query_shapes_async", "raw_dialects", "raw_transactions",
    "raw_writes", "savepoints", "schema_changes", "session_context", "session_settings", "signals",
    "state_machine", "transactions", "write_order", "writes", "writes_elsewhere",
)  # fmt: skip


@nox.session
def verify(session: nox.Session) -> None:
    """Run the tests of reads and writes with VERIFY=1.0: the database confirms every hit."""
    install_for_tests(session)
    chosen = [f"tests/test_{name}.py" for name in VERIFIED]
    run_tests(session, *chosen, env={"QUERYCACHE_VERIFY": "1"})


#: What Django's own tests use where it is installed; without it they skip.
SUITE = (
    "aiosmtpd", "argon2-cffi", "bcrypt", "docutils", "numpy", "Pillow", "psycopg[binary,pool]",
    "PyYAML", "tblib", "tzdata",
)  # fmt: skip


@nox.session
@nox.parametrize(
    ("python", "django"),
    [nox.param(pythons[-1], django, id=f"django{django}") for django, pythons in MATRIX.items()],
)
def django_suite(session: nox.Session, django: str) -> None:
    """Run Django's own tests without the cache and with it, and compare.

    What follows `--` is `--database postgresql`, `--store lmdb`, `--serve`, and tests of Django;
    `-- --help` tells more.
    """
    install_for_tests(session, f"Django=={django}.*", *SUITE)
    session.run("python", "-m", "tests.django_suite", *session.posargs)


@nox.session
@nox.parametrize("project", list(PROJECTS), ids=list(PROJECTS))
def projects(session: nox.Session, project: str) -> None:
    """Run another project's own tests, or ours of it, without the cache and with it."""
    # The pytest of the tests here, for what tests.servers imports, unless the project has another.
    session.install("-e", ".[redis,memcached]", "pytest", *PROJECTS[project]["requirements"])
    session.run("python", "-m", "tests.projects", project, *session.posargs)


@nox.session
def stores(session: nox.Session) -> None:
    """Run only the tests of the stores."""
    install_for_tests(session)
    session.run("python", "-m", "pytest", "tests/stores", *session.posargs)


@nox.session
def linearizability(session: nox.Session) -> None:
    """Check recorded histories, with and without faults; `-- --long` has a million reads."""
    install_for_tests(session)
    session.run("python", "-m", "tests.history", *session.posargs)


@nox.session
def model(session: nox.Session) -> None:
    """Check the model of the stamp protocol with Spin; `-- --full` adds larger sizes."""
    session.run("python", "-m", "model.run", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Feed a million changed inputs to whatever reads foreign bytes; see the page on security."""
    install_for_tests(session)
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["--inputs", "1000000"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format; `nox -s lint -- --fix` repairs what can be."""
    session.install(*group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check", "--diff"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, with the plugin of django-stubs."""
    install_for_tests(session, *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs; a warning is an error."""
    session.install("-e", ".", *group("docs"))
    session.run(
        "sphinx-build", "--fail-on-warning", "--keep-going", "--fresh-env",
        "-b", "dirhtml", "docs", "build/docs", *session.posargs,
    )  # fmt: skip


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks in short; what follows ``--`` is given to them in place of ``--quick``."""
    install_for_tests(session)
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--quick"]))


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo as a user would: from the built package, outside the checkout."""
    session.install(".[demo]")
    folder = session.create_tmp()
    with session.chdir(folder):
        session.run("python", "-m", "querycache", "demo", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel, and check that the wheel holds the package alone."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(os.fspath, Path("dist").iterdir()))

"""Django's own test suite, without the cache and with it: ``python -m tests.django_suite``.

Both runs are made on this machine with the same databases; what is compared is what became of
each test. Exits with 1 where anything differs that `expected.toml` does not know.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
from pathlib import Path

import django

from tests.django_suite.comparison import compare, read_expected
from tests.django_suite.labels import ORM
from tests.django_suite.running import DATABASES, ROOT, STORES, Servers, conclude, run, say
from tests.django_suite.sdist import source_of

EXPECTED = Path(__file__).parent / "expected.toml"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.django_suite", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="serve hits; without this the database is asked as well, and the two are compared",
    )
    parser.add_argument("--parallel", type=int, default=os.cpu_count(), metavar="PROCESSES")
    parser.add_argument(
        "--baseline", type=Path, help="the outcomes of an earlier run without the cache"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "django_suite")
    parser.add_argument("--orm", action="store_true", help="the modules about the ORM alone")
    parser.add_argument("labels", nargs="*", help="tests of Django; none: all")
    options = parser.parse_args()
    if options.orm:
        options.labels += ORM
    return options


def main() -> int:
    options = arguments()
    version, mode = django.get_version(), "serve" if options.serve else "verify"
    folder = options.folder.resolve()
    suite = source_of("Django", folder / "source") / "tests"
    say(
        f"Django {version}, Python {platform.python_version()}, {options.database},"
        f" {options.store}, {mode}"
    )
    command = [sys.executable, "-m", "tests.django_suite.child", f"--parallel={options.parallel}"]
    command += [str(suite), *options.labels]
    with contextlib.ExitStack() as stack:
        servers = Servers(stack, folder)
        databases = servers.databases(options.database)
        if options.baseline is None:
            chosen = {"databases": databases, "querycache": None}
            without = run(command, folder / f"{version}-{options.database}-without", chosen)
        else:
            without = json.loads(options.baseline.read_text())
            if options.labels:
                modules = tuple(f"{label}." for label in options.labels)
                without = {test: one for test, one in without.items() if test.startswith(modules)}
        results = folder / f"{version}-{options.database}-{options.store}-{mode}"
        querycache = servers.querycache(options.store, serve=options.serve)
        chosen = {"databases": databases, "querycache": querycache}
        having = run(command, results, chosen)
    occasions = [mode, options.database, options.store, f"django{version[:3]}"]
    found = compare(without, having, read_expected(EXPECTED, occasions))
    return 0 if conclude(found, results) else 1


if __name__ == "__main__":
    sys.exit(main())

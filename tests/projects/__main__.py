"""Other projects' own tests, without the cache and with it: ``python -m tests.projects NAME``.

Three runs: without querycache, with every hit compared with the database, and serving. The second
must end as the first; in the third a test may also fail because it counts queries, since a hit is
none. `projects.toml` says what is run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import django

from tests.django_suite.comparison import BAD, Expected, compare
from tests.django_suite.running import ROOT, STORES, Servers, conclude, run, say
from tests.django_suite.sdist import source_of

HERE = Path(__file__).parent
PROJECTS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "projects.toml").read_text())

#: What `assertNumQueries` and pytest-django's `django_assert_num_queries` say, and pytest of a line
#: that looks at the length of Django's log.
COUNTS = Expected(
    "it counts queries, and a hit is none",
    re.compile(
        r"\d+ queries executed, \d+ expected|Expected to perform \d+ queries"
        r"|^> +self\.assertEqual\(len\(connection\.queries\), .*\nE +Assert\w+: \d+ != \d+$",
        re.MULTILINE,
    ),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.projects", description=__doc__)
    parser.add_argument("project", choices=sorted(PROJECTS))
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "projects")
    parser.add_argument("labels", nargs="*", help="tests; none: those that projects.toml names")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    name: str = options.project
    spec = PROJECTS[name]
    folder = options.folder.resolve()
    say(
        f"{name} {version(spec.get('package', name))}, Django {django.get_version()}, Python"
        f" {platform.python_version()}, {spec.get('database', 'sqlite')}, {options.store}"
    )
    if spec.get("own"):
        source, path = HERE / "own", ["."]
        command = ["-m", "django", "test", f"{name.replace('-', '_')}_tests"]
        env = {"DJANGO_SETTINGS_MODULE": f"{name.replace('-', '_')}_tests.settings"}
    else:
        source = source_of(name, folder / "source") / spec.get("folder", "")
        path, command, env = spec.get("path", []), spec["run"], spec.get("env", {})
    labels = options.labels or spec.get("labels", [])
    command = [sys.executable, str(HERE / "launch.py"), *command, *labels]
    with contextlib.ExitStack() as stack:
        servers = Servers(stack, folder)
        if spec.get("database") == "postgresql":
            database = servers.databases("postgresql")["default"]
            for key in ("HOST", "PORT", "USER"):
                env = {**env, f"DATABASE_{key}": database[key]}
            env |= {"DATABASE_DB": database["NAME"], "DATABASE_PASSWORD": ""}
        env = {**env, "PYTHONPATH": os.pathsep.join(str((source / one).resolve()) for one in path)}
        without = run(
            command, folder / f"{name}-without", {"querycache": None}, cwd=source, env=env
        )
        failed = [test for test, one in without.items() if one["outcome"] in BAD]
        say(f"{len(failed)} fail without the cache{': ' if failed else ''}{', '.join(failed)}")
        # Our own tests have no excuse.
        clean = not (failed and spec.get("own"))
        for mode in ("verify", "serve"):
            querycache = servers.querycache(options.store, serve=mode == "serve")
            results = folder / f"{name}-{options.store}-{mode}"
            having = run(command, results, {"querycache": querycache}, cwd=source, env=env)
            known = {} if mode == "verify" else dict.fromkeys(having, COUNTS)
            clean = conclude(compare(without, having, known), results) and clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())

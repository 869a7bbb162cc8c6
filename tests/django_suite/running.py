"""One recorded run of a suite, the servers it needs, and what a pair of runs comes to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.django_suite import counting
from tests.django_suite.comparison import Difference
from tests.servers import MariaDBServer, MemcachedServer, PostgresServer, RedisServer

ROOT = Path(__file__).parent.parent.parent
SQLITE = {
    "sqlite": "django.db.backends.sqlite3",
    "spatialite": "django.contrib.gis.db.backends.spatialite",
}
DATABASES = (*SQLITE, "postgresql", "postgis", "mariadb")
STORES = ("memory", "lmdb", "redis", "memcached")


def say(text: str) -> None:
    print(text, flush=True)


class Servers:
    """The private servers of a run.

    Args:
        stack: ends them.
        folder: where stores without a server live.
    """

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def databases(self, kind: str) -> dict[str, Any]:
        """Return ``DATABASES`` with the two aliases that Django's tests want.

        Args:
            kind: one of `DATABASES`.
        """
        if kind in SQLITE:
            engine = {"ENGINE": SQLITE[kind]}
            return {"default": dict(engine), "other": dict(engine)}
        server: PostgresServer | MariaDBServer
        test: dict[str, Any] = {}
        if kind in ("postgresql", "postgis"):
            server = PostgresServer(options={"max_connections": "100"})
            if kind == "postgis":
                test = {"ENGINE": "django.contrib.gis.db.backends.postgis"}
        else:
            server = MariaDBServer()
            # As in Django's own runs: the tests name these.
            test = {"TEST": {"CHARSET": "utf8mb3", "COLLATION": "utf8mb3_general_ci"}}
        self._stack.enter_context(server)
        names = {"default": "django", "other": "django2"}
        for name in names.values():
            server.create_database(name)
        return {alias: server.django_database(name, **test) for alias, name in names.items()}

    def querycache(self, store: str, *, serve: bool) -> dict[str, Any]:
        """Return ``QUERYCACHE``.

        Args:
            store: one of `STORES`.
            serve: whether hits are served, or also run and compared.
        """
        verify = {} if serve else {"VERIFY": 1.0, "VERIFY_RAISES": True}
        return {**self._store(store), **verify}

    def _store(self, kind: str) -> dict[str, Any]:
        if kind == "memory":
            return {"STORE": "memory://"}
        if kind == "lmdb":
            return {"STORE": f"lmdb://{self._folder / 'lmdb'}?size=512mb"}
        server: RedisServer | MemcachedServer = RedisServer()
        if kind == "memcached":
            server = MemcachedServer(options=["-m", "512"])
        self._stack.enter_context(server)
        # Tables are made anew for each run, and not cached before a lease has passed.
        return {"STORE": server.url, "LEASE": 0.5}


def run(
    command: Sequence[str],
    folder: Path,
    chosen: Mapping[str, Any],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> dict[str, dict[str, str]]:
    """Run a suite once and return what became of each test.

    Args:
        command: what to run; it records into the folder.
        folder: where the outcomes and the output go.
        chosen: ``querycache`` and what else the suite's settings read.
        cwd: where it runs.
        env: what the environment has beside this process's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    begun = time.monotonic()
    with (folder / "output.txt").open("w") as output:
        subprocess.run(
            command,
            cwd=cwd,
            env={
                **os.environ,
                **(env or {"PYTHONPATH": str(ROOT)}),
                "DJANGO_SUITE": json.dumps(chosen),
                "DJANGO_SUITE_RESULTS": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    found = folder / "outcomes.json"
    if not found.exists():
        end = (folder / "output.txt").read_text()[-4000:]
        sys.exit(f"the suite did not come to its end:\n{end}")
    outcomes: dict[str, dict[str, str]] = json.loads(found.read_text())
    say(f"{folder.name}: {len(outcomes)} tests in {time.monotonic() - begun:.0f} s")
    return outcomes


def conclude(found: Difference, folder: Path) -> bool:
    """Tell what two runs differ in, and return whether all of it is known.

    Args:
        found: the difference.
        folder: of the run with the cache.
    """
    counted = counting.total(folder)
    (folder / "difference.json").write_text(json.dumps({**asdict(found), "counted": counted}))
    say(f"the cache: {', '.join(f'{value} {name}' for name, value in sorted(counted.items()))}")
    for test in found.cured:
        say(f"failed only without the cache: {test}")
    for test in found.others:
        say(f"ran, or was skipped, in one of the runs only: {test}")
    for test, why in found.failures.items():
        say(f"\nFAILED WITH THE CACHE: {test}\n{why}")
    for reason in sorted(set(found.expected.values())):
        number = sum(one == reason for one in found.expected.values())
        say(f"known, {number} tests: {reason}")
    say(f"{len(found.failures)} failures with the cache that are not known")
    if not counted.get("hits"):
        say("the cache served nothing, so this shows nothing")
        return False
    return found.clean

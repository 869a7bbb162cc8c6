"""The servers and databases of one run: private, and gone afterwards."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from tests.servers import MariaDBServer, MemcachedServer, PostgresServer, RedisServer, Unavailable

__all__ = ["DATABASES", "Environment", "Unavailable", "open_environment"]

ROOT = Path(__file__).resolve().parents[1]

DATABASES = ("sqlite", "postgresql", "mariadb")

_SERVERS: dict[str, Callable[[], Any]] = {
    # Many processes of every contender stay connected.
    "postgresql": lambda: PostgresServer(options={"max_connections": "300"}),
    "mariadb": MariaDBServer,
    "redis": RedisServer,
    "memcached": MemcachedServer,
}


class Environment:
    """Servers that start when they are first needed.

    Args:
        stack: ends them.
        folder: for files.
    """

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self._servers: dict[str, Any] = {}
        self._templates: dict[str, str] = {}
        self._numbers = count(1)

    def server(self, kind: str) -> Any:
        """Return a server, started.

        Raises:
            Unavailable: it cannot run here.
        """
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(_SERVERS[kind]())
        return self._servers[kind]

    def make_folder(self, part: str) -> Path:
        """Make a folder for one contender in one part of the run; its name is short and unique."""
        folder = self.folder / f"{part}{next(self._numbers)}"
        folder.mkdir()
        return folder

    def database(self, kind: str, name: str) -> dict[str, Any]:
        """Make a database with a filled shop for one contender and return its settings.

        Raises:
            Unavailable: its server cannot run here.
            RuntimeError: it could not be filled; the message holds the end of the output.
        """
        template = self._template(kind)
        return self._copy(kind, name, template)

    def _template(self, kind: str) -> str:
        if kind not in self._templates:
            settings = self._copy(kind, "template", None)
            start = {
                "contender": "none",
                "database": settings,
                "store": "",
                "folder": str(self.folder),
                "fill": True,
            }
            lines = [json.dumps(start), json.dumps({"do": "shop.fill"})]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.worker"],
                input="\n".join(lines),
                capture_output=True,
                text=True,
                cwd=ROOT,
                check=False,
            )
            if done.stdout.strip() != "{}":
                raise RuntimeError(f"no shop in {kind}: {(done.stdout + done.stderr)[-1000:]}")
            self._templates[kind] = settings["NAME"]
        return self._templates[kind]

    def _copy(self, kind: str, name: str, template: str | None) -> dict[str, Any]:
        if kind == "sqlite":
            file = self.folder / f"{name}.db"
            if template:
                shutil.copyfile(template, file)
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(file),
                "OPTIONS": {
                    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
                    "timeout": 30,
                },
            }
        server = self.server(kind)
        server.create_database(name, template)
        settings: dict[str, Any] = server.django_database(name)
        return settings

    def store(self, kind: str) -> str:
        """Return the URL of the server of a store, empty for one that needs none.

        Raises:
            Unavailable: it cannot run here.
        """
        if kind not in ("redis", "memcached"):
            return ""
        url: str = self.server(kind).url
        return url

    def own_store(self, stack: contextlib.ExitStack, kind: str) -> str:
        """Start a server for one contender alone and return its URL, empty where it needs none.

        Args:
            stack: ends it.
            kind: of the store.
        """
        if kind not in ("redis", "memcached"):
            return ""
        url: str = stack.enter_context(_SERVERS[kind]()).url
        return url


@contextlib.contextmanager
def open_environment() -> Iterator[Environment]:
    """Give an environment whose servers end with the block."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qc-bench-")))
        yield Environment(stack, folder)

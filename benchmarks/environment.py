"""The servers and databases of one run: private, and gone afterwards."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers import MariaDBServer, MemcachedServer, PostgresServer, RedisServer, Unavailable

__all__ = ["DATABASES", "Environment", "Unavailable", "open_environment"]

DATABASES = ("sqlite", "postgresql", "mariadb")


class Environment:
    """Servers that start when they are first needed.

    Args:
        stack: ends them.
        folder: for files.
    """

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self._servers: dict[type, Any] = {}

    def _server(self, kind: type) -> Any:
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(kind())
        return self._servers[kind]

    def database(self, kind: str, name: str) -> dict[str, Any]:
        """Make an empty database for one contender and return its settings.

        Raises:
            Unavailable: its server cannot run here.
        """
        name = name.replace("-", "_")
        if kind == "sqlite":
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(self.folder / f"{name}.db"),
                "OPTIONS": {
                    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
                },
            }
        server = self._server(PostgresServer if kind == "postgresql" else MariaDBServer)
        server.create_database(name)
        settings: dict[str, Any] = server.django_database(name)
        return settings

    def store(self, kind: str) -> str:
        """Return the URL of the server of a store, empty for one that needs none.

        Raises:
            Unavailable: it cannot run here.
        """
        servers = {"redis": RedisServer, "memcached": MemcachedServer}
        if kind not in servers:
            return ""
        url: str = self._server(servers[kind]).url
        return url


@contextlib.contextmanager
def open_environment() -> Iterator[Environment]:
    """Give an environment whose servers end with the block."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qc-bench-")))
        yield Environment(stack, folder)

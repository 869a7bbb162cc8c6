"""The servers and folders of the runs: private, started when the first run wants them."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.history.lanes import Address
from tests.servers import (
    MariaDBServer,
    MemcachedServer,
    PostgresServer,
    RedisCluster,
    RedisSentinels,
    RedisServer,
    Server,
    Unavailable,
)

DATABASES = ("sqlite", "postgresql", "mariadb")
STORES = ("memory", "lmdb", "redis", "memcached", "sentinel", "cluster")

DatabaseServer = PostgresServer | MariaDBServer


@dataclass(frozen=True, slots=True)
class Place:
    """A store's servers and what leads to them.

    Args:
        kind: one of `STORES`.
        servers: of the store; none where it needs none.
        path: of an embedded store's folder.
        size: query of an embedded store's URL.
        group: of servers that belong together.
    """

    kind: str
    servers: Sequence[Server] = ()
    path: Path = Path()
    size: str = "64mb"
    group: RedisSentinels | RedisCluster | None = None

    def addresses(self) -> list[Address]:
        """Return where the servers listen."""
        return [("127.0.0.1", server.port) for server in self.servers]

    def url(self, addresses: Sequence[Address]) -> str:
        """Return the URL of the store, reached over these addresses."""
        if self.group is not None:
            return self.group.url
        if self.kind == "lmdb":
            return f"lmdb://{self.path}?size={self.size}"
        if self.kind == "memory":
            return f"memory://?size={self.size}"
        hosts = ",".join(f"{host}:{port}" for host, port in addresses)
        return f"redis://{hosts}/0" if self.kind == "redis" else f"memcached://{hosts}"


class Places:
    """All servers of a program's runs; a context manager.

    Args:
        databases: kind → gives a database server that runs already.
    """

    def __init__(self, databases: Mapping[str, Callable[[], DatabaseServer]] | None = None) -> None:
        self._stack = contextlib.ExitStack()
        self._servers: dict[tuple[Any, ...], Any] = {}
        self._databases = databases or {
            "postgresql": lambda: self._server(PostgresServer),
            "mariadb": lambda: self._server(MariaDBServer),
        }

    def __enter__(self) -> Self:
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="history-"))
        self.folder = Path(name)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def new_name(self) -> str:
        """Return a name that no run has had: of its folder, its database and its keys."""
        return f"run_{uuid.uuid4().hex[:12]}"

    def database(self, kind: str, name: str) -> tuple[dict[str, Any], DatabaseServer | None]:
        """Make an empty database; return its settings, and its server where it has one.

        Raises:
            Unavailable: its server cannot run here.
        """
        if kind == "sqlite":
            return {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(self.folder / f"{name}.db"),
                "OPTIONS": {
                    "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=off",
                    "timeout": 60,
                },
            }, None
        server = self._databases[kind]()
        server.create_database(name)
        return server.django_database(name), server

    def store(self, kind: str, options: Mapping[str, Any], nodes: int, name: str) -> Place:
        """Return a store of a kind.

        Args:
            kind: one of `STORES`.
            options: of its servers (see `tests.servers`); ``size`` and ``tmpfs``, the disk's, of an
                embedded store.
            nodes: how many servers it has.
            name: of the run.

        Raises:
            Unavailable: its server, or a disk of that size, cannot run here.
        """
        if kind in ("sentinel", "cluster"):
            # Of this run alone, since it does not stay what it is.
            group: RedisSentinels | RedisCluster = (
                RedisSentinels() if kind == "sentinel" else RedisCluster()
            )
            self._stack.enter_context(group)
            return Place(kind, group=group)
        if kind == "redis":
            return Place(kind, [self._server(RedisServer, options=options)])
        if kind == "memcached":
            words = tuple(itertools.chain.from_iterable(options.items()))
            return Place(
                kind,
                [self._server(MemcachedServer, node, options=words) for node in range(nodes)],
            )
        path = self.folder / f"{name}-store"
        path.mkdir()
        if "tmpfs" in options:
            self._mount(path, options["tmpfs"])
        return Place(kind, (), path / "lmdb", options.get("size", "64mb"))

    def _mount(self, path: Path, size: str) -> None:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "querycache-test", str(path)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"no small disk can be mounted: {done.stderr.strip()}")
        self._stack.callback(subprocess.run, ["umount", "-l", str(path)], check=False)

    def _server(self, kind: Any, node: int = 0, **arguments: Any) -> Any:
        key = (kind, node, repr(arguments))
        if key not in self._servers:
            self._servers[key] = self._stack.enter_context(kind(**arguments))
        # A fault may have left it down.
        server = self._servers[key]
        server.resume()
        return server.start()

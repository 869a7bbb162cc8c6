"""Several private Redis servers that belong together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import redis

from tests.servers.redis import RedisServer

_SECONDS = 60.0

#: The account that replicas copy with, so that tests can shut them out.
COPYING = {"masteruser": "copies", "masterauth": "copies"}
_COPY_RULE = ("on", ">copies", "+ping", "+psync", "+replconf")


def client(server: RedisServer) -> redis.Redis:
    """Return a client of one server, whatever role it has."""
    return redis.Redis(
        unix_socket_path=str(server.socket), password=server.password, socket_timeout=10
    )


def until(condition: Callable[[], object], complaint: str) -> None:
    """Poll until a condition holds; servers that do not answer count as no."""
    over = time.monotonic() + _SECONDS
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < over, complaint
        time.sleep(0.02)


class RedisGroup(ABC):
    """Servers that start and end together."""

    def __init__(self) -> None:
        self.servers: list[RedisServer] = []

    @abstractmethod
    def _assemble(self) -> None:
        """Start the servers and make them know each other."""

    def start(self) -> Self:
        """Start all servers and wait until they serve.

        Raises:
            Unavailable: the program is missing.
        """
        if self.servers:
            return self
        try:
            self._assemble()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all servers and remove their folders."""
        while self.servers:
            self.servers.pop().close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, server: RedisServer) -> RedisServer:
        self.servers.append(server)
        server.start()
        with client(server) as admin:
            admin.execute_command("ACL", "SETUSER", "copies", *_COPY_RULE)
        return server


def cut_replication(primary: RedisServer) -> None:
    """Let replicas of a server hear nothing of it any more: they stay as old as they are now.

    A replica that is paused would not do: what was sent meanwhile waits in its socket.
    """
    with client(primary) as admin:
        admin.execute_command("ACL", "SETUSER", "copies", "off")
        admin.execute_command("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: admin.info("replication")["connected_slaves"] == 0, "replicas stay")


def mend_replication(primary: RedisServer) -> None:
    """Let replicas of a server copy from it again."""
    with client(primary) as admin:
        admin.execute_command("ACL", "SETUSER", "copies", "on")


def role_of(server: RedisServer) -> str:
    """Return what a server says that it is: ``"master"`` or ``"slave"``."""
    with client(server) as admin:
        return str(admin.info("replication")["role"])


def in_step(replica: RedisServer) -> bool:
    """Tell whether a server is a replica that is connected to its primary."""
    with client(replica) as admin:
        return admin.info("replication").get("master_link_status") == "up"

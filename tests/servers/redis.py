"""A private Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.base import Server
from tests.servers.certificates import Certificates
from tests.servers.programs import find_program


class RedisServer(Server):
    """A Redis (or Valkey) that keeps nothing on disk unless told so.

    Args:
        password: what clients must authenticate with; None: nothing.
        tcp: whether it listens on 127.0.0.1 too, besides its unix socket.
        tls: what it shows to clients over TCP, where it then speaks nothing but TLS.
        options: directives of the configuration file, such as ``{"maxmemory": "2mb"}``.
        program: names of the program to run.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        tcp: bool = True,
        tls: Certificates | None = None,
        options: Mapping[str, str] | None = None,
        program: Sequence[str] = ("redis-server", "valkey-server"),
    ) -> None:
        super().__init__()
        self.password = password
        self.options = {"save": "", "appendonly": "no", **(options or {})}
        if "cluster-enabled" in self.options:
            # Nodes talk to each other there.
            self.second_port = 10000
        self._tcp = tcp
        self._tls = tls
        self._names = program

    @property
    def socket(self) -> Path:
        """The path of its unix socket."""
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """The URL of database 0 over TCP (over the unix socket where TCP is off)."""
        if not self._tcp:
            return self.socket_url
        scheme, query = ("rediss", f"?ssl_ca_certs={self._tls.ca}") if self._tls else ("redis", "")
        return f"{scheme}://{self._login}127.0.0.1:{self.port}/0{query}"

    @property
    def socket_url(self) -> str:
        """The URL of database 0 over the unix socket."""
        return f"unix://{self._login}{self.socket}?db=0"

    @property
    def _login(self) -> str:
        return f":{self.password}@" if self.password else ""

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return an alias for ``CACHES`` with Django's own Redis backend.

        Args:
            changes: keys that are replaced or added.
        """
        backend = "django.core.cache.backends.redis.RedisCache"
        return {"BACKEND": backend, "LOCATION": self.url, **changes}

    def command(self) -> Sequence[str]:
        command = [find_program(*self._names), "--bind", "127.0.0.1", "--unixsocketperm", "777"]
        command += ["--port", str(self.port if self._tcp and not self._tls else 0)]
        if self._tls:
            command += ["--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-ca-cert-file", str(self._tls.ca)]
            command += ["--tls-cert-file", str(self._tls.certificate)]
            command += ["--tls-key-file", str(self._tls.key)]
        command += ["--unixsocket", str(self.socket), "--dir", str(self.folder)]
        if self.password:
            command += ["--requirepass", self.password]
        for name, value in self.options.items():
            command += [f"--{name}", value]
        return command

    def answers(self) -> bool:
        plain = self._tcp and not self._tls
        reply = self._ask(b"PING\r\n", path=None if plain else self.socket)
        return reply.startswith((b"+PONG", b"-NOAUTH"))

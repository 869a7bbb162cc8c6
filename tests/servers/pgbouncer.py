"""A private PgBouncer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.servers.base import Server
from tests.servers.postgresql import PostgresServer
from tests.servers.programs import find_program

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits, options
"""


class PgBouncerServer(Server):
    """A PgBouncer in transaction mode: each transaction may run on another connection.

    Args:
        server: the PostgreSQL behind it.
        connections: how many it has to each database.
    """

    account = "postgres"

    def __init__(self, server: PostgresServer, *, connections: int = 2) -> None:
        super().__init__()
        self._server = server
        self._connections = connections

    def command(self) -> Sequence[str]:
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                server=self._server.port, port=self.port, connections=self._connections
            )
        )
        return [find_program("pgbouncer"), str(settings)]

    def answers(self) -> bool:
        names = b"user\0postgres\0database\0postgres\0\0"
        hello = (8 + len(names)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + names
        return self._ask(hello).startswith(b"R")

    def django_database(self, name: str = "postgres", **changes: Any) -> dict[str, Any]:
        """Return an alias for ``DATABASES`` that leads through the pool.

        Args:
            name: the database.
            changes: keys that are replaced or added.
        """
        return self._server.django_database(
            name, PORT=str(self.port), DISABLE_SERVER_SIDE_CURSORS=True, **changes
        )

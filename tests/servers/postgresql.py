"""A private PostgreSQL."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.base import Server
from tests.servers.programs import find_program

_PATIENCE = 60.0


class PostgresServer(Server):
    """A PostgreSQL whose user ``postgres`` needs no password, on a unix socket and 127.0.0.1.

    Args:
        options: settings of ``postgresql.conf``.
    """

    account = "postgres"
    # Immediate shutdown: the server's own children end too and its shared memory is removed.
    last_signal = signal.SIGQUIT
    stop_signal = signal.SIGINT

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.options = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "60",
            "shared_buffers": "32MB",
            "autovacuum": "off",
            **(options or {}),
        }

    def prepare(self) -> None:
        self.run(
            *(find_program("initdb"), "-D", str(self.folder / "data"), "-A", "trust"),
            *("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
        )

    def command(self) -> Sequence[str]:
        command = [find_program("postgres"), "-D", str(self.folder / "data"), "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-k", str(self.folder)]
        for name, value in self.options.items():
            command += ["-c", f"{name}={value}"]
        return command

    def answers(self) -> bool:
        names = b"user\0postgres\0database\0postgres\0\0"
        hello = (8 + len(names)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + names
        return self._ask(hello).startswith(b"R")

    def execute(self, sql: str, name: str = "postgres") -> str:
        """Run SQL as the administrator and return what it gives, without decoration.

        Args:
            sql: one statement.
            name: the database.
        """
        program, *login = self._admin("psql")
        return self.run(program, *login, "-XAt", "-c", sql, name).stdout.strip()

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database.

        Args:
            name: its name.
            template: the database that it is a copy of, to which nobody is connected; None: empty.
        """
        self.run(*self._admin("createdb"), *(["-T", template] if template else []), name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, whoever is connected to it.

        Args:
            name: its name.
        """
        self.run(*self._admin("dropdb"), "--if-exists", "--force", name)

    def _admin(self, program: str) -> list[str]:
        login = ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres"]
        return [find_program(program), *login]

    def django_database(self, name: str = "postgres", **changes: Any) -> dict[str, Any]:
        """Return an alias for ``DATABASES``.

        Args:
            name: the database, which must exist (``postgres`` does).
            changes: keys that are replaced or added, such as ``OPTIONS``.
        """
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **changes,
        }


class PostgresReplica(PostgresServer):
    """A hot standby that streams from another server, and lags when it is told to.

    Args:
        primary: a running server; everything in it is copied at the start.
    """

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(options=primary.options)
        self.primary = primary

    def prepare(self) -> None:
        self.run(
            *(find_program("pg_basebackup"), "-D", str(self.folder / "data"), "-R", "-X", "stream"),
            *("-c", "fast", "--no-sync", "-h", "127.0.0.1", "-p", str(self.primary.port)),
            *("-U", "postgres"),
        )

    def lag(self) -> None:
        """Apply nothing more until `catch_up`."""
        self.execute("SELECT pg_wal_replay_pause()")
        self._until("pg_get_wal_replay_pause_state() = 'paused'")

    def catch_up(self) -> None:
        """Apply everything that the primary has committed by now."""
        self.execute("SELECT pg_wal_replay_resume()")
        # Something to apply: the end of a log that has just been switched is a place that replicas
        # reach when there is more in it, which may take the server fifteen seconds.
        position = self.primary.execute("SELECT pg_logical_emit_message(false, 'tests', '')")
        # A commit that waits for no disk is sent when the log is written next.
        self.primary.execute("SELECT pg_switch_wal()")
        self._until(f"pg_last_wal_replay_lsn() >= '{position}'")

    def _until(self, condition: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self.execute(f"SELECT {condition}") != "t":
            if time.monotonic() > deadline:
                raise RuntimeError(f"the replica never came to {condition}: {self.log()[-2000:]}")
            time.sleep(0.01)

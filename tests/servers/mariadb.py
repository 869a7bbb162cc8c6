"""A private MariaDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.base import Server
from tests.servers.programs import find_program


class MariaDBServer(Server):
    """A MariaDB whose user ``root`` needs no password, on a unix socket and 127.0.0.1.

    Args:
        options: options of the server, such as ``{"transaction-isolation": "READ-COMMITTED"}``.
    """

    account = "mysql"

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.options = {
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_general_ci",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-doublewrite": "0",
            "innodb-flush-method": "nosync",
            "innodb-buffer-pool-size": "32M",
            "innodb-log-file-size": "16M",
            "innodb-fast-shutdown": "2",
            "performance-schema": "OFF",
            "skip-log-bin": "",
            "skip-name-resolve": "",
            **(options or {}),
        }

    @property
    def socket(self) -> Path:
        """The path of its unix socket."""
        return self.folder / "mariadb.sock"

    def prepare(self) -> None:
        self.run(
            *(find_program("mariadb-install-db", "mysql_install_db"), "--no-defaults"),
            *(f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}", "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            *("--innodb-flush-method=nosync", "--innodb-log-file-size=16M"),
        )

    def command(self) -> Sequence[str]:
        command = [find_program("mariadbd", "mysqld"), "--no-defaults", f"--port={self.port}"]
        command += [f"--datadir={self.folder / 'data'}", f"--socket={self.socket}"]
        command += [f"--tmpdir={self.folder}", f"--pid-file={self.folder / 'pid'}"]
        command += ["--bind-address=127.0.0.1"]
        for name, value in self.options.items():
            command.append(f"--{name}={value}" if value else f"--{name}")
        return command

    def answers(self) -> bool:
        # The greeting: three bytes of length, a sequence number, protocol version 10.
        return self._ask(b"", path=self.socket)[4:5] == b"\x0a"

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database.

        Args:
            name: its name.
            template: the database that it is a copy of; None: empty.
        """
        self._execute(f"CREATE DATABASE `{name}`")
        if template:
            file = self.folder / f"{name}.sql"
            dump = find_program("mariadb-dump", "mysqldump")
            self.run(
                *(dump, "--no-defaults", f"--socket={self.socket}", "-uroot"),
                *(f"--result-file={file}", template),
            )
            self._execute(f"source {file}", name)
            file.unlink()

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there.

        Args:
            name: its name.
        """
        self._execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _execute(self, sql: str, database: str = "mysql") -> None:
        client = find_program("mariadb", "mysql")
        login = ["--no-defaults", f"--socket={self.socket}", "-uroot"]
        self.run(client, *login, "-e", sql, database)

    def django_database(self, name: str = "mysql", **changes: Any) -> dict[str, Any]:
        """Return an alias for ``DATABASES``.

        Args:
            name: the database, which must exist.
            changes: keys that are replaced or added, such as ``OPTIONS``.
        """
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "USER": "root",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "OPTIONS": {"charset": "utf8mb4"},
            **changes,
        }

"""Marks that say which kinds of database a test runs on, each a run of its own."""

from __future__ import annotations

import pytest

from tests.environment import DATABASES


def on(*kinds: str) -> pytest.MarkDecorator:
    """Return the mark that runs a test on each kind of database in turn.

    Args:
        kinds: some of `DATABASES`.
    """
    return pytest.mark.parametrize("database", kinds, indirect=True)


every = on(*DATABASES)
#: SQLite's rollback journal lets nobody read while a writer commits; these do.
concurrent = on("sqlite_wal", "postgresql", "mariadb")
servers = on("postgresql", "mariadb")
sqlites = on("sqlite", "sqlite_wal")
sqlite = on("sqlite")
wal = on("sqlite_wal")
postgresql = on("postgresql")
mariadb = on("mariadb")

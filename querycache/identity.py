"""Which database a connection leads to; those in memory have no settings to be named after."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from querycache.keys import database_identity

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def identify(connection: BaseDatabaseWrapper, memory: MemoryNames) -> str:
    """Name the database of a connection, see `keys.database_identity`."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
        return memory.name(connection)
    return database_identity(connection.vendor, connection.settings_dict)


class MemoryNames:
    """Names of in-memory SQLite databases, which are private to a process and die with it.

    A plain ``:memory:`` database is one driver connection's. One in shared-cache mode belongs to
    all connections that name it, and lives as long as any of them. A forked child has a copy of
    each, which is another database from then on.
    """

    #: What their names begin with, and no others.
    START = "sqlite:memory:"

    def __init__(self) -> None:
        self._shared: dict[str, tuple[str, weakref.WeakSet[Any]]] = {}
        self._named: weakref.WeakSet[Any] = weakref.WeakSet()

    def name(self, connection: BaseDatabaseWrapper) -> str:
        """Return a name that no other database has or had."""
        self._named.add(connection)
        name = str(connection.settings_dict["NAME"])
        if "cache=shared" not in name:
            return self.START + os.urandom(16).hex()
        found = self._shared.get(name)
        if found is None or not any(user.connection is not None for user in found[1]):
            found = (os.urandom(16).hex(), weakref.WeakSet())
            self._shared[name] = found
        found[1].add(connection)
        return self.START + found[0]

    def forked(self) -> list[BaseDatabaseWrapper]:
        """Forget all names, in a child; returns the connections that need new ones."""
        self._shared.clear()
        return list(self._named)

"""The installed configuration, and the state that each connection has under it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connections

from querycache.cache import QueryCache
from querycache.checked_texts import CheckedTexts
from querycache.compiled import Texts, writes_as_django
from querycache.dependencies import Database
from querycache.identity import MemoryNames, identify
from querycache.keys import database_identity
from querycache.memos import remember
from querycache.questions import STATE
from querycache.runtime import runtime
from querycache.selection import Selection
from querycache.session import Session
from querycache.transactions import Transaction
from querycache.watch import Watch

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.reading import Read

    Reading = Callable[[Transaction, Read], Any]

# Names of in-memory databases are the process's, whatever is configured.
_memory = MemoryNames()


class Installed:
    """A configuration in use.

    Args:
        cache: the cache.
        selection: what is cached at all.
        read: answers queries.
    """

    def __init__(self, cache: QueryCache, selection: Selection, read: Reading) -> None:
        self.cache = cache
        self.selection = selection
        #: Answers queries; who listens has put something around what does so otherwise.
        self.read = self._read = read
        self._listeners = 0
        #: Models whose queries are left alone; read by every query.
        self.skipped = selection.skipped
        context = cache.config.context_function()
        #: Tells the tenant of a connection; None where the project has none.
        self.context = context
        self._databases: dict[str, Database] = {}
        self._texts: dict[tuple[Any, ...], Texts] = {}
        self._lock = threading.Lock()

    def listen(self, around: Callable[[Reading], Reading]) -> None:
        """Have queries answered by something else; of several who listen the first says by what.

        Args:
            around: makes it of what answers them otherwise.
        """
        with self._lock:
            if not self._listeners:
                self.read = around(self._read)
            self._listeners += 1

    def listen_no_more(self) -> None:
        """Have queries answered as they were before, once nobody listens any more."""
        with self._lock:
            self._listeners -= 1
            if not self._listeners:
                self.read = self._read

    def request_over(self, **kwargs: Any) -> None:
        """Have other processes find what a request has stored; receives `request_finished`."""
        self.cache.flush()

    def primary(self, connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
        """Return the connection whose database names entries and stamps, see `REPLICAS`."""
        replica = self.cache.config.replicas.get(connection.alias)
        return connection if replica is None else connections[replica.of]

    def identity(self, connection: BaseDatabaseWrapper) -> str:
        """Name the database of a connection; a replica has its primary's name."""
        return identify(self.primary(connection), _memory)

    def database(self, connection: BaseDatabaseWrapper, identity: str) -> Database:
        """Return what is known of a connection's database."""
        connection = self.primary(connection)
        with self._lock:
            found = self._databases.get(identity)
            if found is None:
                found = Database(
                    identity,
                    connection.vendor,
                    str(connection.settings_dict.get("NAME") or ""),
                    self.cache,
                    self.selection,
                )
                # Django makes and drops databases through a connection that has no alias.
                private = (
                    identity.startswith(MemoryNames.START)
                    or connection.alias not in connections.settings
                )
                found.watch = Watch(self.cache, found, private=private)
                self.cache.watches.add(found.watch)
                # In-memory databases come and go with their connections.
                remember(self._databases, identity, found, 256)
            return found

    def texts(self, connection: BaseDatabaseWrapper) -> Texts | None:
        """Return what connections of an alias have compiled, None where that is not kept."""
        config = self.cache.config
        if not config.reuse_sql or not writes_as_django(connection):
            return None
        # The server and the options have a say in what a text looks like, and both may be changed
        # on a connection.
        given = connection.settings_dict
        leads_to = tuple(repr(given.get(name)) for name in ("HOST", "PORT", "OPTIONS"))
        name = (connection.alias, type(connection), leads_to)
        with self._lock:
            found = self._texts.get(name)
            if found is None:
                share = 1.0 if self.cache.shadow else config.verify
                found = CheckedTexts(share, raises=config.verify_raises) if share else Texts()
                remember(self._texts, name, found, 64)
            return found

    def serves(self, connection: BaseDatabaseWrapper) -> bool:
        """Tell whether reads of an alias are cached, see `DATABASES`."""
        listed = self.cache.config.databases
        return listed is None or connection.alias in listed

    def tracks(self, connection: BaseDatabaseWrapper, identity: str) -> bool:
        """Tell whether writes of an alias matter: another alias may be the same database."""
        if self.serves(connection):
            return True
        return any(
            database_identity(other.vendor, self.primary(other).settings_dict) == identity
            for other in connections.all()
            if self.serves(other)
        )


def transaction_of(connection: BaseDatabaseWrapper) -> Transaction:
    """Return the state of a connection under the installed configuration."""
    installed = runtime.current
    assert installed is not None
    found: Transaction | None = connection.__dict__.get(STATE)
    if found is not None and found.cache is installed.cache:
        return found
    return _attach(installed, connection, found)


def connecting(connection: BaseDatabaseWrapper) -> None:
    """Start afresh: Django is about to open a new driver connection."""
    old: Transaction | None = connection.__dict__.pop(STATE, None)
    if old is not None:
        old.session.cursors.finish_all()
        old.over()


def connected(connection: BaseDatabaseWrapper) -> None:
    """Name the database once more: connecting may have made the file it lives in."""
    state: Transaction | None = connection.__dict__.get(STATE)
    if state is None:
        return
    state.session.bind()
    if connection.vendor == "sqlite":
        installed = runtime.current
        if installed is not None and not connection.is_in_memory_db():  # type: ignore[attr-defined]
            state.database = installed.database(connection, installed.identity(connection))


def time_zone_changed() -> None:
    """Take note that settings say another time zone, or whether times have one at all."""
    for connection in connections.all(initialized_only=True):
        # As Django's own receiver does, which may come later.
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)
        state: Transaction | None = connection.__dict__.get(STATE)
        if state is not None:
            state.session.renew()


def forked() -> None:
    """Give the in-memory databases of a child other names: they are copies of its parent's."""
    installed = runtime.current
    for connection in _memory.forked():
        state: Transaction | None = connection.__dict__.get(STATE)
        if state is not None and installed is not None:
            state.database = installed.database(connection, _memory.name(connection))
            # What the open transaction has written it has written in the copy, too.
            state.overlay.forget()


def _attach(
    installed: Installed, connection: BaseDatabaseWrapper, old: Transaction | None
) -> Transaction:
    replica = installed.cache.config.replicas.get(connection.alias)
    if old is None:
        session = Session(connection)
        identity = installed.identity(connection)
    else:
        # Settings changed under an open connection, whose transaction goes on.
        session = old.session
        identity = old.database.identity
        if replica is not None or old.replica is not None:
            identity = installed.identity(connection)
    state = Transaction(
        connection, installed.cache, installed.database(connection, identity), session
    )
    state.replica = replica
    state.tenant = installed.context
    state.texts = installed.texts(connection)
    state.serves = installed.serves(connection)
    state.tracks = state.serves or installed.tracks(connection, identity)
    if old is not None:
        state.adopt(old)
    connection.__dict__[STATE] = state
    return state

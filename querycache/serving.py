"""One store for each database: a row in the database names it, and a process on another finds out.

Two stores on one database would break every promise, since neither is told of the writes that the
other is told of. What tells stores apart is an identity that each keeps beside its stamps. The row
of the database has one, with a label that says where the store is, and with the time when a process
that uses it was last here; such processes renew it every `RENEW` ms.

A process whose store is another serves nothing from it. It may move the database to its own store
when nobody has used the other one for `patience`, or when an operator says so. Why that is right is
in `docs/explanation/protocol.md`.
"""

from __future__ import annotations

import enum
import logging
import secrets
from typing import TYPE_CHECKING

from querycache import journal
from querycache.keys import EVERYTHING, digest
from querycache.stores import places
from querycache.stores.base import StoreError, StoreUnusable

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.cache import QueryCache
    from querycache.dependencies import Database
    from querycache.journal import Named
    from querycache.stores.base import Store

logger = logging.getLogger("querycache.journal")

#: ms for which a look at a database is good.
LOOK = 1000

#: ms after which a process that uses the store notes that it does.
RENEW = 10_000

#: ms for which the other store must have been unused, where no lease lasts longer.
PATIENCE = 30_000

_LONGEST_LABEL = 255

_ANOTHER = (
    "%s is served by the store %s, and this process uses %s: it serves nothing, and its writes"
    " count as ones that the store cannot be told of; give it the same STORE, KEY_PREFIX and"
    " release of querycache, or move the database with `manage.py querycache adopt`"
)


def trouble(connection: BaseDatabaseWrapper) -> tuple[type[Exception], ...]:
    """Return what `Served.ask` and `Served.take` raise."""
    return (LookupError, StoreError, StoreUnusable, *journal.errors(connection))


class Serving(enum.Enum):
    """What the store of a process is to a database."""

    OURS = "it serves the database"
    SOON = "the database was moved to it, and what was begun before may not be over"
    OTHER = "another store serves the database"
    UNNAMED = "the database names no store, and a transaction of SQLite keeps it from that"


class Claim:
    """The store of this process, as databases name it.

    Args:
        store: the store.
        lease: how long a writer's lease lasts, in ms.
    """

    def __init__(self, store: Store, lease: int) -> None:
        self._store = store
        #: What the store is told to be where nothing says what it is.
        self._fresh = secrets.token_hex(16)
        # What it said last.
        self._known = ""
        #: Writers that looked before a move and began right before their look was old are over.
        self.handover = LOOK + lease
        self.patience = max(PATIENCE, self.handover + 2 * RENEW)

    @property
    def label(self) -> str:
        """Where the store is, as people read it and databases keep it."""
        place = self._store.place
        if len(place) <= _LONGEST_LABEL:
            return place
        # What was cut off tells it from others, too.
        rest = digest(place).hex()
        return f"{place[: _LONGEST_LABEL - len(rest) - 1]} {rest}"

    def identity(self, named: Named | None) -> str:
        """Return what the store says it is, having told it where it has lost that.

        A store that was emptied is the one that the row names if it is at the same place, or if
        this process has known it by that name.

        Args:
            named: what the database names.
        """
        proposed = self._fresh
        if named is not None and (named.label == self.label or named.store == self._known):
            proposed = named.store
        self._known = self._store.identity(proposed.encode()).decode("ascii", "replace")
        return self._known

    def judge(self, named: Named, identity: str) -> Serving:
        """Tell what the store is to a database that names one."""
        if named.store != identity:
            return Serving.OTHER
        return Serving.OURS if named.moved >= self.handover else Serving.SOON

    def may_move(self, named: Named) -> bool:
        """Tell whether the store that a database names is out of use."""
        return named.unseen > self.patience or places.is_over(named.label) or self._replaced(named)

    def _replaced(self, named: Named) -> bool:
        return " of process " in named.label and named.label == self.label

    @staticmethod
    def renew(connection: BaseDatabaseWrapper, named: Named) -> None:
        """Note that the store is in use, where that was long ago; never raises."""
        if named.unseen <= RENEW:
            return
        try:
            journal.renew(connection, named)
        except journal.errors(connection) as error:
            # Others may, and a user who may only read has nothing to say of it.
            logger.debug("that the store is in use was not noted: %s", error)

    def move(self, connection: BaseDatabaseWrapper, named: Named, identity: str) -> bool:
        """Move a database to this store; its `EVERYTHING` stamp must have changed just before.

        Args:
            connection: in autocommit.
            named: what the database names.
            identity: what the store says it is.
        """
        moved = journal.move(connection, named, identity, self.label, fresh=self._replaced(named))
        if moved:
            logger.warning(
                "%s is served by %s from now on, and no longer by %s",
                connection.alias,
                self.label,
                named.label,
            )
        return moved


class Served:
    """Whether a database is served by the store of this process.

    Args:
        cache: whose store.
        database: the database.
    """

    def __init__(self, cache: QueryCache, database: Database) -> None:
        self._cache = cache
        self._database = database
        self._told = False
        #: What the last look found; None: nobody could tell yet.
        self.now: Serving | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether readers of the database do not hear of what this process's store is told."""
        return self.now is Serving.OTHER

    @property
    def why_not(self) -> str:
        """Why nothing is served, where the last look says so."""
        if self.now is Serving.OTHER:
            return "the database names another store (see `manage.py querycache status`)"
        if self.now is Serving.SOON:
            return "the database was moved to this store a moment ago"
        if self.now is Serving.UNNAMED:
            return "the database names no store yet, and will when the transaction is over"
        return "the journal of the database could not be read yet"

    def judge(
        self, connection: BaseDatabaseWrapper, named: Named | None, *, autocommit: bool
    ) -> Serving | None:
        """Find out what the store is to a database, and have the database name it where it may be.

        Args:
            connection: to the database.
            named: what the database names, just read.
            autocommit: whether what is written on the connection is there at once.

        Returns:
            None where that cannot be told now.
        """
        cache = self._cache
        if cache.breaker.down:
            return None
        try:
            identity = cache.claim.identity(named)
        except (StoreError, StoreUnusable) as error:
            cache.failed(error)
            return None
        if named is None:
            return self._name(connection, identity, autocommit=autocommit)
        found = cache.claim.judge(named, identity)
        unused = found is Serving.OTHER and autocommit and cache.claim.may_move(named)
        if unused and self.adopt(connection, named, identity):
            named = journal.look(connection).named or named
            found = cache.claim.judge(named, identity)
        if found is not Serving.OTHER:
            self._told = False
            if autocommit:
                cache.claim.renew(connection, named)
        elif not self._told:
            self._told = True
            logger.error(_ANOTHER, connection.alias, named.label, cache.claim.label)
        self.now = found
        return found

    def _name(
        self, connection: BaseDatabaseWrapper, identity: str, *, autocommit: bool
    ) -> Serving | None:
        """Have a database that names no store name this one."""
        label = self._cache.claim.label
        self.now = Serving.OURS
        try:
            if autocommit:
                journal.claim(connection, identity, label)
            elif connection.vendor == "sqlite":
                # What another connection wrote now would keep this transaction from writing.
                self.now = Serving.UNNAMED
            else:
                with journal.apart(connection) as other:
                    journal.claim(other, identity, label)
        except journal.errors(connection) as error:
            if journal.is_busy(error):
                self.now = Serving.UNNAMED
            elif autocommit and journal.look(connection).named is not None:
                # Another process was quicker; the next look tells whose store it is.
                self.now = None
            # Who may not write here finds out once others have named one.
            logger.debug("%s does not name its store: %s", connection.alias, error)
        return self.now

    def ask(self, connection: BaseDatabaseWrapper) -> tuple[Named | None, Serving | None]:
        """Return the store that the database names, and what this process's is to it.

        Args:
            connection: to the database.

        Raises:
            LookupError: the database has no table for it.
            StoreError: the store did not answer.
            StoreUnusable: the store can never answer.
        """
        if not (journal.supported(connection) and journal.exists(connection)):
            raise LookupError(f"{connection.alias} has no table {journal.STORE}")
        named = journal.look(connection).named
        if named is None:
            return None, None
        claim = self._cache.claim
        return named, claim.judge(named, claim.identity(named))

    def take(self, connection: BaseDatabaseWrapper) -> Named | None:
        """Move the database to the store of this process, whoever uses the other one.

        Args:
            connection: in autocommit.

        Returns:
            The store that the database named before.

        Raises:
            LookupError: the database has no table for it.
            StoreError: the store did not answer, or another process moved the database just now.
            StoreUnusable: the store can never answer.
        """
        named, found = self.ask(connection)
        identity = self._cache.claim.identity(named)
        if named is None:
            self._name(connection, identity, autocommit=True)
        elif found is Serving.OTHER and not self.adopt(connection, named, identity):
            raise StoreError(f"{connection.alias} was not moved; run the command once more")
        return named

    def adopt(self, connection: BaseDatabaseWrapper, named: Named, identity: str) -> bool:
        """Move the database to the store of this process; tells whether that went well.

        Args:
            connection: in autocommit.
            named: what the database names, just read.
            identity: what the store says it is.
        """
        # What is in the store is from before; nothing comes in before the database names it.
        everything = self._database.stamp_key(EVERYTHING)
        return self._cache.touch([everything]) and self._cache.claim.move(
            connection, named, identity
        )

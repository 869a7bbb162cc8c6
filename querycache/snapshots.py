"""The one state that a transaction sees, and since when nothing of it has changed.

Under REPEATABLE READ and in SQLite's transactions a transaction sees the database as it was at one
moment. An entry of the shared cache is of that state if no write to its tables was over after a
moment *before* that one. So the store's clock is read first, then the database is made to take the
state ("pinned"), and what was settled later than the clock is not served and not stored.
`docs/explanation/transactions.md` says why that is right.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

from querycache.cache import FAILURES
from querycache.plans import Effect
from querycache.questions import question
from querycache.rawsql import Kind
from querycache.session import Isolation
from querycache.stamps import Clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.cache import QueryCache
    from querycache.transactions import Transaction


class Snapshot:
    """What is known of the state that one transaction sees.

    A new one is made whenever a transaction may begin; threads that share the connection share it.
    """

    __slots__ = ("_fresh", "_lock", "_lost", "_pinned", "noted")

    def __init__(self) -> None:
        # A clock is read before the statement of any thread that is to come after it.
        self._lock = threading.RLock()
        # No statement of the transaction has reached the database yet.
        self._fresh = True
        # The state may be older than any clock that was read.
        self._lost = False
        # The database has taken the state since `noted`.
        self._pinned = False
        #: The store's clock from before the database took the state; None: none was read yet.
        self.noted: Clock | None = None

    def lose(self) -> None:
        """Note that the state may have been taken at a moment that nobody knows."""
        self._fresh = False
        self._lost = True

    def passes(self, transaction: Transaction) -> None:
        """Note that a statement is about to reach the database, which may then take the state."""
        if self._fresh:
            with self._lock:
                self._pass(transaction)

    def pin(self, transaction: Transaction) -> Clock | None:
        """Have the database take the state now, unless it has.

        Returns:
            A clock from before it was taken; None when there is none.
        """
        if not self._pinned:
            with self._lock:
                self._pin(transaction)
        return None if self._lost else self.noted

    def can_pin(self, transaction: Transaction) -> bool:
        """Tell whether `pin` is likely to give a clock, without running anything."""
        return not self._lost and (self._pinned or _may_pin(transaction, ask=True))

    # Another thread may have been quicker, below.

    def _pass(self, transaction: Transaction) -> None:
        if not self._fresh:
            return
        self._fresh = False
        # Reading the clock of a store on a network costs as much as many a statement, and most
        # transactions that do not begin with a read of the ORM write and are over.
        if not _is_remote(transaction.cache) and _may_pin(transaction, ask=False):
            self.noted = transaction.cache.clock()
        self._lost = self.noted is None

    def _pin(self, transaction: Transaction) -> None:
        if self._lost or self._pinned:
            return
        if not _may_pin(transaction, ask=True):
            self.lose()
            return
        if self.noted is None:
            self.noted = transaction.cache.clock()
            if self.noted is None:
                return
        # What is run below has a clock before it.
        self._fresh = False
        if _take(transaction):
            self._pinned = True
        else:
            self.lose()


def begun_by_hand(transaction: Transaction, cursor: Any) -> Snapshot:
    """Return what is known of the state of a transaction that a raw BEGIN has begun.

    Args:
        transaction: of the connection.
        cursor: the driver's, on which that ran.
    """
    snapshot = Snapshot()
    vendor = transaction.connection.vendor
    # MySQL's may say WITH CONSISTENT SNAPSHOT. In SQLite's WAL mode a cursor that is still being
    # read has the connection see the state of its first row.
    if vendor == "mysql" or (vendor == "sqlite" and transaction.session.cursors.reading(cursor)):
        snapshot.lose()
    return snapshot


def _is_remote(cache: QueryCache) -> bool:
    """Tell whether the store is on a network; one that cannot even be opened counts as such."""
    try:
        return cache.store.remote
    except FAILURES as error:
        cache.failed(error)
        return True


#: Statements with which no database takes the state that a transaction sees.
_STEERING = frozenset(
    {
        *(Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK),
        *(Kind.SAVEPOINT, Kind.ROLLBACK_TO, Kind.RELEASE),
    }
)


def takes_no_state(effect: Effect, sql: str | None, vendor: str) -> bool:
    """Tell whether a statement surely leaves it to a later one to take the state.

    Args:
        effect: what it does.
        sql: its text, None when it could not be told.
        vendor: of the database.
    """
    if sql is None or len(effect.control) != 1 or effect.writes or effect.unclear or ";" in sql:
        return False
    (statement,) = effect.control
    if statement.kind is Kind.SESSION:
        # SET LOCAL, say; one whose setting cannot be told is a SELECT.
        return vendor == "postgresql" and statement.setting is not None
    return statement.kind in _STEERING


def _may_pin(transaction: Transaction, *, ask: bool) -> bool:
    """Tell whether the open transaction sees one state that a statement makes the database take."""
    cache = transaction.cache
    # In bounded mode a write is told after its commit, so the order of the two is not known.
    # The state of a replica is older than the clock by as much as it lags.
    if not (cache.strict and transaction.open) or transaction.replica is not None:
        return False
    session = transaction.session
    if not ask and not session.knows_isolation:
        return False
    if session.isolation is not Isolation.SNAPSHOT:
        return False
    connection = transaction.connection
    # Connections that share the memory of a database see each other's commits in every table that
    # they have not read yet.
    return connection.vendor != "sqlite" or not (
        connection.is_in_memory_db()  # type: ignore[attr-defined]
        or "cache=shared" in str(connection.settings_dict["NAME"])
    )


def _take(transaction: Transaction) -> bool:
    """Run a statement that makes the database take the state; tells whether it did."""
    connection, watch = transaction.connection, transaction.database.watch
    if connection.vendor == "mysql" and not _take_innodb(transaction):
        return False
    try:
        with connection.wrap_database_errors:
            # The journal must be looked at in any case, and to do so is as good as any statement.
            told = watch.shown(transaction)
            if told is None and connection.vendor != "mysql":
                with closing(connection.create_cursor()) as cursor:
                    cursor.execute(_STATEMENTS[connection.vendor])
                    cursor.fetchall()
    except BaseException:
        # As the query would have failed.
        transaction.failed()
        raise
    return watch.clear(transaction, thorough=True) if told is None else told


#: Any SELECT, in PostgreSQL; in SQLite one that reads the file, be it empty.
_STATEMENTS = {
    "postgresql": "SELECT 1",
    "sqlite": "SELECT 1 FROM sqlite_master LIMIT 1",
}


def _take_innodb(transaction: Transaction) -> bool:
    """Read from a table of InnoDB, whichever.

    START TRANSACTION WITH CONSISTENT SNAPSHOT would commit what is open.
    """
    connection, database = transaction.connection, transaction.database
    if database.transacted_table is None:
        database.transacted_table = _innodb_table(connection)
    if not database.transacted_table:
        return False
    name = connection.ops.quote_name(database.transacted_table)
    try:
        with closing(connection.create_cursor()) as cursor:
            # A result from the server's own cache reads no table.
            cursor.execute(f"SELECT SQL_NO_CACHE 1 FROM {name} LIMIT 1")  # noqa: S608 - quoted
            cursor.fetchall()
    except connection.Database.Error:  # type: ignore[attr-defined]
        # It was dropped, or may not be read.
        database.transacted_table = None
        return False
    return True


def _innodb_table(connection: BaseDatabaseWrapper) -> str:
    # Reading a table keeps its definition from being changed while the transaction is open; that of
    # the migrations hardly ever is.
    with question(connection) as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
            " AND table_type = 'BASE TABLE' AND engine = 'InnoDB'"
            " ORDER BY table_name <> 'django_migrations', table_name LIMIT 1"
        )
        row = cursor.fetchone()
    return "" if row is None else str(row[0])

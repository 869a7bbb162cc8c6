"""What a process knows of a database's journal, and what it writes there.

The journal takes the writes that the store could not be told of (`ON_STORE_FAILURE: "journal"`).
Nothing is served from the store by a process that has not read it within `LOOK_EVERY`: it makes the
stamps of what it finds there change, and only then deletes the rows. Rows come in two kinds:

- of a transaction: written in it, just before its COMMIT, so that they are there if and only if
  the write is;
- of a statement that is no part of a transaction: written before it with the name of its writer,
  who takes the name off when it is over. Rows with a name may be of a write that is still to come,
  so they are acted upon at each look, and stay.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
from typing import TYPE_CHECKING

from querycache import journal
from querycache.leases import clock
from querycache.serving import LOOK, Served, Serving
from querycache.vantage import current

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.cache import QueryCache
    from querycache.dependencies import Database
    from querycache.transactions import Transaction

logger = logging.getLogger("querycache.journal")

#: Seconds for which a look is good.
LOOK_EVERY = LOOK / 1000

#: Seconds for which the tables must be missing before it is worth a line in the log: a command that
#: makes them is none.
MISSING_FOR = 60.0

#: ms after which a writer that has not taken its name off its rows is taken for dead.
ABANDONED = 3600 * 1000


class Watch:
    """The journal of one database, as seen by this process.

    Args:
        cache: whose store is told what the journal has.
        database: whose stamps they are.
        private: whether no other process can reach the database.
    """

    def __init__(self, cache: QueryCache, database: Database, *, private: bool) -> None:
        #: Until when the last look is good, by `leases.clock`. Read before each hit.
        self.until = math.inf if private else 0.0
        self._cache = cache
        self._database = database
        #: Whether no other process can reach the database, so that nothing is looked for.
        self.private = private
        self._state = threading.Lock()
        self._looking = threading.Lock()
        # Raised by whatever makes a look that has begun worthless.
        self._expired = 0
        self._again = 0.0
        # Until when nothing is served, whatever a look finds.
        self._quiet = 0.0
        # Writes of this process that are in the journal and not over.
        self._in_flight = 0
        # Rows that the store has been told of, and that are not deleted yet.
        self._told: frozenset[tuple[int, int]] = frozenset()
        # A look has succeeded, so one in a transaction cannot fail and break it.
        self._proven = False
        #: Whether the store is the one that the database names.
        self.served = Served(cache, database)
        self._judged = 0.0
        self._looker = 0
        self._missing_since: float | None = None
        self._said: set[str] = set()
        self._recording = False

    # -- reads ---------------------------------------------------------------------------------

    def clear(self, transaction: Transaction, *, thorough: bool = False) -> bool:
        """Look at the journal where the last look is old; tells whether reads may be served now.

        Args:
            transaction: of the connection that reads.
            thorough: whether a connection is opened to look where that one cannot.
        """
        now = clock()
        if now < self.until:
            return True
        if self._in_flight or now < max(self._again, self._quiet):
            return False
        # One thread looks; the others go to the database meanwhile.
        if not self._looking.acquire(blocking=False):
            return False
        try:
            return self._look(transaction, thorough)
        finally:
            self._looking.release()

    def shown(self, transaction: Transaction) -> bool | None:
        """Look at the journal as a transaction sees it from now on.

        What is committed later is not of the state that the transaction sees: one look is enough.

        Returns:
            Whether the store knows of all that is in it; None when it was not looked at.
        """
        if self.private or not self._proven:
            return None
        connection = transaction.connection
        try:
            with journal.sparing(connection, inside=True):
                look = journal.look(connection)
                serving = self.served.judge(connection, look.named, autocommit=False)
        except journal.errors(connection):
            # Not to this role, or not just now.
            self._proven = False
            return None
        quiet = self._in_flight or clock() < self._quiet
        whole = not quiet and len(look.rows) < journal.MOST_ROWS
        return whole and serving is Serving.OURS and self._tell(look.rows)

    @property
    def unnamed(self) -> bool:
        """Whether the database can name the store as soon as a transaction is over."""
        return self.served.now is Serving.UNNAMED

    def expire(self, quiet: float = 0.0) -> None:
        """Have the journal read before anything is served again.

        Args:
            quiet: seconds from now on in which nothing is served at all.
        """
        with self._state:
            self._quiet = max(self._quiet, clock() + quiet)
            self._expire()

    def _expire(self) -> None:
        if not self.private:
            self._expired += 1
            self.until = self._again = 0.0

    def after_fork(self) -> None:
        """Forget what threads of the parent were doing when it forked."""
        self._state = threading.Lock()
        self._looking = threading.Lock()
        self._in_flight = self._looker = 0
        # A store within the process is another in each.
        self._judged = 0.0
        self._expire()

    def _look(self, transaction: Transaction, thorough: bool) -> bool:
        expired = self._expired
        started = clock()
        clear = False
        self._looker = threading.get_ident()
        try:
            with current(transaction, proven=self._proven, thorough=thorough) as connection:
                if connection is None:
                    return False
                # What another connection writes keeps an open transaction of SQLite from writing.
                alone = connection is not transaction.connection and connection.vendor != "sqlite"
                autocommit = alone or not transaction.open
                inside = connection is transaction.connection and transaction.open
                with journal.sparing(connection, inside=inside):
                    clear = self._read(connection, autocommit=autocommit)
        except journal.errors(transaction.connection) as error:
            self._proven = False
            self._say(
                "the journal of %s cannot be read, and nothing is served from the store: %s",
                transaction.connection.alias,
                error,
            )
        finally:
            self._looker = 0
            self._judged = started + LOOK_EVERY
        with self._state:
            if expired != self._expired or self._in_flight:
                return False
            self._recording = self._recording and not clear
            clear = clear and started >= self._quiet
            self._again = 0.0 if self.unnamed else started + LOOK_EVERY
            self.until = started + LOOK_EVERY if clear else 0.0
            return self.until > clock()

    def _read(self, connection: BaseDatabaseWrapper, *, autocommit: bool) -> bool:
        """Act upon what the database says; tells whether the store may be used for reads."""
        if not (self._proven or (journal.supported(connection) and journal.exists(connection))):
            self._missing(connection)
            return True
        while True:
            look = journal.look(connection)
            self._proven = True
            serving = self.served.judge(connection, look.named, autocommit=autocommit)
            if serving is None or serving is Serving.OTHER:
                return False
            if not self._take_in(connection, look.rows, autocommit=autocommit):
                return False
            if len(look.rows) < journal.MOST_ROWS:
                return serving is Serving.OURS

    def _take_in(
        self, connection: BaseDatabaseWrapper, rows: list[journal.Row], *, autocommit: bool
    ) -> bool:
        """Tell the store what the journal has; tells whether it knows, and has room for more."""
        if not rows:
            self._told = frozenset()
            return True
        if not self._tell(rows):
            return False
        over = {_name(row) for row in rows if not row.holder or row.age > ABANDONED}
        self._told |= over
        deleted = autocommit and over and self._delete(connection, over)
        return bool(deleted) or len(rows) < journal.MOST_ROWS

    def _tell(self, rows: list[journal.Row]) -> bool:
        names = {row.dependency for row in rows if _name(row) not in self._told}
        if not names:
            return True
        return self._cache.touch(self._database.stamp_keys(names))

    def _delete(self, connection: BaseDatabaseWrapper, rows: set[tuple[int, int]]) -> bool:
        try:
            journal.delete(connection, (key for key, _ in rows))
        except journal.errors(connection) as error:
            # Nothing is lost: they are there for the next look, or for another process.
            logger.debug("rows of the journal were not deleted: %s", error)
            return False
        self._told -= rows
        return True

    # -- the store -----------------------------------------------------------------------------

    def announces(self, transaction: Transaction) -> bool:
        """Tell whether readers of the database hear of writes that this process's store is told of.

        Looks where the last look is old, so it comes before what is written can be committed.
        """
        due = clock() >= self._judged and not (self.private or self._cache.breaker.down)
        # A receiver of `connection_created` may write.
        if due and self._looker != threading.get_ident():
            with self._looking:
                if clock() >= self._judged:
                    self._look(transaction, thorough=True)
        return not self.served.elsewhere

    def was_moved(self, transaction: Transaction) -> bool:
        """Tell whether another store serves the database by now.

        Args:
            transaction: of a connection on which nothing may be begun.
        """
        try:
            with journal.apart(transaction.connection) as other, self._looking:
                autocommit = other.vendor != "sqlite"
                self._proven = self._read(other, autocommit=autocommit) or self._proven
        except journal.errors(transaction.connection) as error:
            logger.debug("whether the database was moved cannot be told: %s", error)
        return self.served.elsewhere

    # -- writes --------------------------------------------------------------------------------

    def record(
        self, transaction: Transaction, tables: frozenset[str], moment: journal.Moment
    ) -> journal.Recorded | None:
        """Write down a write that the store could not be told of, before it can commit.

        Returns:
            What `over` takes; None where it could not be written down.
        """
        connection = transaction.connection
        if self.private or not journal.supported(connection):
            return None
        holder = "" if moment is journal.Moment.COMMIT else secrets.token_hex(16)
        with self._state:
            self._in_flight += 1
            self._expire()
        try:
            if moment is not journal.Moment.ALONE:
                journal.record_inside(connection, tables, holder)
            elif transaction.open:
                # It does not wait for the open transaction, nor may its row.
                with journal.apart(connection) as other:
                    journal.record(other, tables, holder)
            else:
                journal.record(connection, tables, holder)
        except journal.errors(connection) as error:
            self._landed()
            self._say_unwritten(connection, error)
            return None
        if not self._recording:
            self._recording = True
            logger.warning(
                "writes that the store cannot be told of go into the journal of %s",
                connection.alias,
            )
        return journal.Recorded(holder)

    def over(self, transaction: Transaction, recorded: journal.Recorded) -> None:
        """Note that a write that was recorded is over, whatever became of it."""
        try:
            if recorded.holder:
                self._resolve(transaction, recorded.holder)
        finally:
            self._landed()

    def record_after(self, transaction: Transaction, tables: frozenset[str]) -> bool:
        """Write down what has been committed already; tells whether that went well."""
        connection = transaction.connection
        if self.private or not journal.supported(connection):
            return False
        try:
            # Autocommit may still be off, and what is open now is not to be committed.
            with journal.apart(connection) as other:
                journal.record(other, tables, "")
        except journal.errors(connection) as error:
            self._say_unwritten(connection, error)
            return False
        self.expire()
        return True

    def _landed(self) -> None:
        with self._state:
            self._in_flight -= 1
            self._expire()

    def _resolve(self, transaction: Transaction, holder: str) -> None:
        connection = transaction.connection
        try:
            if connection.connection is not None and (
                not transaction.open or connection.vendor == "sqlite"
            ):
                journal.resolve(connection, holder)
            else:
                with journal.apart(connection) as other:
                    journal.resolve(other, holder)
        except journal.errors(connection) as error:
            logger.warning(
                "rows of the journal of %s keep the name of a write that is over, and its tables"
                " are hardly cached for an hour: %s",
                connection.alias,
                error,
            )

    # -- the log -------------------------------------------------------------------------------

    def _missing(self, connection: BaseDatabaseWrapper) -> None:
        self.served.now = Serving.OURS
        if self._missing_since is None:
            self._missing_since = clock()
        if self._cache.journals and clock() - self._missing_since >= MISSING_FOR:
            self._say(
                "%s has no table %s: writes that the store cannot be told of are remembered by"
                " this process alone; run `manage.py migrate`",
                connection.alias,
                journal.JOURNAL,
            )

    def _say_unwritten(self, connection: BaseDatabaseWrapper, error: Exception) -> None:
        self._say(
            "the journal of %s cannot be written: writes that the store cannot be told of are"
            " remembered by this process alone: %s",
            connection.alias,
            error,
        )

    def _say(self, message: str, *args: object) -> None:
        """Log an error, once for each message."""
        if message not in self._said:
            self._said.add(message)
            logger.error(message, *args)


def _name(row: journal.Row) -> tuple[int, int]:
    # Keys begin anew where a table was emptied.
    return row.id, row.written

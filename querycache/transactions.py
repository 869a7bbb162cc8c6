"""What a connection has written and seen: its open transaction, its savepoints, its own overlay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from querycache.changes import merged, table_of
from querycache.dependencies import Database
from querycache.drivers import BEGUN, IDLE, answers_early, begins_before, releases_commit
from querycache.journal import Moment
from querycache.keys import EVERYTHING
from querycache.overlay import Overlay
from querycache.plans import Effect
from querycache.rawsql import Kind, Statement
from querycache.savepoints import Savepoints
from querycache.session import Session
from querycache.snapshots import Snapshot, begun_by_hand, takes_no_state
from querycache.writes import Write, run_alone, run_inside, send_if_usable

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    from querycache.ahead import Ahead
    from querycache.cache import QueryCache
    from querycache.compiled import Texts
    from querycache.values import Replica

Result = TypeVar("Result")


class Transaction:
    """The state of one Django connection.

    Args:
        connection: Django's wrapper.
        cache: where writes are announced.
        database: what is known of the database.
        session: of the driver connection.
    """

    __slots__ = (
        "_savepoints",
        "_serial",
        "atomic",
        "cache",
        "changes",
        "connection",
        "database",
        "doubtful",
        "manual",
        "noted",
        "overlay",
        "replica",
        "serves",
        "session",
        "snapshot",
        "tenant",
        "texts",
        "tracks",
        "unannounced",
        "written",
    )

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        cache: QueryCache,
        database: Database,
        session: Session,
    ) -> None:
        self.connection = connection
        self.cache = cache
        self.database = database
        self.session = session
        #: Table → serial of the open transaction's latest write to it. Serials are never used
        #: twice, so putting an earlier dict back (a rollback to a savepoint) also brings back what
        #: was seen then and nothing that was seen since.
        self.written: dict[str, int] = {}
        #: What is announced at the commit: those tables, or which of their rows.
        self.changes: frozenset[str] = frozenset()
        #: Whether reads of this alias are cached, and whether its writes matter: `DATABASES`.
        self.serves = self.tracks = True
        #: Texts of queries that were compiled before; None where all are made anew.
        self.texts: Texts | None = None
        #: What the database follows, and how far behind; None: it is the one that is written.
        self.replica: Replica | None = None
        #: Tells the tenant, see `CONTEXT`; None where the project has none.
        self.tenant: Callable[[BaseDatabaseWrapper], Any] | None = None
        #: A transaction was begun by a raw BEGIN.
        self.manual = False
        #: Nobody can tell whether the transaction is still open.
        self.doubtful = False
        #: It was begun by Django's `atomic`, which turns autocommit on again when it is over.
        self.atomic = False
        #: Tables of commits whose signals wait until receivers can use the connection.
        self.unannounced: list[frozenset[str]] = []
        self._serial = count(1)
        #: The latest serial: tells whether a thread that shares the connection has written.
        self.noted = 0
        self._savepoints = Savepoints()
        #: What only the open transaction may see.
        self.overlay = Overlay()
        #: What is known of the one state that the open transaction sees, if it sees one.
        self.snapshot = Snapshot()

    def adopt(self, old: Transaction) -> None:
        """Go on with what an earlier configuration knew of the open transaction."""
        self.written = old.written
        self.changes = old.changes
        self.manual = old.manual
        self.doubtful = old.doubtful
        self.atomic = old.atomic
        self.unannounced = old.unannounced
        self._serial = old._serial
        self.noted = old.noted
        self._savepoints = old._savepoints
        # What it knows is of another store's clock.
        self.snapshot.lose()

    @property
    def open(self) -> bool:
        """Whether statements run in a transaction."""
        connection = self.connection
        driver = connection.connection
        if driver is None or connection.closed_in_transaction:
            return connection.in_atomic_block
        if connection.vendor == "sqlite":
            # The driver knows, also of a COMMIT within Django's atomic() and of the rollback that
            # some errors bring; with an isolation level it begins transactions by itself.
            return driver.in_transaction or (
                not connection.autocommit and driver.isolation_level is not None
            )
        return not connection.autocommit or self.manual or self.session.autocommit_off

    @property
    def changes_schema(self) -> bool:
        """Whether the open transaction may see another schema than others do."""
        return EVERYTHING in self.written

    # -- own writes ----------------------------------------------------------------------------

    def has_written(self, tables: Iterable[str]) -> bool:
        """Tell whether the open transaction has written any of the tables."""
        return not self.written.keys().isdisjoint(tables)

    def marks(self, tables: Iterable[str]) -> tuple[int, ...]:
        """Return the transaction's own state of each table."""
        written = self.written
        return tuple(written.get(table, 0) for table in tables)

    # -- statements ----------------------------------------------------------------------------

    def run(
        self,
        effect: Effect,
        sql: str | None,
        params: Any,
        orm: bool,
        execute: Callable[[], Result],
        wrapper: CursorWrapper,
        ahead: Ahead | None = None,
    ) -> Result:
        """Run a statement that does more than return rows.

        Args:
            effect: what it does.
            sql: its text, None when it could not be told.
            params: its parameters.
            orm: whether a compiler of Django made it.
            execute: runs it.
            wrapper: Django's cursor, on which it runs.
            ahead: what was announced of it already.
        """
        writes, ddl = effect.changes(None if sql is None else params), effect.ddl
        if effect.drops and effect.drops <= self.session.surely_temporary:
            # DROP TABLE of a temporary one, which nobody else sees.
            writes, ddl = effect.drops, False
        if self.cache.ignores_raw and not orm and not ddl:
            writes = frozenset()
        vendor = self.connection.vendor
        inside = self.open
        if inside and vendor == "sqlite" and not self.connection.autocommit:
            inside = begins_before(self.connection, sql)
        later = vendor == "mysql" and answers_early(effect, sql)
        if effect.plain and writes:
            # As below, without all that there is to a statement which does more than this.
            self.snapshot.passes(self)
            if inside:
                result = run_inside(self, writes, execute)
            else:
                result = run_alone(self, writes, execute, wrapper, ahead, later=later)
            if self.open:
                self.note(writes)
            if self.unannounced:
                send_if_usable(self)
            return result
        takes = not takes_no_state(effect, sql, vendor)
        if takes:
            self.snapshot.passes(self)
        by_release = releases_commit(self.connection, atomic=self.atomic)
        if effect.commits(bool(self.written), by_release=by_release) or (effect.unclear and inside):
            self.note(writes)
            moment = Moment.ALONE
            if inside:
                moment = Moment.WITHIN if writes or effect.unclear else Moment.COMMIT
            with self.writing(writes | self.changes, moment, until=wrapper if later else None):
                result = execute()
        elif not writes:
            result = execute()
        elif inside or effect.begins:
            result = run_inside(self, writes, execute)
        else:
            result = run_alone(self, writes, execute, wrapper, ahead, later=later)
        for statement in effect.control:
            self._follow(statement, sql, params)
        if takes and effect.control:
            # A script may have ended one transaction and read in the next.
            self.snapshot.lose()
        elif effect.begins and not (inside and vendor == "postgresql"):
            # There it is a warning, and the state stays the one that is seen.
            self.snapshot = begun_by_hand(self, wrapper.cursor)
        if effect.unclear or effect.control:
            self._look_again(unclear=effect.unclear and inside)
        if writes and self.open:
            # For what others have seen on this connection meanwhile; and the script itself may have
            # ended one transaction and begun the next.
            self.note(writes)
        if effect.temporary or (effect.drops and self.session.temporary):
            self.session.made_temporary(effect, inside=inside)
        if ddl or EVERYTHING in writes:
            self.database.schema_changed()
        if self.unannounced:
            # Receivers may write, in what is no part of a transaction that is over.
            send_if_usable(self)
        return result

    def failed(self) -> None:
        """Take note that a statement failed, or a COMMIT."""
        # Some databases answer an error by rolling the whole transaction back; MySQL's DDL has
        # committed it before it fails.
        self.overlay.forget()
        if self.connection.vendor != "postgresql":
            self.snapshot.lose()
        if self.manual:
            self._look_again(unclear=True)

    def _look_again(self, *, unclear: bool) -> None:
        """Find out whether the transaction is still open.

        Args:
            unclear: whether it may have ended, as far as statements tell.
        """
        connection = self.connection
        driver = connection.connection
        if driver is None:
            return
        if connection.vendor == "sqlite":
            if not driver.in_transaction:
                self.over()
        elif connection.vendor == "postgresql":
            if driver.info.transaction_status == IDLE:
                self.over()
                if getattr(driver, "status", None) == BEGUN:
                    # psycopg 2 does not see a raw COMMIT: it sends no BEGIN before the next
                    # statement, which so commits by itself.
                    self._doubt()
            elif connection.autocommit:
                self.manual = True
        elif unclear:
            self._doubt()

    def _doubt(self) -> None:
        # Each write is announced by itself and with the next commit, and nothing is served.
        self.doubtful = True
        self.session.unknown_isolation = True
        self.snapshot.lose()
        self.overlay.forget()

    def note(self, changes: frozenset[str]) -> None:
        """Note a write of the open transaction."""
        serial = self.noted = next(self._serial)
        for change in changes:
            self.written[table_of(change)] = serial
        self.changes = merged(self.changes, changes)

    def begun(self) -> None:
        """Take note that a transaction may begin with the next statement."""
        self.snapshot = Snapshot()

    def _follow(self, statement: Statement, sql: str | None, params: Any) -> None:
        kind = statement.kind
        session = self.session
        unknown_isolation = session.unknown_isolation
        if statement.commits:
            self.over()
        if kind is Kind.CONSTRAINTS:
            self.overlay.forget()
        elif kind is Kind.SAVEPOINT:
            self._savepoints.made(statement.savepoint or "", self.written, self.changes)
        elif kind is Kind.ROLLBACK_TO:
            self._roll_back_to(statement.savepoint or "")
        elif kind is Kind.RELEASE:
            self._savepoints.released(statement.savepoint or "")
        elif kind is Kind.BEGIN:
            self.manual = True
            # MySQL's SET TRANSACTION stands before it. A driver that was given a level says it in
            # its own BEGIN, and nowhere else.
            session.unknown_isolation = (
                unknown_isolation or statement.isolation or session.driver_sets_isolation
            )
        elif kind is Kind.COMMIT or kind is Kind.ROLLBACK:
            self.over()
            if statement.chain:
                self.manual = True
                session.unknown_isolation = unknown_isolation
        elif statement.autocommit is not None:
            session.autocommit_off = not statement.autocommit
        elif kind is Kind.SESSION or "set_config" in statement.functions:
            session.changed(statement, sql or "", params, in_transaction=self.open)

    def _roll_back_to(self, name: str) -> None:
        found = self._savepoints.back_to(name)
        if found is None:
            # What was written stays written.
            self.overlay.forget()
            return
        self.written, self.changes = found.written, found.changes
        self.session.rolled_back()
        if self.connection.vendor == "mysql":
            # An engine that was not used before the savepoint gives its state up.
            self.snapshot.lose()
            self.overlay.forget()

    # -- commits -------------------------------------------------------------------------------

    @contextmanager
    def writing(
        self,
        tables: Iterable[str],
        moment: Moment = Moment.ALONE,
        *,
        until: CursorWrapper | None = None,
    ) -> Iterator[None]:
        """Announce a commit of writes to the tables before the block, and its end after it.

        Args:
            tables: what is committed.
            moment: what the block has to do with the open transaction.
            until: the cursor whose statement goes on after the block; None: none does.

        Raises:
            StoreUnavailable: it may not go on, see `ON_STORE_FAILURE`; the block does not run.
        """
        tables = frozenset(tables)
        if not tables:
            yield
            return
        write = Write(self, tables, moment)
        try:
            yield
        except BaseException as error:
            write.fail(error)
            raise
        if until is not None:
            self.session.cursors.finish_with(until, write.finish)
        else:
            write.end()

    def commit(self, commit: Callable[[], Result]) -> Result:
        """Commit through Django's own `_commit`, or by turning autocommit on."""
        try:
            with self.writing(self.changes, Moment.COMMIT):
                result = commit()
        except BaseException:
            # What was written stays written: SQLite keeps a transaction open whose COMMIT failed.
            self.failed()
            raise
        self.over()
        if self.unannounced:
            send_if_usable(self)
        if self.database.watch.unnamed:
            self.database.watch.clear(self)
        return result

    def over(self) -> None:
        """Forget the transaction: it was committed, rolled back or lost."""
        self.manual = self.doubtful = False
        if self.written:
            if EVERYTHING in self.written:
                self.database.schema_changed()
            self.written = {}
            self.changes = frozenset()
        self._savepoints.clear()
        self.overlay.forget()
        self.snapshot = Snapshot()
        self.session.transaction_over()

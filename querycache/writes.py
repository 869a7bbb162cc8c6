"""A write that is announced to everybody from before it commits until it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from querycache.changes import table_of
from querycache.drivers import may_go_on
from querycache.journal import Moment
from querycache.keys import ELSEWHERE
from querycache.leases import clock
from querycache.signals import invalidated

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

    from querycache.ahead import Ahead
    from querycache.journal import Recorded
    from querycache.leases import Lease
    from querycache.transactions import Transaction

Result = TypeVar("Result")


class Write:
    """A commit of writes to some tables, announced to everybody from now until its `end`.

    Args:
        transaction: of the connection that commits.
        tables: what is written.
        moment: what it has to do with the open transaction.
        ahead: what was announced of it already.

    Raises:
        StoreUnavailable: it may not go on, see `ON_STORE_FAILURE`.
    """

    __slots__ = ("_begun", "_keys", "_lease", "_recorded", "_tables", "_transaction")

    def __init__(
        self,
        transaction: Transaction,
        tables: frozenset[str],
        moment: Moment,
        ahead: Ahead | None = None,
    ) -> None:
        cache = transaction.cache
        watch = transaction.database.watch
        self._transaction = transaction
        self._tables = tables
        self._keys = transaction.database.stamp_keys(tables)
        self._lease: Lease | None = None
        self._recorded: Recorded | None = None
        self._begun = clock()
        if watch.announces(transaction):
            if ahead is not None:
                self._lease = ahead.take(self._keys)
            if self._lease is None:
                self._lease = cache.begin(self._keys)
        elif cache.strict:
            cache.refuse("the database is served by another store than querycache's here")
        if self._lease is None and cache.strict and cache.journals:
            self._recorded = watch.record(transaction, tables, moment)

    def end(self) -> None:
        """Announce that it is over, whatever became of it."""
        transaction = self._transaction
        cache = transaction.cache
        watch = transaction.database.watch
        if self._recorded is not None:
            # Whoever reads the journal tells the store; it is told now if that can be.
            if not watch.served.elsewhere:
                cache.told(self._keys, None)
            watch.over(transaction, self._recorded)
        else:
            tell(transaction, self._tables, self._keys, self._lease)
            if self._lease is not None and clock() - self._begun > cache.lease:
                self._look_back()
        if invalidated.receivers:
            announce(transaction, self._tables)

    def fail(self, error: BaseException) -> None:
        """Announce that it has failed, whatever became of it, and send the signal.

        Args:
            error: after some the database may go on, and commit whenever it is done.
        """
        keeper = self._transaction.cache.keeper
        lease = self._lease
        if (
            lease is not None
            and keeper.covers(lease)
            and may_go_on(self._transaction.connection, error)
        ):
            # Nobody will tell when it is over: the lease runs out, as if this process had died.
            keeper.release(lease)
            announce(self._transaction, self._tables)
        else:
            self.end()
        send_if_usable(self._transaction)

    def finish(self) -> None:
        """Announce that it is over, and send the signal."""
        self.end()
        send_if_usable(self._transaction)

    def _look_back(self) -> None:
        """Note a write that ran for so long that its database may name another store by now."""
        transaction = self._transaction
        watch = transaction.database.watch
        if watch.was_moved(transaction) and transaction.cache.journals:
            watch.record_after(transaction, self._tables)


def run_alone(
    transaction: Transaction,
    tables: frozenset[str],
    execute: Callable[[], Result],
    wrapper: CursorWrapper,
    ahead: Ahead | None,
    *,
    later: bool,
) -> Result:
    """Run a statement that writes and is a transaction of its own.

    Args:
        transaction: of the connection.
        tables: what it writes.
        execute: runs it.
        wrapper: Django's cursor, on which it runs.
        ahead: what was announced of it already.
        later: whether it may go on until its cursor is closed or used again.

    Raises:
        StoreUnavailable: it may not go on, see `ON_STORE_FAILURE`; it was not run.
    """
    write = Write(transaction, tables, Moment.ALONE, ahead)
    try:
        result = execute()
    except BaseException as error:
        write.fail(error)
        raise
    # SQLite's INSERT … RETURNING commits once its rows are fetched or its cursor is closed.
    returning = transaction.connection.vendor == "sqlite" and wrapper.description is not None
    if later or returning:
        transaction.session.cursors.finish_with(wrapper, write.finish)
    else:
        write.end()
    return result


def run_inside(
    transaction: Transaction, tables: frozenset[str], execute: Callable[[], Result]
) -> Result:
    """Run a statement that writes in the open transaction.

    Args:
        transaction: of the connection.
        tables: what it writes.
        execute: runs it.

    Raises:
        StoreUnavailable: it may not go on, see `ON_STORE_FAILURE`; it was not run.
    """
    # For a thread that shares the connection; `run` notes it again for what that has seen.
    transaction.note(tables)
    immediate = tables
    if not transaction.doubtful:
        immediate = transaction.database.immediate(transaction, tables)
    if not immediate:
        return execute()
    with transaction.writing(immediate):
        return execute()


def tell(
    transaction: Transaction,
    tables: frozenset[str],
    keys: Sequence[bytes],
    lease: Lease | None = None,
) -> None:
    """Tell the store of a write that is over; else whoever reads the journal; else remember it.

    Args:
        transaction: of the connection that wrote.
        tables: what was written.
        keys: of their stamps.
        lease: on their stamps, where there is one.
    """
    cache = transaction.cache
    watch = transaction.database.watch
    elsewhere = lease is None and watch.served.elsewhere
    if not elsewhere and cache.told(keys, lease):
        return
    # Readers on another store hear of it through the journal or not at all.
    recorded = cache.journals and watch.record_after(transaction, tables)
    if not (recorded or elsewhere):
        cache.owe(keys)


def announce(transaction: Transaction, tables: frozenset[str]) -> None:
    """Have the signal `invalidated` sent, once receivers may read and write.

    Args:
        transaction: of the connection that wrote.
        tables: what was written.
    """
    here = frozenset(table_of(table) for table in tables if not table.startswith(ELSEWHERE))
    transaction.unannounced.append(here)


def send_if_usable(transaction: Transaction) -> None:
    """Send the signals that wait, if receivers can use the connection."""
    connection = transaction.connection
    # `Atomic.__exit__` commits, and then turns autocommit on, which sends them. A query in between
    # would begin another transaction, in which autocommit cannot be turned on.
    if not transaction.atomic or connection.in_atomic_block or connection.autocommit:
        send(transaction)


def send(transaction: Transaction) -> None:
    """Send the signals that wait."""
    while transaction.unannounced:
        # The commit has happened, so an error of a receiver is none of the code that wrote; it
        # would keep Django from turning autocommit on. Django logs it.
        invalidated.send_robust(
            sender=type(transaction.cache),
            using=transaction.connection.alias,
            tables=transaction.unannounced.pop(0),
        )

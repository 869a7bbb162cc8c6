"""A write that is announced to everybody from before it commits until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from querycache.dependencies import ELSEWHERE
from querycache.signals import invalidated

if TYPE_CHECKING:
    from querycache.transactions import Transaction


class Write:
    """A commit of writes to some tables, announced to everybody from now until its `end`.

    Args:
        transaction: of the connection that commits.
        tables: what is written.

    Raises:
        StoreUnavailable: it may not go on, see `ON_STORE_FAILURE`.
    """

    __slots__ = ("_cache", "_keys", "_lease", "_tables", "_transaction")

    def __init__(self, transaction: Transaction, tables: frozenset[str]) -> None:
        self._cache = transaction.cache
        self._transaction = transaction
        self._tables = tables
        self._keys = transaction.database.stamp_keys(tables)
        self._lease = self._cache.begin(self._keys)

    def end(self) -> None:
        """Announce that it is over, whatever became of it."""
        self._cache.end(self._keys, self._lease)
        announce(self._transaction, self._tables)


def announce(transaction: Transaction, tables: frozenset[str]) -> None:
    """Send the signal `invalidated`, as soon as its receivers can use the connection."""
    if not invalidated.receivers:
        return
    here = frozenset(table for table in tables if not table.startswith(ELSEWHERE))
    transaction.unannounced.append(here)
    connection = transaction.connection
    if transaction.atomic and not connection.in_atomic_block and not connection.autocommit:
        # `Atomic.__exit__` commits. A query now would begin another transaction, in which
        # autocommit cannot be turned on again; the hooks of the commit run when it is.
        hooks: list[Any] = connection.run_on_commit
        hooks.insert(0, (set(), lambda: tell(transaction), True))
    else:
        tell(transaction)


def tell(transaction: Transaction) -> None:
    """Send the signals that wait."""
    while transaction.unannounced:
        # The commit has happened, so an error of a receiver is none of the code that wrote; it
        # would keep Django from turning autocommit on. Django logs it.
        invalidated.send_robust(
            sender=type(transaction.cache),
            using=transaction.connection.alias,
            tables=transaction.unannounced.pop(0),
        )

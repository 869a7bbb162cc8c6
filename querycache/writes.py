"""A write that is announced to everybody from before it commits until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    __slots__ = ("_cache", "_keys", "_lease", "_tables", "_using")

    def __init__(self, transaction: Transaction, tables: frozenset[str]) -> None:
        self._cache = transaction.cache
        self._using = transaction.connection.alias
        self._tables = tables
        self._keys = transaction.database.stamp_keys(tables)
        self._lease = self._cache.begin(self._keys)

    def end(self) -> None:
        """Announce that it is over, whatever became of it."""
        self._cache.end(self._keys, self._lease)
        if invalidated.receivers:
            invalidated.send(sender=type(self._cache), using=self._using, tables=self._tables)

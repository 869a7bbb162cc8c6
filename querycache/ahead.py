"""Writes that are announced while their statement is still being prepared.

A statement must not reach the database before the store has acknowledged its `begin`. What Django
does between making the text and sending it needs neither of the two, so a `begin` that is sent
first has its answer by the time when the statement is ready.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from querycache.leases import Lease
from querycache.stamps import TOKEN_BYTES
from querycache.stores.base import StoreError, StoreUnusable

if TYPE_CHECKING:
    from querycache.cache import QueryCache
    from querycache.transactions import Transaction


class Ahead:
    """A lease that was asked for and is not acknowledged yet.

    Args:
        cache: whose store was asked.
        lease: the lease.
        acknowledged: waits for the answer, see `Store.begin_ahead`.
    """

    __slots__ = ("_acknowledged", "_cache", "_lease", "_pending")

    def __init__(self, cache: QueryCache, lease: Lease, acknowledged: Callable[[], bool]) -> None:
        self._cache = cache
        self._lease = lease
        self._acknowledged = acknowledged
        self._pending = True

    def take(self, keys: Sequence[bytes]) -> Lease | None:
        """Wait for the lease and hold it; a write to these stamps may commit once it is returned.

        Args:
            keys: of the stamps that are written.

        Returns:
            None where it is on other stamps, or not in the store.
        """
        if not self._pending or self._lease.keys != keys:
            return None
        self._pending = False
        try:
            if self._acknowledged():
                self._cache.keeper.hold(self._lease)
                return self._lease
        except (StoreError, StoreUnusable) as error:
            self._cache.failed(error)
        return None

    def withdraw(self) -> None:
        """End the lease if nobody took it: the statement was not run."""
        if not self._pending:
            return
        self._pending = False
        try:
            if self._acknowledged():
                self._cache.store.end(self._lease.keys, self._lease.token)
        except (StoreError, StoreUnusable) as error:
            self._cache.failed(error)


def announce_ahead(transaction: Transaction, sql: str, params: Any) -> Ahead | None:
    """Send a `begin` for a statement that is about to be run, if it is a transaction of its own.

    Args:
        transaction: of the connection that it will be run on.
        sql: its text.
        params: its parameters.

    Returns:
        None where that is not known before it runs, or saves nothing.
    """
    cache = transaction.cache
    if not cache.strict or cache.breaker.down:
        return None
    database = transaction.database
    effect = database.effects.get(sql)
    if effect is None or not effect.plain or transaction.open or not transaction.tracks:
        return None
    try:
        store = cache.store
        if not store.begins_ahead or database.watch.served.elsewhere:
            return None
        lease = Lease(database.stamp_keys(effect.changes(params)), os.urandom(TOKEN_BYTES))
        acknowledged = store.begin_ahead(lease.keys, lease.token)
    except (StoreError, StoreUnusable) as error:
        cache.failed(error)
        return None
    return None if acknowledged is None else Ahead(cache, lease, acknowledged)

"""Which connection shows what is committed now, to a process that may be in a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections

from querycache import journal
from querycache.session import Isolation

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.transactions import Transaction


@contextmanager
def current(
    transaction: Transaction, *, proven: bool, thorough: bool
) -> Iterator[BaseDatabaseWrapper | None]:
    """Lend a connection on which a statement sees what is committed now, if there is one.

    Args:
        transaction: of the connection that asks.
        proven: whether querycache's tables are known to be there, so that reading them fails in no
            transaction.
        thorough: whether another connection is opened where this one is in a snapshot.
    """
    connection = transaction.connection
    if transaction.replica is not None:
        # It may be behind with its journal, too.
        with journal.apart(connections[transaction.replica.of]) as other:
            yield other
    elif journal.broken(connection) or (transaction.open and journal.held(transaction.written)):
        yield None
    elif _sees_commits(transaction, proven=proven):
        yield connection
    elif transaction.open and proven and not thorough:
        # A snapshot shows the journal of its beginning.
        yield None
    else:
        # So does SQLite while a cursor is being read.
        with journal.apart(connection) as other:
            yield other


def _sees_commits(transaction: Transaction, *, proven: bool) -> bool:
    """Tell whether a statement on the connection sees what is committed, and breaks nothing."""
    if not transaction.open:
        return not transaction.session.cursors.reading()
    if transaction.written and transaction.connection.vendor == "sqlite":
        # It holds the only lock for writing.
        return True
    return proven and transaction.session.isolation is Isolation.READ_COMMITTED

"""Questions that the library asks a database on its own account, on a connection of the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from django.utils.asyncio import async_unsafe

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Where a connection keeps the state that the library has of it, a `Transaction`.
STATE = "_querycache"


def connect(connection: BaseDatabaseWrapper) -> None:
    """Connect as a cursor of Django's does, and be refused where one would be.

    Test cases that may not use a database refuse a cursor in other words than a bare connection.
    """
    if connection.connection is None:
        connection.cursor().close()


# As Django's own cursors: what an event loop may not do is refused before anything is tried.
@async_unsafe
@contextmanager
def question(connection: BaseDatabaseWrapper) -> Iterator[Any]:
    """Open a driver's cursor, past Django's: no log, no count, nothing that tests would see.

    Args:
        connection: Django's wrapper, which is connected if need be.

    In a transaction that sees one state it is a statement like any other: the database may take
    that state with it.
    """
    connect(connection)
    state = connection.__dict__.get(STATE)
    if state is not None:
        state.snapshot.passes(state)
    with closing(connection.create_cursor()) as cursor:
        yield cursor

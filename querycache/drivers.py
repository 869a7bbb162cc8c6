"""What databases' drivers do by themselves, and what they do not wait for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from querycache.keys import EVERYTHING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.plans import Effect

#: States of libpq's connections, which psycopg 2 and 3 hand on: no transaction is open, it waits
#: for the server, it knows nothing of the server.
IDLE: Final = 0
_ACTIVE: Final = 1
_UNKNOWN: Final = 4

#: `STATUS_BEGIN`, which only psycopg 2 has.
BEGUN: Final = 2

#: Statements before which Python's sqlite3 begins a transaction while autocommit is off. It skips
#: comments, too, and what stands behind one is better taken for another statement.
_BEGUN_BEFORE = re.compile(r"[ \t\f\r\n]*(?:insert|update|delete|replace)\b", re.IGNORECASE)

#: What MySQL's drivers raise when the connection was lost or given up, and the server is not told.
_LOST = frozenset({2006, 2013, 2055})


def begins_before(connection: BaseDatabaseWrapper, sql: str | None) -> bool:
    """Tell whether SQLite runs a statement in a transaction while autocommit is off.

    Args:
        connection: of SQLite.
        sql: the text, None when it could not be told.
    """
    driver: Any = connection.connection
    return driver is None or driver.in_transaction or bool(sql and _BEGUN_BEFORE.match(sql))


def releases_commit(connection: BaseDatabaseWrapper, *, atomic: bool) -> bool:
    """Tell whether releasing a savepoint may be a commit.

    On SQLite the first savepoint begins a transaction where none is open, and its release commits.

    Args:
        connection: Django's wrapper.
        atomic: whether Django's `atomic` has begun the open transaction, with BEGIN; it does not
            where autocommit was off before.
    """
    return connection.vendor == "sqlite" and (connection.autocommit or not atomic)


def answers_early(effect: Effect, sql: str | None) -> bool:
    """Tell whether MySQL may still be at a statement whose first result is here.

    Its drivers wait for the other results of a script, or of a procedure, when these are asked for.

    Args:
        effect: what the statement does.
        sql: its text, None when it could not be told.
    """
    if sql is None or effect.unclear or ";" in sql:
        return True
    # DDL has one result; a cursor that ran it may be kept for long.
    return EVERYTHING in effect.writes and not effect.ddl


def may_go_on(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Tell whether the server may still be at what has raised an error here.

    Args:
        connection: Django's wrapper.
        error: what was raised.
    """
    if connection.vendor == "postgresql":
        driver: Any = connection.connection
        return driver is None or driver.info.transaction_status in (_ACTIVE, _UNKNOWN)
    if connection.vendor == "mysql":
        return bool(error.args) and error.args[0] in _LOST
    return False

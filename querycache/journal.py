"""The statements on querycache's own tables in a cached database.

All of them go to the driver, past Django's cursors: they are not tracked, not cached, and show up
in no query log. Each is one short statement in the SQL that PostgreSQL, MariaDB, MySQL and SQLite
share; only their clocks are spelled differently.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from sqlite3 import SQLITE_BUSY, SQLITE_LOCKED
from typing import TYPE_CHECKING, Any

from django.db import Error as DjangoError

from querycache.changes import table_of
from querycache.keys import ELSEWHERE, EVERYTHING
from querycache.questions import connect

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

JOURNAL = "querycache_journal"
STORE = "querycache_store"

#: Rows that one look brings; a longer journal is read in several.
MOST_ROWS = 5000
# Values in one statement: old SQLite takes 999.
_MOST_VALUES = 400
_LONGEST_NAME = 255

# `PQTRANS_INERROR` of libpq, which psycopg 2 and 3 hand on.
_IN_ERROR = 3

# ms since 1970, by the database's clock at the statement and not at the transaction's begin.
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS integer)",
}

# Both of them: where DDL commits by itself, one is there before the other.
_EXISTS = {
    "postgresql": "SELECT 1 WHERE to_regclass('querycache_journal') IS NOT NULL"
    " AND to_regclass('querycache_store') IS NOT NULL",
    "mysql": "SELECT 1 FROM DUAL WHERE 2 = (SELECT COUNT(*) FROM information_schema.tables"
    " WHERE table_schema = DATABASE()"
    " AND table_name IN ('querycache_journal', 'querycache_store'))",
    "sqlite": "SELECT 1 WHERE 2 = (SELECT COUNT(*) FROM sqlite_master"
    " WHERE name IN ('querycache_journal', 'querycache_store'))",
}


class Moment(enum.Enum):
    """When a write is announced, seen from the open transaction."""

    COMMIT = "the next statement commits it and does nothing else"
    WITHIN = "the next statement may commit it, and writes"
    ALONE = "the next statement writes and is no part of any"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A write that is in the journal.

    Args:
        holder: its name while it is not over; empty where its rows are part of its transaction.
    """

    holder: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the journal.

    Args:
        id: its key.
        dependency: what was written, as `Database.stamp_key` takes it.
        holder: empty, or the name of the writer while the write may still be to come.
        written: when, in ms since 1970 by the database's clock; keys may be used again.
        age: in ms, by the same clock.
    """

    id: int
    dependency: str
    holder: str
    written: int
    age: int


@dataclass(frozen=True, slots=True)
class Named:
    """The store that a database names as the one that serves it.

    Args:
        store: what the store says it is, see `Store.identity`.
        label: where it was said to be.
        seen: when a process that uses it was last here, in ms since 1970 by the database's clock.
        unseen: ms since then.
        moved: ms since the database was moved to it, very many where it has had no other.
    """

    store: str
    label: str
    seen: int
    unseen: int
    moved: int


@dataclass(frozen=True, slots=True)
class Look:
    """What one look finds.

    Args:
        named: the store; None where the database names none yet.
        rows: of the journal.
    """

    named: Named | None
    rows: list[Row]


def errors(connection: BaseDatabaseWrapper) -> tuple[type[Exception], ...]:
    """Return what a statement raises: the driver's own errors, and Django's where it connects."""
    return (connection.Database.Error, DjangoError)  # type: ignore[attr-defined]


def is_busy(error: Exception) -> bool:
    """Tell whether a statement failed since another connection holds SQLite's only lock."""
    # The upper bytes say more than that.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (SQLITE_BUSY, SQLITE_LOCKED)


def supported(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether querycache can use tables of its own in this kind of database."""
    return connection.vendor in _NOW


def broken(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the open transaction can do nothing but be rolled back."""
    if connection.vendor == "postgresql" and connection.connection is not None:
        return bool(connection.connection.info.transaction_status == _IN_ERROR)
    return connection.needs_rollback


def held(written: Iterable[str]) -> bool:
    """Tell whether who reads our tables may have to wait for a transaction that has written these.

    `flush` is one. A look from another connection would then wait for its own process, for ever.
    """
    return any(table == EVERYTHING or table.startswith("querycache_") for table in written)


@contextmanager
def sparing(connection: BaseDatabaseWrapper, *, inside: bool) -> Iterator[None]:
    """Have an error in the block leave the open transaction as it is.

    Another role, or another search path, may not see the tables that are there for others.

    Args:
        connection: on which the block reads.
        inside: whether a transaction of somebody else's is open on it.
    """
    if inside and connection.vendor == "postgresql":
        with _savepoint(connection):
            yield
    else:
        yield


def exists(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the tables are there; fails in no transaction but a broken one."""
    return bool(_all(connection, _EXISTS[connection.vendor]))


def look(connection: BaseDatabaseWrapper) -> Look:
    """Return the store, and the journal: writes that are over first, `MOST_ROWS` at most."""
    now = _NOW[connection.vendor]
    found = _all(
        connection,
        f"SELECT s.store, s.label, s.seen, {now} - s.seen, {now} - s.since,"  # noqa: S608
        f" j.id, j.dependency, j.holder, j.written, {now} - j.written"
        f" FROM (SELECT 1 AS one) o LEFT JOIN {STORE} s ON s.id = o.one"
        f" LEFT JOIN {JOURNAL} j ON o.one = 1"
        f" ORDER BY j.holder, j.id LIMIT {MOST_ROWS}",
    )
    return Look(
        None if found[0][0] is None else Named(*found[0][:5]),
        [Row(*row[5:]) for row in found if row[5] is not None],
    )


def claim(connection: BaseDatabaseWrapper, store: str, label: str) -> None:
    """Name the store that serves a database which names none yet.

    Fails where another process was quicker, and at once where one holds SQLite's only lock.
    """
    now = _NOW[connection.vendor]
    with _impatient(connection):
        _run(
            connection,
            f"INSERT INTO {STORE} (id, store, label, seen, since)"  # noqa: S608
            f" VALUES (1, %s, %s, {now}, 0)",
            [store, label],
        )


def renew(connection: BaseDatabaseWrapper, named: Named) -> None:
    """Note that the store is in use; fails at once where a writer holds SQLite's only lock."""
    now = _NOW[connection.vendor]
    with _impatient(connection):
        _run(
            connection,
            f"UPDATE {STORE} SET seen = {now} WHERE id = 1 AND store = %s",  # noqa: S608
            [named.store],
        )


def move(
    connection: BaseDatabaseWrapper, named: Named, store: str, label: str, *, fresh: bool
) -> bool:
    """Name another store; tells whether the row was still as it was found.

    Args:
        connection: in autocommit.
        named: what the row was found to be.
        store: the other.
        label: where it is.
        fresh: whether nothing can be on its way to the old one.
    """
    now = _NOW[connection.vendor]
    with closing(connection.create_cursor()) as cursor:
        cursor.execute(
            f"UPDATE {STORE} SET store = %s, label = %s, seen = {now},"  # noqa: S608
            f" since = {'0' if fresh else now} WHERE id = 1 AND store = %s AND seen = %s",
            [store, label, named.store, named.seen],
        )
        return bool(cursor.rowcount == 1)


def forget_store(connection: BaseDatabaseWrapper) -> None:
    """Have the database name no store."""
    if supported(connection) and exists(connection):
        _run(connection, f"DELETE FROM {STORE}")  # noqa: S608


def record(connection: BaseDatabaseWrapper, dependencies: Iterable[str], holder: str) -> None:
    """Write down a write that the store does not know of.

    Args:
        connection: in autocommit, or in the transaction that the rows are to be part of.
        dependencies: what is written.
        holder: see `Row`.
    """
    values = f"(%s, %s, {_NOW[connection.vendor]})"
    for table, names in _tables(connection, dependencies).items():
        for part in _parts(sorted(names)):
            _run(
                connection,
                f"INSERT INTO {table} (dependency, holder, written)"  # noqa: S608
                f" VALUES {', '.join([values] * len(part))}",
                [value for name in part for value in (name, holder)],
            )


def record_inside(
    connection: BaseDatabaseWrapper, dependencies: Iterable[str], holder: str
) -> None:
    """Do what `record` does in an open transaction, which goes on as it was where that fails."""
    with _savepoint(connection):
        record(connection, dependencies, holder)


def resolve(connection: BaseDatabaseWrapper, holder: str) -> None:
    """Note that a writer is done: nothing more comes, and whoever reads its rows deletes them."""
    _run(connection, f"UPDATE {JOURNAL} SET holder = '' WHERE holder = %s", [holder])  # noqa: S608


def delete(connection: BaseDatabaseWrapper, ids: Iterable[int]) -> None:
    """Delete these rows and no others; two who do so at once do no harm.

    Where a writer holds SQLite's only lock it fails at once, since a reader is waiting.
    """
    with _impatient(connection):
        for part in _parts(sorted(ids)):
            marks = ", ".join(["%s"] * len(part))
            _run(connection, f"DELETE FROM {JOURNAL} WHERE id IN ({marks})", part)  # noqa: S608


@contextmanager
def apart(
    connection: BaseDatabaseWrapper, name: str | None = None
) -> Iterator[BaseDatabaseWrapper]:
    """Lend another connection to the same database, closed when the block ends.

    Args:
        connection: whose transaction must not be part of what is done.
        name: of another database on the same server.
    """
    other = connection.copy()
    # One that is not taken from a pool, which may have none left while this one is in use.
    options = other.settings_dict.get("OPTIONS")
    if isinstance(options, dict):
        options.pop("pool", None)
    if name is not None:
        other.settings_dict["NAME"] = name
    try:
        other.ensure_connection()
        yield other
    finally:
        other.close()


def _tables(connection: BaseDatabaseWrapper, dependencies: Iterable[str]) -> dict[str, set[str]]:
    """Return which journal takes what: tables of another database are noted in that one's."""
    found: dict[str, set[str]] = defaultdict(set)
    # Other programs read these names: a table's, whichever of its rows have changed.
    for name in map(table_of, dependencies):
        table = JOURNAL
        if name.startswith(ELSEWHERE):
            schema, name = name[1:].split(ELSEWHERE)
            table = f"{connection.ops.quote_name(schema)}.{JOURNAL}"
        found[table].add(name if len(name) <= _LONGEST_NAME else EVERYTHING)
    return found


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _MOST_VALUES):
        yield values[start : start + _MOST_VALUES]


@contextmanager
def _savepoint(connection: BaseDatabaseWrapper) -> Iterator[None]:
    _run(connection, f"SAVEPOINT {JOURNAL}")
    try:
        yield
    except errors(connection):
        _run(connection, f"ROLLBACK TO SAVEPOINT {JOURNAL}")
        raise
    finally:
        _run(connection, f"RELEASE SAVEPOINT {JOURNAL}")


def _run(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any] | None = None) -> None:
    connect(connection)
    with closing(connection.create_cursor()) as cursor:
        cursor.execute(sql, params)


def _all(connection: BaseDatabaseWrapper, sql: str) -> Sequence[Any]:
    connect(connection)
    with closing(connection.create_cursor()) as cursor:
        cursor.execute(sql, None)
        rows: Sequence[Any] = cursor.fetchall()
    return rows


@contextmanager
def _impatient(connection: BaseDatabaseWrapper) -> Iterator[None]:
    if connection.vendor != "sqlite":
        yield
        return
    [(patience,)] = _all(connection, "PRAGMA busy_timeout")
    _run(connection, "PRAGMA busy_timeout = 0")
    try:
        yield
    finally:
        with suppress(*errors(connection)):
            _run(connection, f"PRAGMA busy_timeout = {int(patience)}")

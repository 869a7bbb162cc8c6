"""Which queries and writes are about certain rows of a table, as text and schema prove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from querycache.catalogue import INSERT, UPDATE, Catalogue, Change, KeyColumn
from querycache.changes import (
    ANY,
    MOST_COLUMNS,
    MOST_NAMED,
    MOST_REFERENCES,
    MOST_ROWS,
    column_of,
)
from querycache.rawsql import Kind, Statement
from querycache.rawsql.columns import columns_set
from querycache.rawsql.inserted import inserted
from querycache.rawsql.keyed import keyed_by
from querycache.rawsql.outlines import Rows, outline
from querycache.rawsql.witnesses import witnessing
from querycache.rows import Keyed, Reference, Refined


def rows_read(
    catalogue: Catalogue, statement: Statement, sql: str, vendor: str, tables: Iterable[str]
) -> Keyed | None:
    """Tell which rows of its only table a query reads.

    Args:
        catalogue: of the database.
        statement: what the text says.
        sql: the text.
        vendor: `connection.vendor`.
        tables: everything that the query depends on.

    Returns:
        None where it may read any row.
    """
    if statement.functions or statement.qualifiers or len(statement.reads) != 1:
        return None
    # A view, a partition and a table whose policy reads others depend on more.
    if statement.reads != frozenset(tables):
        return None
    (table,) = statement.reads
    return _keyed(catalogue, sql, vendor, table) or _referring(catalogue, sql, vendor, table)


class MadeOf(NamedTuple):
    """What is known of the result of a query from what its text names.

    Args:
        columns: by table, where it depends on no others of them; of other tables any may matter.
        rows: which rows of a table it is made of, where it says so and depends on others only in
            as far as they could be among them.
        witness: the text that has it say so, where its own does not.
    """

    columns: Mapping[str, frozenset[str]]
    rows: Rows | None
    witness: str | None = None


ANYTHING = MadeOf({}, None)


def made_of(
    catalogue: Catalogue,
    statement: Statement,
    sql: str,
    vendor: str,
    tables: Iterable[str],
    keyed: Keyed | None,
) -> MadeOf:
    """Tell which columns and rows of tables the result of a query depends on.

    Args:
        catalogue: of the database.
        statement: what the text says.
        sql: the text.
        vendor: `connection.vendor`.
        tables: everything that the query depends on.
        keyed: what `rows_read` tells of it.
    """
    if keyed is not None and keyed.reference is None:
        return ANYTHING
    if statement.qualifiers or statement.reads != frozenset(tables):
        return ANYTHING
    facts = catalogue.facts
    known = {
        table: facts.columns[table]
        for table in tables
        if table in facts.columns and _has_rows(catalogue, table)
    }
    keys = {table: facts.primary_keys[table].column for table in known}
    found = outline(sql, vendor, keys) if known else None
    if found is None:
        return ANYTHING
    few = {
        table: names
        for table, names in found.columns.items()
        if len(names) <= MOST_NAMED and names <= known.get(table, frozenset())
    }
    # Rows that refer to others do without the stamp of new rows, which columns need.
    columns = few if found.certain and keyed is None else {}
    rows = found.rows
    if rows is not None and rows.witness:
        witness = witnessing(sql, facts.primary_keys[rows.table].column)
        return MadeOf(columns, rows if witness else None, witness)
    if rows is None or rows.table in columns or len(rows.columns) > MOST_NAMED:
        return MadeOf(columns, None)
    return MadeOf(columns, rows if rows.columns <= known[rows.table] else None)


def rows_written(
    catalogue: Catalogue,
    statement: Statement,
    sql: str,
    vendor: str,
    changes: frozenset[Change],
) -> Refined | None:
    """Tell which rows of its only table a statement writes.

    Args:
        catalogue: of the database.
        statement: what the text says.
        sql: the text.
        vendor: `connection.vendor`.
        changes: what the statement changes itself.

    Returns:
        None where it may change any row, or the database may answer with such a change.
    """
    plain = statement.kind is Kind.WRITE and not (
        statement.everything
        or statement.reads
        or statement.functions
        or statement.qualifiers
        or statement.temporary
        or len(statement.writes) != 1
    )
    if not plain:
        return None
    (table,) = statement.writes
    if not _has_rows(catalogue, table):
        return None
    answered = catalogue.answered(changes)
    if answered is None or table in answered:
        return None
    if not (statement.updates or statement.deletes):
        if statement.inserts != statement.writes:
            return None
        return _new(catalogue, sql, vendor, table)
    if statement.inserts:
        # A row that was there may have been changed or replaced.
        return None
    if statement.updates and _triggered(catalogue, table, UPDATE):
        # It may give the row another key.
        return None
    keyed = _keyed(catalogue, sql, vendor, table)
    if keyed is None:
        return None
    columns = columns_set(sql, vendor) if statement.updates else None
    if columns is None or len(columns) > MOST_COLUMNS:
        return Refined(table, keyed, columns=frozenset({f"{table}{ANY}"}))
    return Refined(table, keyed, columns=frozenset(column_of(table, one) for one in columns))


def _has_rows(catalogue: Catalogue, table: str) -> bool:
    """Tell whether rows of a table can be told apart, and it is no more than a table."""
    facts = catalogue.facts
    return (
        table in facts.primary_keys
        and table not in facts.relations
        and table not in facts.untransacted
        and table not in catalogue.depends
    )


def _keyed(catalogue: Catalogue, sql: str, vendor: str, table: str) -> Keyed | None:
    if not _has_rows(catalogue, table):
        return None
    key = catalogue.facts.primary_keys[table]
    found = keyed_by(sql, vendor, table, key.column, MOST_ROWS)
    return None if found is None else Keyed(table, key.kind, *found)


def _triggered(catalogue: Catalogue, table: str, event: str) -> bool:
    """Tell whether a row may become another than the statement says."""
    return any(
        action.kind in ("trigger", "rule") and event in action.events
        for action in catalogue.facts.actions.get(table, ())
    )


def _references(catalogue: Catalogue, table: str) -> tuple[KeyColumn, ...]:
    key = catalogue.facts.primary_keys[table]
    found = tuple(one for one in catalogue.facts.references.get(table, ()) if one != key)
    return found if len(found) <= MOST_REFERENCES else ()


def _referring(catalogue: Catalogue, sql: str, vendor: str, table: str) -> Keyed | None:
    if not _has_rows(catalogue, table):
        return None
    for column, kind in _references(catalogue, table):
        found = keyed_by(sql, vendor, table, column, MOST_ROWS)
        if found is not None:
            return Keyed(table, kind, *found, reference=column)
    return None


def _new(catalogue: Catalogue, sql: str, vendor: str, table: str) -> Refined:
    columns = _references(catalogue, table)
    if not columns:
        return Refined(table, None)
    # Where they are not told, they may be rows of any list of those that refer to others.
    unknown = frozenset({f"{table}{ANY}"})
    if not _triggered(catalogue, table, INSERT):
        names = [column for column, _ in columns]
        found = inserted(sql, vendor, table, names, MOST_ROWS)
        if found is not None:
            references = (
                Reference(column, kind, places)
                for (column, kind), places in zip(columns, found.places, strict=True)
            )
            return Refined(table, None, tuple(references), found.total, unknown)
    return Refined(table, None, columns=unknown)

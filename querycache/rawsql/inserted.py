"""Statements that make new rows, and say with parameters what is in some of their columns.

Only the ORM's plainest shape: ``INSERT INTO table (column, …) VALUES (%s, …), …`` where every value
is a placeholder. Whatever else there is may put other values into the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from querycache.sqltokens import OPERATOR, PARAM, QUOTED, WORD, Tokens, countable, table_name

_NEXT_ROW = "), ("
_OPEN, _CLOSE = (OPERATOR, "("), (OPERATOR, ")")
_PLAIN = ((WORD, "insert"), (WORD, "into"), _OPEN, (WORD, "values"), _OPEN, _CLOSE)


class Places(NamedTuple):
    """Where values stand among the parameters.

    Args:
        places: of each column that was asked for, one for each row.
        total: how many parameters the statement has.
    """

    places: tuple[tuple[int, ...], ...]
    total: int


def inserted(sql: str, vendor: str, table: str, columns: Sequence[str], most: int) -> Places | None:
    """Tell which parameters are the values of columns in new rows.

    Args:
        sql: one statement with placeholders ``%s``.
        vendor: Django's `connection.vendor`.
        table: that it is about, as `table_name` gives it.
        columns: of the table, as the database's catalogue spells them.
        most: rows at most.

    Returns:
        None where that cannot be told for each of the columns.
    """
    tokens = countable(sql, vendor)
    named = None if tokens is None else _named(tokens, table)
    if named is None:
        return None
    names, run = named
    if vendor != "postgresql":
        names, columns = [_folded(name) for name in names], [_folded(name) for name in columns]
    rows = run.split(_NEXT_ROW)
    width = len(names)
    total = run.count("%s")
    plain = all(row.count("%s") == width for row in rows) and total == sql.count("%s")
    if not plain or len(rows) > most or any(names.count(name) != 1 for name in columns):
        return None
    starts = range(0, total, width)
    return Places(
        tuple(tuple(start + names.index(name) for start in starts) for name in columns), total
    )


def _folded(name: str) -> str:
    return name.casefold()


def _named(tokens: Tokens, table: str) -> tuple[list[str], str] | None:
    """Return the columns of a statement, and the run of its placeholders."""
    found = list(zip(tokens.kinds, tokens.texts, strict=True))
    if _CLOSE not in found:
        return None
    close = found.index(_CLOSE)
    # INSERT INTO table ( columns ) VALUES ( placeholders ) and what is given back.
    head, names, commas = found[:4], found[4:close:2], found[5:close:2]
    tail = found[close + 1 : close + 5]
    if len(head) < 4 or len(tail) < 4 or (*head[:2], head[3], *tail[:2], tail[3]) != _PLAIN:
        return None
    if any(kind not in (WORD, QUOTED) for kind, _ in (head[2], *names)):
        return None
    kind, run = tail[2]
    # What is given back changes nothing; ON CONFLICT does.
    behind = found[close + 5 : close + 6]
    if (
        table_name(head[2][1]) != table
        or any(comma != (OPERATOR, ",") for comma in commas)
        or len(names) != len(commas) + 1
        or kind != PARAM
        or not run.startswith("%s")
        or behind not in ([], [(WORD, "returning")])
    ):
        return None
    return [text for _, text in names], run

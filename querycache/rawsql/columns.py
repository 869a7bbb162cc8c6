"""The columns that an UPDATE changes."""

from __future__ import annotations

from querycache.sqltokens import OPERATOR, QUOTED, WORD, countable


def columns_set(sql: str, vendor: str) -> frozenset[str] | None:
    """Return the columns that an UPDATE of `keyed_by`'s kind changes.

    Args:
        sql: one statement with placeholders ``%s``.
        vendor: Django's `connection.vendor`.

    Returns:
        None where they cannot be told.
    """
    tokens = countable(sql, vendor)
    if tokens is None or tokens.texts[:1] != ["update"]:
        return None
    found: set[str] = set()
    depth = 0
    between = list(zip(tokens.kinds, tokens.texts, strict=True))
    for i, (kind, text) in enumerate(between[2:], 2):
        if kind == OPERATOR:
            depth += (text == "(") - (text == ")")
        if depth == 0 and (kind, text) == (WORD, "where"):
            return frozenset(found) or None
        if depth == 0 and (kind, text) in ((WORD, "set"), (OPERATOR, ",")):
            named = between[i + 1 : i + 3]
            if len(named) < 2 or named[0][0] not in (WORD, QUOTED):
                return None
            if named[1] != (OPERATOR, "="):
                return None
            found.add(named[0][1])
    return None

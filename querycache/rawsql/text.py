"""The SQL text of whatever is given to `cursor.execute`."""

from __future__ import annotations

import logging

_log = logging.getLogger("querycache.rawsql")


def text_of(sql: object, connection: object = None) -> str | None:
    """Return the text of a statement, or None when it cannot be told.

    Args:
        sql: str, bytes, or what psycopg composes (`Composable.as_string`, psycopg 2 and 3).
        connection: what quotes a composed statement: a Django connection or cursor, or the
            driver's own.
    """
    if isinstance(sql, str):
        return sql
    if isinstance(sql, (bytes, bytearray)):
        try:
            return sql.decode()
        except UnicodeDecodeError:
            # Another client encoding: there a quote can hide inside a character.
            return None
    as_string = getattr(sql, "as_string", None)
    if not callable(as_string):
        return None
    try:
        text = as_string(_driver_object(connection))
    except Exception:  # noqa: BLE001 - others' adapters run here; the query must not fail for us
        _log.debug("cannot compose a statement of type %s", type(sql).__name__, exc_info=True)
        return None
    return text if isinstance(text, str) else None


def _driver_object(connection: object) -> object:
    """Return the driver's connection or cursor inside Django's."""
    for wrapper in ("cursor", "connection"):
        # A driver's own `cursor` is a method; Django's CursorWrapper holds the driver's cursor.
        inner = getattr(connection, wrapper, None)
        if inner is not None and not callable(inner):
            return inner
    return None if hasattr(connection, "settings_dict") else connection

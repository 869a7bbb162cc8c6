"""What is in the database, asked past the ORM: nothing of it can come from a cache."""

from __future__ import annotations

from typing import Any

from django.db import connection


def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())

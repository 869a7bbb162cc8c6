"""Reviews of books, and how they are asked for."""

from __future__ import annotations

from typing import Any

import querycache
from tests.kinds import on
from tests.library.models import Review

every = on("sqlite", "sqlite_wal", "postgresql", "mariadb")
TABLE = Review._meta.db_table


def of(alias: str, *books: int) -> Any:
    """Reviews of a book, or of several."""
    rows = Review.objects.using(alias)
    found = rows.filter(book=books[0]) if len(books) == 1 else rows.filter(book__in=books)
    return found.order_by("pk").values_list("stars", flat=True)


def hit(queryset: Any) -> bool:
    return querycache.explain(queryset).hit


def stars(queryset: Any) -> list[int]:
    return list(queryset.all())

"""Books in the cache, in results that are known to be made of their rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.models import F

from tests.columns.helpers import asked
from tests.library.models import Author, Book

Query = Callable[[str], Any]


def books(alias: str) -> Any:
    return Book.objects.using(alias)


def page(alias: str) -> Any:
    """The two longest of the first author, with their authors."""
    found = books(alias).filter(author=1).select_related("author").order_by("-pages", "pk")
    return [(book.pk, book.title, book.pages, book.author.name) for book in found[:2]]


def by_title(alias: str) -> Any:
    book = books(alias).filter(title="book 3").get()
    return book.pk, book.pages, book.price


def all_of_one(alias: str) -> Any:
    return sorted((book.pk, book.title) for book in books(alias).filter(publisher=None, author=1))


QUERIES = (page, by_title, all_of_one)


def filled(alias: str) -> str:
    """Make books 1 to 8 of two authors, and ask until it is known which rows are where."""
    authors = [Author.objects.using(alias).create(pk=pk, name=f"{pk}") for pk in (1, 2)]
    books(alias).bulk_create(
        Book(pk=pk, title=f"book {pk}", author=authors[pk % 2 == 0], pages=pk) for pk in range(1, 9)
    )
    _learn(alias)
    return alias


def _learn(alias: str) -> None:
    for turn in range(2):
        for query in QUERIES:
            query(alias)
        # Of another author.
        books(alias).filter(pk=8).update(price=turn)
    for query in QUERIES:
        query(alias)
        assert asked(partial(query, alias))[1]


def update(alias: str, pk: int, **values: Any) -> None:
    books(alias).filter(pk=pk).update(**values)


def counter(alias: str) -> None:
    """Write a row that no result has, in a column that decides nothing."""
    update(alias, 8, price=F("price") + 1)


#: A row of each result. Book 3 is in every one but the page, 7 in every one but that of book 3.
ITS_ROW: dict[Query, int] = {page: 7, by_title: 3, all_of_one: 1}

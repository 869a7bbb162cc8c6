"""A result that says which rows it is made of lives on while others are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.changes import MOST_ROWS, NEW
from querycache.keys import EVERYTHING
from querycache.lists import Asked, Listing
from tests.columns.books import (
    ITS_ROW,
    QUERIES,
    Query,
    all_of_one,
    books,
    by_title,
    counter,
    filled,
    page,
    update,
)
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.library.models import Author, Book
from tests.watching import execute


def _counter_in_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        counter(alias)
        update(alias, 6, in_print=False)


def _save_others(alias: str) -> None:
    book = books(alias).get(pk=6)
    book.price, book.in_print = 7, False
    book.save(update_fields=["price", "in_print"])


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("write", [counter, _counter_in_transaction, _save_others])
def test_other_rows(library: str, query: Query, write: Callable[[str], None]) -> None:
    for _ in range(3):
        write(library)
        assert asked(lambda: query(library))[1]
    assert is_fresh(lambda: query(library))


@every
@pytest.mark.parametrize("query", QUERIES)
def test_its_rows(library: str, query: Query) -> None:
    row = ITS_ROW[query]
    for price in range(3):
        update(library, row, price=price + 50)
        assert not asked(lambda: query(library))[1]
        assert is_fresh(lambda: query(library))
        # It is still known which rows these are.
        counter(library)
        assert asked(lambda: query(library))[1]


def _delete(alias: str) -> None:
    books(alias).get(pk=8).delete()


def _create(alias: str) -> None:
    author = Author.objects.using(alias).get(pk=1)
    books(alias).create(pk=9, title="new", author=author, pages=99)


def _create_many(alias: str) -> None:
    """Rows that refer to more others than are told apart; one belongs to each result."""
    keys = (1, *range(30, 30 + MOST_ROWS))
    authors = Author.objects.using(alias)
    authors.bulk_create(Author(pk=pk, name=f"{pk}") for pk in keys[1:])
    with transaction.atomic(alias):
        for pk, author in enumerate(keys, 30):
            books(alias).create(pk=pk, title="new", author_id=author, pages=100)


def _create_at_once(alias: str) -> None:
    author = Author.objects.using(alias).get(pk=1)
    books(alias).bulk_create(
        Book(pk=pk, title="new", author=author, pages=100) for pk in range(30, 31 + MOST_ROWS)
    )


def _create_by_text(alias: str) -> None:
    """Which row a text refers to is the database's business."""
    columns = {
        "id": 40,
        "title": "new",
        "publisher_id": None,
        "author_id": "1",
        "pages": 100,
        "price": 1,
        "in_print": True,
        "isbn": "0" * 32,
        "extra": "{}",
    }
    quote = connections[alias].ops.quote_name
    names, marks = ", ".join(map(quote, columns)), ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {Book._meta.db_table} ({names}) VALUES ({marks})"
    execute(alias, sql, list(columns.values()))


def _save(alias: str) -> None:
    books(alias).get(pk=8).save()


def _any_rows(alias: str) -> None:
    books(alias).filter(title="book 8").update(price=9)


def _many_rows(alias: str) -> None:
    with transaction.atomic(alias):
        for pk in range(20, 21 + MOST_ROWS):
            update(alias, pk, price=1)


def _invalidate(alias: str) -> None:
    querycache.invalidate(Book, using=alias)


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    "write",
    [_delete, _create, _create_many, _create_at_once, _save, _any_rows, _many_rows, _invalidate],
)
def test_writes_that_may_bring_or_take_rows(
    library: str, query: Query, write: Callable[[str], None]
) -> None:
    write(library)
    assert not asked(lambda: query(library))[1]
    assert is_fresh(lambda: query(library))


#: What makes another row a part of the result, or takes one away.
MEMBERS: dict[Query, list[tuple[int, dict[str, Any]]]] = {
    page: [(2, {"author": 1, "pages": 90}), (1, {"pages": 91}), (7, {"author": 2})],
    by_title: [(3, {"title": "no"}), (6, {"title": "book 3"})],
    all_of_one: [(2, {"author": 1}), (5, {"author": 2})],
}


@every
@pytest.mark.parametrize("query", QUERIES)
def test_rows_that_come_and_go(library: str, query: Query) -> None:
    def answer() -> Any:
        try:
            return query(library)
        except Book.DoesNotExist:
            return None

    for pk, values in MEMBERS[query]:
        update(library, pk, **values)
        assert is_fresh(answer)
        counter(library)
        assert is_fresh(answer)
        update(library, pk, price=77)
        assert is_fresh(answer)
        counter(library)
        assert is_fresh(answer)


@every
def test_joined_table(library: str) -> None:
    Author.objects.using(library).filter(pk=1).update(name="new")
    assert not asked(lambda: page(library))[1]
    assert is_fresh(lambda: page(library))


# -- without the mechanisms ----------------------------------------------------------------------


def _without_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listing, "buckets", lambda self, rows: b"\x08")


def _without_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.planning.column_of", lambda table, column: f"{table}\0\0x")


def _without_any_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.refining.ANY", "\0\0x")


def _without_new_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "querycache.planning.dependencies_on",
        lambda table, columns: (table, f"{table}{NEW}x")[: 1 + (table != EVERYTHING)],
    )


def _without_unknown_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.changes.ANY", NEW)
    monkeypatch.setattr("querycache.refining.ANY", NEW)


def _without_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.planning.ALL", "\0\0x")


def _without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is taken to be made of the rows that the last one was made of."""
    monkeypatch.setattr(Asked, "holds", lambda self, buckets: self.buckets is not None)


def _another_in_front(alias: str) -> None:
    update(alias, 1, pages=91)


def _saved_in_front(alias: str) -> None:
    book = books(alias).get(pk=1)
    book.pages = 91
    book.save()


def _two_steps(alias: str) -> None:
    _another_in_front(alias)
    page(alias)
    update(alias, 1, title="new")


WRITES: list[tuple[Callable[[pytest.MonkeyPatch], None], Query, Callable[[str], None]]] = [
    (_without_rows, page, lambda alias: update(alias, 7, title="new")),
    (_without_columns, page, _another_in_front),
    (_without_any_columns, page, _saved_in_front),
    (_without_new_rows, page, _create),
    (_without_unknown_references, all_of_one, _create_many),
    (_without_unknown_references, all_of_one, _create_by_text),
    (_without_all_rows, page, lambda a: books(a).filter(title="book 7").update(title="x")),
    (_without_looking, page, _two_steps),
]


@every
@pytest.mark.parametrize(("without", "query", "write"), WRITES)
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_without_the_mechanism(
    database: str,
    without: Callable[[pytest.MonkeyPatch], None],
    query: Query,
    write: Callable[[str], None],
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not mechanism:
        without(monkeypatch)
    configure(STORE="memory://")
    filled(database)
    write(database)
    assert is_fresh(lambda: query(database)) is mechanism

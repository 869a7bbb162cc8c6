"""Random writes between random queries: every answer is what the database says.

``QUERYCACHE_EXAMPLES`` sets how many runs there are for each database.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F, Max, QuerySet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import querycache
from querycache import lists
from querycache.lists import LISTED, Lists
from tests.columns.helpers import every
from tests.environment import configure
from tests.library.models import Author, Book

EXAMPLES = int(os.environ.get("QUERYCACHE_EXAMPLES", "8"))

_KEYS = st.integers(1, 6)
_VALUES = st.integers(0, 3)

#: Column → how its value is made of a number.
COLUMNS: dict[str, Callable[[int], Any]] = {
    "title": str,
    "pages": int,
    "price": int,
    "author_id": lambda value: value % 2 + 1,
    "in_print": bool,
}

#: Conditions of a query, each with a number in it.
CONDITIONS: dict[str, Callable[[int], Any]] = {
    "title": str,
    "pages__gte": int,
    "author": lambda value: value % 2 + 1,
    "author__name": lambda value: f"author {value}",
    "in_print": bool,
    "pk__lt": lambda value: value + 3,
}

ORDERS = ((), ("pk",), ("-pages", "pk"), ("price",), ("author__name", "-pk"))


@st.composite
def queries(draw: st.DrawFn) -> Callable[[Any], Any]:
    """Return queries of books as they are asked in many places."""
    conditions = draw(st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=2, unique=True))
    values = {name: CONDITIONS[name](draw(_VALUES)) for name in conditions}
    order = draw(st.sampled_from(ORDERS))
    start, length = draw(st.sampled_from([(0, None), (0, None), (0, 2), (1, 2), (0, 21)]))
    kind = draw(
        st.sampled_from(["rows", "joined", "some", "distinct", "count", "exists", "greatest"])
    )
    # Which of several rows a slice takes is the database's choice.
    sliced = length is not None and ("pk" in order or "-pk" in order or length == 21)

    def ask(books: Any) -> Any:
        found = books.filter(**values).order_by(*order)
        if kind == "count":
            return found.count()
        if kind == "exists":
            return found.exists()
        if kind == "greatest":
            return found.aggregate(Max("pages"))
        if kind == "distinct":
            found = found.distinct()
        if sliced:
            found = found[start : start + (length or 0)]
        if kind == "joined":
            rows = [(one.pk, one.title, one.author.name) for one in found.select_related("author")]
        elif kind == "distinct":
            rows = list(found.values_list("title", "author__name"))
        elif kind == "some":
            rows = list(found.values_list("title", "pages"))
        else:
            rows = [tuple(one.__dict__[name] for name in ("id", *COLUMNS)) for one in found]
        return rows if "pk" in order or "-pk" in order else sorted(rows)

    return ask


def _update(books: Any, key: int, name: str, value: int) -> None:
    books.filter(pk=key).update(**{name: COLUMNS[name](value)})


def _save_columns(books: Any, key: int, name: str, value: int) -> None:
    book = books.filter(pk=key).first()
    if book is not None:
        setattr(book, name, COLUMNS[name](value))
        book.save(update_fields=[name.removesuffix("_id"), "price"])


def _save(books: Any, key: int, name: str, value: int) -> None:
    columns = {"title": "new", "pages": 0, "author_id": 1} | {name: COLUMNS[name](value)}
    Book(pk=key, **columns).save(using=books.db)


def _create(books: Any, key: int, name: str, value: int) -> None:
    columns = {"title": "new", "pages": 1, "author_id": 2} | {name: COLUMNS[name](value)}
    # A key that comes again is one of a row that was deleted.
    if not books.filter(pk=key).exists():
        books.create(pk=key, **columns)


def _delete(books: Any, key: int, name: str, value: int) -> None:
    books.filter(pk=key).delete()


def _count(books: Any, key: int, name: str, value: int) -> None:
    books.filter(pk=key).update(pages=F("pages") + 1)


def _any_rows(books: Any, key: int, name: str, value: int) -> None:
    books.filter(pages=value).update(**{name: COLUMNS[name](value)})


def _rename_author(books: Any, key: int, name: str, value: int) -> None:
    author = Author.objects.using(books.db).filter(pk=key % 2 + 1)
    author.update(name=f"author {value}")


def _several(books: Any, key: int, name: str, value: int) -> None:
    with transaction.atomic(books.db):
        _update(books, key, name, value)
        _count(books, 7 - key, name, value)


# Those that lists live on after most of all.
WRITES = (
    *(_update, _update, _update, _count, _save_columns, _save, _create, _delete),
    *(_any_rows, _rename_author, _several),
)

_WRITE = st.tuples(st.sampled_from(WRITES), _KEYS, st.sampled_from(sorted(COLUMNS)), _VALUES)

#: A write that leaves the first rows of a list alone.
_ELSEWHERE = (_update, 5, "pages", 9)


def _page(books: Any) -> Any:
    """Ask for what is a list in every run, whatever else is asked."""
    return [(one.pk, one.title) for one in books.filter(author=1).order_by("pk")[:2]]


@every
def test_every_answer(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {"begun": 0, "lists": 0}
    note = Lists.note

    def noted(self: Lists, fingerprint: bytes, listed: lists.Asked, seal: bytes) -> None:
        runs["lists"] += seal.startswith(LISTED)
        note(self, fingerprint, listed, seal)

    monkeypatch.setattr(Lists, "note", noted)
    books: QuerySet[Book] = Book.objects.using(database)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(queries(), min_size=2, max_size=5),
        st.lists(_WRITE, min_size=4, max_size=16),
    )
    def run(asked: list[Callable[[Any], Any]], writes: list[Any]) -> None:
        runs["begun"] += 1
        configure(STORE="memory://")
        books.all().delete()
        for pk in (1, 2):
            Author(pk=pk, name=f"author {pk}").save(using=database)
        for pk in range(1, 6):
            _save(books, pk, "pages", pk)
        for write, *arguments in (_ELSEWHERE, *writes):
            for ask in (_page, *asked):
                found = ask(books.all())
                with querycache.disabled():
                    assert found == ask(books.all())
            write(books.all(), *arguments)

    run()
    # Else it was something else that was tested.
    assert runs["lists"] >= runs["begun"] >= 1

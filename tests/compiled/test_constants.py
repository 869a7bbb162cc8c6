"""Constants stand where Django writes them, not where a first query had a value like theirs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models import Exists, OuterRef, QuerySet, Sum, Value

from querycache.compiled import Texts
from tests.compiled.asking import (
    compilations,
    compiler_of,
    everywhere,
    fresh,
    on_sqlite,
    outcome,
    reuses,
)
from tests.shapes.dataset import Library

#: What is asked for with the constant's own value at first, and then with another.
Asks = Callable[[Library, int], "QuerySet[Any]"]


def distinct(m: Library, pages: int) -> QuerySet[Any]:
    asked = m.Book.filter(pages=pages).distinct()
    return asked.order_by(Value(1).asc(), Value(1).desc()).values("pages")


CONFUSING: dict[str, Asks] = {
    "ordered by": lambda m, n: m.Book.alias(z=Value(1)).filter(pages=n).order_by("z", "pk"),
    "ordered by, for values": lambda m, n: (
        m.Book.alias(z=Value(1)).filter(pages=n).order_by("z").values_list("pages", flat=True)
    ),
    "left out of values": lambda m, n: (
        m.Book.annotate(z=Value(1)).filter(pages=n).order_by("z", "pk").values("title")
    ),
    "backwards": lambda m, n: m.Book.alias(z=Value(1)).filter(pages__gt=n).order_by("-z", "-pk"),
    "selected and ordered by": lambda m, n: (
        m.Book.annotate(z=Value(1)).filter(pages=n).order_by("z", "pk")
    ),
    "of a related manager": lambda m, n: (
        m.Book.filter(author=n).alias(z=Value(1)).order_by("z", "pk")
    ),
    "distinct": distinct,
    "summed": lambda m, n: (
        m.Author.alias(z=Sum(Value(1))).filter(pk=n).order_by("z", "pk").values("name")
    ),
    "grouped by": lambda m, n: (
        m.Book.filter(pages=n).annotate(z=Value(1)).values("z").annotate(s=Sum("pages"))
    ),
    "not in the text": lambda m, n: m.Book.alias(z=Value(1)).filter(pages=n),
    "in a subquery": lambda m, n: m.Author.filter(
        Exists(m.Book.alias(z=Value(1)).filter(author=OuterRef("pk"), pages=n).order_by("z"))
    ),
    "two": lambda m, n: (
        m.Book.alias(z=Value(1), y=Value(2)).filter(pages=n, author=3 - n).order_by("y", "z")
    ),
}


def having(asked: Any) -> Any:
    """What `exists()` asks."""
    return SimpleNamespace(query=asked.query.exists())


@everywhere
@pytest.mark.parametrize("name", CONFUSING)
def test_a_value_is_not_taken_for_a_constant(m: Library, name: str) -> None:
    asks = CONFUSING[name]
    texts = Texts()
    for value in (1, 2, 3, 1):
        asked = asks(m, value)
        found = outcome(texts.compile, compiler_of(asked, m.alias))
        assert found == outcome(fresh, compiler_of(asked, m.alias)), value


@on_sqlite
def test_rows_are_those_that_were_asked_for(m: Library) -> None:
    def pages(number: int) -> list[int]:
        asked = m.Book.alias(z=Value(1)).filter(pages=number).order_by("z")
        return list(asked.values_list("pages", flat=True))

    books = list(m.Book.order_by("pk")[:3])
    for number, book in enumerate(books, 1):
        m.Book.filter(pk=book.pk).update(pages=number)
    assert [pages(1), pages(2), pages(3)] == [[1], [2], [3]]


@on_sqlite
def test_the_text_is_made_of_a_query_that_tells(m: Library) -> None:
    """One whose value is another's leaves the shape to the next."""

    def asked(pages: int) -> Any:
        return m.Book.annotate(z=Value(7)).filter(pages=pages).order_by("pk")

    texts = Texts()
    for value, times in ((7, 1), (8, 1), (9, 0), (7, 0)):
        with compilations() as made:
            texts.compile(compiler_of(asked(value), m.alias))
        assert len(made) == times, value


@everywhere
def test_existence_is_asked_for_with_a_text_whatever_the_value(m: Library) -> None:
    """Its constant comes first, there is none elsewhere."""
    assert reuses(
        lambda m: having(m.Book.filter(pk=1)),
        lambda m: having(m.Book.filter(pk=2)),
        m,
    )
    assert reuses(
        lambda m: m.Author.filter(Exists(m.Book.filter(author=OuterRef("pk"), pages=1))),
        lambda m: m.Author.filter(Exists(m.Book.filter(author=OuterRef("pk"), pages=2))),
        m,
    )

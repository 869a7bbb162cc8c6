"""How tests compile a query, and pairs of queries that differ in values alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import (
    Avg,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextChoices,
)
from django.db.models.sql.compiler import SQLCompiler

from querycache import checked_texts
from querycache.compiled import Texts
from tests.environment import DATABASES
from tests.shapes.dataset import Library

#: The journal of SQLite has no say in texts.
BACKENDS = tuple(kind for kind in DATABASES if kind != "sqlite_wal")
everywhere = pytest.mark.parametrize("database", BACKENDS, indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

Build = Callable[[Library], "QuerySet[Any]"]


def compiler_of(asked: QuerySet[Any], alias: str) -> Any:
    return asked.query.clone().get_compiler(alias)


def outcome(make: Callable[[Any], Any], compiler: Any) -> Any:
    """Return all that compiling comes to, exceptions included."""
    try:
        sql, params = make(compiler)
    except (EmptyResultSet, FullResultSet, ValueError, TypeError, OverflowError) as error:
        return type(error)
    return checked_texts.outcome(compiler, sql, params)


def shown(params: Any) -> list[tuple[type, str]]:
    """Return parameters in a form that can be compared: what wraps one is equal to nothing else."""
    found = []
    for param in params:
        inner = getattr(param, "obj", getattr(param, "adapted", param))
        found.append((type(param), repr(bytes(inner) if type(inner) is memoryview else inner)))
    return found


def fresh(compiler: Any) -> Any:
    return compiler.as_sql()


@contextmanager
def compilations(kind: type[SQLCompiler] = SQLCompiler) -> Iterator[list[str]]:
    """Collect the models whose queries a compiler of Django's compiles in the block."""
    made: list[str] = []
    as_sql: Any = kind.as_sql

    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(repr(self.query.model))
        return as_sql(self, *args, **kwargs)

    # The library tells Django's own methods by their module.
    noting.__module__ = SQLCompiler.__module__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "as_sql", noting)
        yield made


def reuses(one: Build, other: Build, m: Library) -> bool:
    """Tell whether the second query gets the text of the first; fails where that is not its own."""
    texts = Texts()
    outcome(texts.compile, compiler_of(one(m), m.alias))
    with compilations() as made:
        found = outcome(texts.compile, compiler_of(other(m), m.alias))
    assert found == outcome(fresh, compiler_of(other(m), m.alias))
    return not made


class Choice(TextChoices):
    ONE = "one"
    TWO = "two"


def books_of_the_author(m: Library, pages: int) -> QuerySet[Any]:
    return m.Book.filter(author=OuterRef("pk"), pages__gt=pages)


def _books_of(m: Library, author: int, pages: int) -> QuerySet[Any]:
    return m.Book.filter(author__in=m.Author.filter(pk=author), pages=pages)


SAME: dict[str, tuple[Build, Build]] = {
    "key": (lambda m: m.Book.filter(pk=1), lambda m: m.Book.filter(pk=2)),
    "text": (lambda m: m.Author.filter(name="a"), lambda m: m.Author.filter(name="b")),
    "relation": (lambda m: m.Book.filter(author=1), lambda m: m.Book.filter(author=2)),
    "choice": (
        lambda m: m.Author.filter(name=Choice.ONE),
        lambda m: m.Author.filter(name=Choice.TWO),
    ),
    "like": (
        lambda m: m.Author.filter(name__icontains="a%"),
        lambda m: m.Author.filter(name__icontains="_"),
    ),
    "in": (lambda m: m.Book.filter(pk__in=[1, 2]), lambda m: m.Book.filter(pk__in=[3, 4])),
    "range": (
        lambda m: m.Book.filter(price__range=(1, 2)),
        lambda m: m.Book.filter(price__range=(Decimal("1.5"), 3)),
    ),
    "null": (
        lambda m: m.Author.filter(born__isnull=True, pk=1),
        lambda m: m.Author.filter(born__isnull=True, pk=2),
    ),
    "alternatives": (
        lambda m: m.Book.filter(Q(pk=1) | ~Q(pages__gte=3), in_print=True),
        lambda m: m.Book.filter(Q(pk=5) | ~Q(pages__gte=4), in_print=True),
    ),
    "joins": (
        lambda m: m.Book.filter(author__mentor__name="a", genres__name="b"),
        lambda m: m.Book.filter(author__mentor__name="c", genres__name="d"),
    ),
    "related": (
        lambda m: m.Book.select_related("author__mentor", "publisher").filter(pk=1)[:5],
        lambda m: m.Book.select_related("author__mentor", "publisher").filter(pk=2)[:5],
    ),
    "deferred": (
        lambda m: m.Book.only("title").filter(pk=1),
        lambda m: m.Book.only("title").filter(pk=2),
    ),
    "order": (
        lambda m: m.Book.filter(pk=1).order_by("-author__name", F("pages").desc(nulls_last=True)),
        lambda m: m.Book.filter(pk=2).order_by("-author__name", F("pages").desc(nulls_last=True)),
    ),
    "default_order": (
        lambda m: m.Publisher.filter(pk=1),
        lambda m: m.Publisher.filter(pk=2),
    ),
    "values": (
        lambda m: m.Book.filter(pk=1).values_list("title", "author__name"),
        lambda m: m.Book.filter(pk=2).values_list("title", "author__name"),
    ),
    "aggregates": (
        lambda m: m.Author.filter(pk=1).annotate(n=Count("books"), top=Max("books__price")),
        lambda m: m.Author.filter(pk=2).annotate(n=Count("books"), top=Max("books__price")),
    ),
    "groups": (
        lambda m: m.Book.filter(pages__gt=1).values("author").annotate(Sum("pages"), Avg("price")),
        lambda m: m.Book.filter(pages__gt=2).values("author").annotate(Sum("pages"), Avg("price")),
    ),
    "distinct_aggregate": (
        lambda m: m.Author.filter(pk=1).annotate(n=Count("books__publisher", distinct=True)),
        lambda m: m.Author.filter(pk=2).annotate(n=Count("books__publisher", distinct=True)),
    ),
    "compared_with_a_column": (
        lambda m: m.Book.filter(pages__gt=F("price"), pk=1),
        lambda m: m.Book.filter(pages__gt=F("price"), pk=2),
    ),
    "in_a_subquery": (
        lambda m: m.Book.filter(pk__gt=1, author__in=m.Author.filter(name="a"), pages=1),
        lambda m: m.Book.filter(pk__gt=2, author__in=m.Author.filter(name="b"), pages=2),
    ),
    "equal_to_a_subquery": (
        lambda m: m.Book.filter(author=m.Author.filter(name="a").values("pk")[:1], pages=1),
        lambda m: m.Book.filter(author=m.Author.filter(name="b").values("pk")[:1], pages=2),
    ),
    "exists": (
        lambda m: m.Author.filter(Exists(books_of_the_author(m, 1)), name="a"),
        lambda m: m.Author.filter(Exists(books_of_the_author(m, 2)), name="b"),
    ),
    "does_not_exist": (
        lambda m: m.Author.filter(~Exists(books_of_the_author(m, 1)), name="a"),
        lambda m: m.Author.filter(~Exists(books_of_the_author(m, 2)), name="b"),
    ),
    "subquery_in_a_subquery": (
        lambda m: m.Review.filter(
            book__in=m.Book.filter(author__in=m.Author.filter(pk=1), pages=2)
        ),
        lambda m: m.Review.filter(
            book__in=m.Book.filter(author__in=m.Author.filter(pk=3), pages=4)
        ),
    ),
    "excluded_relations": (
        lambda m: m.Author.exclude(books__pages=1).filter(name="a"),
        lambda m: m.Author.exclude(books__pages=2).filter(name="b"),
    ),
    "distinct": (
        lambda m: m.Book.filter(pages__gt=1).order_by("title").values("author").distinct(),
        lambda m: m.Book.filter(pages__gt=2).order_by("title").values("author").distinct(),
    ),
    "inherited": (lambda m: m.Shop.filter(stock=1), lambda m: m.Shop.filter(stock=2)),
    "extra": (
        lambda m: m.Book.extra(select={"two": "1 + 1"}).filter(pk=1),
        lambda m: m.Book.extra(select={"two": "1 + 1"}).filter(pk=2),
    ),
}

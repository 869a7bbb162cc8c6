"""A query gets the text of another one of its shape, and of no other."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import models
from django.db.models import (
    Count,
    Exists,
    F,
    Max,
    Min,
    Q,
    Sum,
)
from django.db.models.lookups import Exact

import querycache
from tests.compiled.asking import SAME, Build, books_of_the_author, compilations, everywhere, reuses
from tests.environment import configure
from tests.shapes.dataset import Library, populate


@everywhere
@pytest.mark.parametrize("name", SAME)
def test_a_query_of_one_shape_gets_the_text_that_was_made(database: str, name: str) -> None:
    one, other = SAME[name]
    assert reuses(one, other, Library(database))


@everywhere
def test_numbers_and_existence(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    populate(m)

    def ask(pages: int) -> Any:
        books = m.Book.filter(pages__gt=pages)
        return (
            books.count(),
            books.exists(),
            books.aggregate(Sum("pages"), Min("price")),
            books.order_by("pk").first(),
            books.filter(pk__in=[1, 2]).in_bulk(),
        )

    ask(1)
    with compilations() as made:
        found = ask(2)
    assert made == []
    with querycache.disabled(), compilations():
        configure(STORE="memory://", REUSE_SQL=False)
        assert found == ask(2)


OTHER: dict[str, tuple[Build, Build]] = {
    "column": (lambda m: m.Book.filter(pk=1), lambda m: m.Book.filter(pages=1)),
    "lookup": (lambda m: m.Book.filter(pk__gt=1), lambda m: m.Book.filter(pk__gte=1)),
    "model": (lambda m: m.Genre.filter(pk=1), lambda m: m.Place.filter(pk=1)),
    "truth": (lambda m: m.Book.filter(in_print=True), lambda m: m.Book.filter(in_print=False)),
    "null": (
        lambda m: m.Author.filter(born__isnull=True),
        lambda m: m.Author.filter(born__isnull=False),
    ),
    "number_of_values": (
        lambda m: m.Book.filter(pk__in=[1, 2]),
        lambda m: m.Book.filter(pk__in=[1, 2, 3]),
    ),
    "values_that_are_one": (
        lambda m: m.Book.filter(pk__in=[1, 2]),
        lambda m: m.Book.filter(pk__in=[1, 1]),
    ),
    "no_value_among_them": (
        lambda m: m.Author.filter(born__in=[datetime.date(2000, 1, 1)]),
        lambda m: m.Author.filter(born__in=[None]),
    ),
    "too_large": (lambda m: m.Book.filter(pages=1), lambda m: m.Book.filter(pages=2**70)),
    "too_large_to_matter": (
        lambda m: m.Book.filter(pages__lt=1),
        lambda m: m.Book.filter(pages__lt=2**70),
    ),
    "slice": (lambda m: m.Book.all()[:5], lambda m: m.Book.all()[:6]),
    "offset": (lambda m: m.Book.all()[1:5], lambda m: m.Book.all()[2:5]),
    "order": (lambda m: m.Book.order_by("pk"), lambda m: m.Book.order_by("-pk")),
    "order_turned": (lambda m: m.Book.order_by("pk"), lambda m: m.Book.order_by("pk").reverse()),
    "order_of_nulls": (
        lambda m: m.Author.order_by(F("born").desc(nulls_last=True)),
        lambda m: m.Author.order_by(F("born").desc(nulls_first=True)),
    ),
    "ordered_by_default": (lambda m: m.Publisher.all(), lambda m: m.Publisher.order_by()),
    "negation": (lambda m: m.Book.filter(Q(pk=1)), lambda m: m.Book.filter(~Q(pk=1))),
    "negated_alternatives": (
        lambda m: m.Book.filter(Q(pk=1) | Q(pages=1)),
        lambda m: m.Book.filter(~(Q(pk=1) | Q(pages=1))),
    ),
    "connector": (
        lambda m: m.Book.filter(Q(pk=1) | Q(pk=2)),
        lambda m: m.Book.filter(Q(pk=1) & Q(pk=2)),
    ),
    "relations": (
        lambda m: m.Book.select_related("author"),
        lambda m: m.Book.select_related("publisher"),
    ),
    "deferred": (lambda m: m.Book.only("title"), lambda m: m.Book.defer("title")),
    "columns": (
        lambda m: m.Book.values_list("title", "pages"),
        lambda m: m.Book.values_list("pages", "title"),
    ),
    "distinct": (lambda m: m.Book.values("pages"), lambda m: m.Book.values("pages").distinct()),
    "aggregate": (
        lambda m: m.Author.annotate(n=Max("books__pages")),
        lambda m: m.Author.annotate(n=Min("books__pages")),
    ),
    "aggregate_of": (
        lambda m: m.Author.annotate(n=Max("books__pages")),
        lambda m: m.Author.annotate(n=Max("books__price")),
    ),
    "compared_with": (
        lambda m: m.Book.filter(pages__gt=F("price")),
        lambda m: m.Book.filter(pages__gt=F("double")),
    ),
    "compared_with_a_value": (
        lambda m: m.Book.filter(pages__gt=F("price")),
        lambda m: m.Book.filter(pages__gt=1),
    ),
    "subquery": (
        lambda m: m.Book.filter(author__in=m.Author.filter(name="a")),
        lambda m: m.Book.filter(author__in=m.Author.filter(name__gt="a")),
    ),
    "number_of_values_in_a_subquery": (
        lambda m: m.Book.filter(author__in=m.Author.filter(pk__in=[1, 2])),
        lambda m: m.Book.filter(author__in=m.Author.filter(pk__in=[1, 2, 3])),
    ),
    "nothing_in_a_subquery": (
        lambda m: m.Book.filter(author__in=m.Author.filter(pk=1)),
        lambda m: m.Book.filter(author__in=m.Author.filter(pk=2**70)),
    ),
    "exists": (
        lambda m: m.Author.filter(Exists(books_of_the_author(m, 1))),
        lambda m: m.Author.filter(~Exists(books_of_the_author(m, 1))),
    ),
    "opposite_of_existence": (
        lambda m: m.Author.filter(Exact(Exists(books_of_the_author(m, 1)), True)),
        lambda m: m.Author.filter(Exact(Exists(books_of_the_author(m, 1)), False)),
    ),
    "existence_in_other_words": (
        lambda m: m.Author.filter(Exists(books_of_the_author(m, 1))),
        lambda m: m.Author.filter(
            Exists(books_of_the_author(m, 1), template="NOT EXISTS(%(subquery)s)")
        ),
    ),
    "distinct_aggregate": (
        lambda m: m.Author.annotate(n=Count("books")),
        lambda m: m.Author.annotate(n=Count("books", distinct=True)),
    ),
    "filter_of_an_aggregate": (
        lambda m: m.Author.annotate(n=Count("books", Q(books__published__isnull=True))),
        lambda m: m.Author.annotate(n=Count("books", Q(books__published__isnull=False))),
    ),
    "kind_of_an_aggregate": (
        lambda m: m.Author.annotate(n=Sum("books__pages", output_field=models.FloatField())),
        lambda m: m.Author.annotate(n=Sum("books__pages", output_field=models.DecimalField())),
    ),
    "alias": (
        lambda m: m.Author.annotate(n=Max("books__pages")),
        lambda m: m.Author.annotate(k=Max("books__pages")),
    ),
    "outer_join": (
        lambda m: m.Book.filter(publisher__name="a"),
        lambda m: m.Book.filter(Q(publisher__name="a") | Q(pk=1)),
    ),
    "extra": (
        lambda m: m.Book.extra(select={"n": "1 + 1"}),
        lambda m: m.Book.extra(select={"n": "1 + 2"}),
    ),
}


@everywhere
@pytest.mark.parametrize("name", OTHER)
def test_a_query_of_another_shape_does_not(database: str, name: str) -> None:
    one, other = OTHER[name]
    m = Library(database)
    for first, second in ((one, other), (other, one)):
        assert not reuses(first, second, m)

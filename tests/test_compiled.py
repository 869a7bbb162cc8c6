"""Texts that are used again: the same as Django makes, and made anew wherever that may differ."""

from __future__ import annotations

import datetime
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections, models
from django.db.models import (
    Avg,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextChoices,
    Value,
)
from django.db.models.expressions import Col
from django.db.models.functions import Coalesce, Upper
from django.db.models.lookups import BuiltinLookup, Exact, IsNull
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import WhereNode
from django.test import override_settings
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, given, settings, strategies

import querycache
from querycache import compiled
from querycache.compiled import CheckedTexts, Text, Texts, compiles_as_django, writes_as_django
from querycache.shapes import shape_of
from querycache.state import transaction_of
from tests.environment import DATABASES, add_database, configure, remove_database
from tests.shapes.dataset import Library, populate
from tests.shapes.table import Shape as AskedShape
from tests.test_query_shapes import CASES, OneDatabase, ask

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
    return compiled._outcome(compiler, sql, params)


def fresh(compiler: Any) -> Any:
    return compiler.as_sql()


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Collect the models whose queries Django compiles in the block."""
    made: list[str] = []
    as_sql = SQLCompiler.as_sql

    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(repr(self.query.model))
        return as_sql(self, *args, **kwargs)

    # The library tells Django's own methods by their module.
    noting.__module__ = SQLCompiler.__module__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLCompiler, "as_sql", noting)
        yield made


def reuses(one: Build, other: Build, m: Library) -> bool:
    """Tell whether the second query gets the text of the first; fails where that is not its own."""
    texts = Texts()
    outcome(texts.compile, compiler_of(one(m), m.alias))
    with compilations() as made:
        found = outcome(texts.compile, compiler_of(other(m), m.alias))
    assert found == outcome(fresh, compiler_of(other(m), m.alias))
    return not made


# -- what is used again ------------------------------------------------------------------------


def _books_of_the_author(m: Library, pages: int) -> QuerySet[Any]:
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
        lambda m: m.Author.filter(Exists(_books_of_the_author(m, 1)), name="a"),
        lambda m: m.Author.filter(Exists(_books_of_the_author(m, 2)), name="b"),
    ),
    "does_not_exist": (
        lambda m: m.Author.filter(~Exists(_books_of_the_author(m, 1)), name="a"),
        lambda m: m.Author.filter(~Exists(_books_of_the_author(m, 2)), name="b"),
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


class Choice(TextChoices):
    ONE = "one"
    TWO = "two"


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


# -- what is not -------------------------------------------------------------------------------

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
        lambda m: m.Author.filter(Exists(_books_of_the_author(m, 1))),
        lambda m: m.Author.filter(~Exists(_books_of_the_author(m, 1))),
    ),
    "opposite_of_existence": (
        lambda m: m.Author.filter(Exact(Exists(_books_of_the_author(m, 1)), True)),
        lambda m: m.Author.filter(Exact(Exists(_books_of_the_author(m, 1)), False)),
    ),
    "existence_in_other_words": (
        lambda m: m.Author.filter(Exists(_books_of_the_author(m, 1))),
        lambda m: m.Author.filter(
            Exists(_books_of_the_author(m, 1), template="NOT EXISTS(%(subquery)s)")
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


def join_of(query: Any) -> Any:
    return next(join for join in query.alias_map.values() if join.join_type is not None)


def all_related(m: Library) -> QuerySet[Any]:
    asked = m.Chapter.all()
    # Django warns of the method that does this.
    asked.query.__dict__.update(select_related=True, max_depth=3)
    return asked


def without_mask(m: Library) -> QuerySet[Any]:
    asked = m.Author.annotate(n=Count("books"))
    # Its class has the same.
    asked.query.annotation_select_mask = None
    return asked


def beginning_late(m: Library) -> QuerySet[Any]:
    asked = m.Book.all()
    asked.query.low_mark = 5
    return asked


def end_early(query: Any) -> None:
    query.high_mark = query.__dict__.pop("low_mark")


#: Queries, and what is changed in them alone.
CHANGED: dict[str, tuple[Build, Callable[[Any], None]]] = {
    "negated": (lambda m: m.Book.filter(pk=1), lambda q: setattr(q.where, "negated", True)),
    "connector": (
        lambda m: m.Book.filter(pk=1, pages=1),
        lambda q: setattr(q.where, "connector", "OR"),
    ),
    "in_brackets": (lambda m: m.Book.filter(pk=1), lambda q: setattr(q.where, "resolved", True)),
    "join_type": (
        lambda m: m.Book.filter(author__name="a"),
        lambda q: setattr(join_of(q), "join_type", "LEFT OUTER JOIN"),
    ),
    "joined_table": (
        lambda m: m.Book.filter(author__name="a"),
        lambda q: setattr(join_of(q), "table_name", "library_genre"),
    ),
    "mark": (beginning_late, end_early),
    "both_sides": (
        lambda m: m.Author.filter(name="a"),
        lambda q: setattr(q.where.children[0], "bilateral_transforms", [Upper]),
    ),
    "joined_to": (
        lambda m: m.Book.filter(author__mentor__name="a"),
        lambda q: setattr([*q.alias_map.values()][2], "parent_alias", "library_book"),
    ),
    "joined_by": (
        lambda m: m.Book.filter(author__name="a"),
        lambda q: join_of(q).__init__(
            "library_author",
            "library_book",
            "library_author",
            "INNER JOIN",
            q.model._meta.get_field("publisher"),
            False,
        ),
    ),
    "not_joined": (
        lambda m: m.Book.filter(author__name="a"),
        lambda q: q.alias_refcount.update(library_author=0),
    ),
    "other_table": (
        lambda m: m.Book.filter(pk=1),
        lambda q: setattr(q.alias_map["library_book"], "table_name", "library_genre"),
    ),
    "descending": (
        lambda m: m.Book.order_by(F("pages").desc()),
        lambda q: setattr(q.order_by[0], "descending", False),
    ),
    "ordered_by": (
        lambda m: m.Book.order_by(F("pages").desc()),
        lambda q: setattr(q.order_by[0].expression, "name", "price"),
    ),
    "order_of_nulls": (
        lambda m: m.Book.order_by(F("pages").desc(nulls_last=True)),
        lambda q: q.order_by[0].__dict__.update(nulls_last=None, nulls_first=True),
    ),
    "mask": (
        without_mask,
        lambda q: q.__dict__.update(annotation_select_mask=set(), _annotation_select_cache=None),
    ),
    "selected": (
        lambda m: m.Book.values("pages", "price"),
        lambda q: setattr(q, "selected", {"pages": 1, "price": 0}),
    ),
    "alias_of_an_aggregate": (
        lambda m: m.Author.annotate(n=Max("books__pages")),
        lambda q: setattr(q, "annotations", {"k": q.annotations["n"]}),
    ),
    "distinct_aggregate": (
        lambda m: m.Author.annotate(n=Count("books")),
        lambda q: setattr(q.annotations["n"], "distinct", True),
    ),
    "further_tables": (
        lambda m: m.Book.filter(author__name="a").order_by("author__mentor__name"),
        lambda q: q.table_map.pop("library_author"),
    ),
    "relations": (
        lambda m: m.Book.select_related("author__mentor"),
        lambda q: setattr(q, "select_related", {"author": {}}),
    ),
    "depth": (all_related, lambda q: setattr(q, "max_depth", 1)),
    "group_by": (
        lambda m: m.Book.values("author").annotate(n=Count("pk")),
        lambda q: setattr(q, "group_by", None),
    ),
}


@everywhere
@pytest.mark.parametrize("name", CHANGED)
def test_each_part_of_a_query_counts(database: str, name: str) -> None:
    build, change = CHANGED[name]
    m = Library(database)
    one, other = compiler_of(build(m), database), compiler_of(build(m), database)
    change(other.query)
    texts = Texts()
    before = outcome(texts.compile, one)
    with compilations() as made:
        found = outcome(texts.compile, other)
    assert made
    assert found != before


@on_sqlite
def test_filtered_relations_that_hide(database: str) -> None:
    m = Library(database)
    texts = Texts()
    for missing in (True, False):
        relation = FilteredRelation("books", condition=Q(books__published__isnull=missing))
        compiler = compiler_of(m.Author.annotate(some=relation).filter(some__pk=1), database)
        compiler.query._filtered_relations = {}
        assert texts.compile(compiler) == fresh(compiler)


UNKNOWN: dict[str, Build] = {
    "union": lambda m: m.Book.filter(pk=1).union(m.Book.filter(pk=2)),
    "filtered_aggregate": lambda m: m.Author.annotate(n=Count("books", filter=Q(books__pages=1))),
    "aggregate_with_default": lambda m: m.Author.annotate(n=Max("books__pages", default=0)),
    "exists_as_a_column": lambda m: m.Author.annotate(any=Exists(_books_of_the_author(m, 1))),
    "subquery_as_a_column": lambda m: m.Author.annotate(
        any=Subquery(_books_of_the_author(m, 1).values("title")[:1])
    ),
    "calculation": lambda m: m.Book.filter(pages=F("price") + 1),
    "condition_on_an_aggregate_in_a_subquery": lambda m: m.Book.filter(
        author__in=m.Author.annotate(n=Count("books")).filter(n=1).values("pk")
    ),
    "having": lambda m: m.Author.annotate(n=Count("books")).filter(n=1),
    "filtered_relation": lambda m: m.Author.annotate(
        some=FilteredRelation("books", condition=Q(books__pages=1))
    ).filter(some__pk=1),
    "generic_relation": lambda m: m.Book.filter(notes__text="a"),
    "json": lambda m: m.Book.filter(extra__has_key="a"),
    "transform": lambda m: m.Book.filter(published__year=2000),
    "composite_key": lambda m: m.Chapter.filter(pk=(1, 2)),
    "long_list": lambda m: m.Book.filter(pk__in=range(200)),
    "extra_with_parameters": lambda m: m.Book.extra(select={"n": "%s"}, select_params=(1,)),
    "extra_condition": lambda m: m.Book.extra(where=["pages = 1"]),
    "none": lambda m: m.Book.none(),
    "locked": lambda m: m.Book.select_for_update(),
}


@everywhere
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_made_anew(
    database: str, name: str, request: pytest.FixtureRequest
) -> None:
    build = UNKNOWN[name]
    m = Library(database)
    # Generic relations ask for their content type, by the alias "default".
    known = ContentType(pk=7, app_label="library", model="book")
    ContentType.objects._add_to_cache("default", known)  # type: ignore[attr-defined]
    request.addfinalizer(ContentType.objects.clear_cache)
    if name == "locked" and database.startswith("sqlite"):
        pytest.skip("there is nothing to lock")
    if name == "locked":
        assert shape_of(compiler_of(build(m), database)) is None
        return
    assert not reuses(build, build, m)


class Marked(Query):
    """A query of somebody else's."""


def test_queries_of_other_classes_and_with_other_attributes() -> None:
    m = Library("default")
    asked = m.Book.filter(pk=1)
    assert shape_of(compiler_of(asked, "default")) is not None
    assert shape_of(asked.query.chain(klass=Marked).get_compiler("default")) is None
    asked.query.hint = "other"
    assert shape_of(compiler_of(asked, "default")) is None


class Sharp(Exact):
    """A lookup of somebody else's."""


def test_lookups_and_values_of_other_classes() -> None:
    m = Library("default")
    asked = m.Book.filter(pages=1)
    lookup = asked.query.where.children[0]
    asked.query.where.children[0] = Sharp(lookup.lhs, lookup.rhs)
    assert shape_of(compiler_of(asked, "default")) is None

    class Odd(int):
        def as_sql(self, compiler: Any, connection: Any) -> Any:
            raise NotImplementedError

    lookup.rhs = Odd(1)
    asked.query.where.children[0] = lookup
    assert shape_of(compiler_of(asked, "default")) is None
    lookup.rhs = object()
    assert shape_of(compiler_of(asked, "default")) is None


@isolate_apps("tests.library")
@on_sqlite
def test_fields_that_write_their_column_in_their_own_way(database: str) -> None:
    class Shouted(models.CharField):
        def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
            return f"{self.said}({sql})", params

        said = "UPPER"

    class Card(models.Model):
        name = Shouted(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("UPPER", "LOWER"):
        Shouted.said = said
        compiler = Card._default_manager.filter(pk=1).query.get_compiler(database)
        assert said in texts.compile(compiler)[0]


@on_sqlite
@isolate_apps("tests.library")
def test_fields_in_subqueries_and_fields_that_convert(database: str) -> None:
    class Shouted(models.CharField):
        said = "UPPER"

        def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
            return f"{self.said}({sql})", params

    class Turned(models.CharField):
        turns = False

        def get_db_converters(self, connection: Any) -> Any:
            return [lambda value, *args: value[::-1]] if self.turns else []

    class Card(models.Model):
        name = Shouted(max_length=5)
        back = Turned(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    cards = Card._default_manager
    for said in ("UPPER", "LOWER"):
        Shouted.said = said
        asked = cards.filter(pk=1, back__in=cards.values("name")).only("back")
        assert said in texts.compile(asked.query.get_compiler(database))[0]
    for turns in (False, True):
        Turned.turns = turns
        compiler = cards.only("back").query.get_compiler(database)
        texts.compile(compiler)
        columns = [column for column, _, _ in compiler.select]
        assert bool(compiler.get_converters(columns)) is turns


@on_sqlite
@isolate_apps("tests.library")
def test_columns_of_other_classes(database: str) -> None:
    class Quoted(Col):
        said = "a"

        def as_sql(self, compiler: Any, connection: Any) -> Any:
            return f"'{self.said}'", ()

    class Own(models.CharField):
        def get_col(self, alias: Any, output_field: Any = None) -> Any:
            return Quoted(alias, self)

        cached_col = property(lambda self: self.get_col(self.model._meta.db_table))

    class Card(models.Model):
        name = Own(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("a", "b"):
        Quoted.said = said
        compiler = Card._default_manager.all().query.get_compiler(database)
        assert f"'{said}'" in texts.compile(compiler)[0]


@on_sqlite
@isolate_apps("tests.library")
def test_an_order_with_parameters(database: str) -> None:
    class Card(models.Model):
        name = models.CharField(max_length=5, null=True)

        class Meta:
            app_label = "library"
            ordering = [Coalesce("name", Value("a"))]

    texts = Texts()
    for number in (1, 2):
        compiler = Card._default_manager.filter(pk=number).query.get_compiler(database)
        assert texts.compile(compiler)[1] == (number, "a")


@on_sqlite
def test_a_compiler_that_compiles_another_query_afterwards(database: str) -> None:
    m = Library(database)
    texts = Texts()
    texts.compile(compiler_of(m.Book.values_list("title", "pages"), database))
    compiler = compiler_of(m.Book.values_list("title", "pages"), database)
    texts.compile(compiler)
    compiler.query = m.Book.values_list("price", "published").query
    assert outcome(fresh, compiler) == outcome(
        fresh, compiler_of(m.Book.values_list("price", "published"), database)
    )


@on_sqlite
def test_a_query_without_a_model(database: str) -> None:
    texts = Texts()
    for _ in range(2):
        query = Query(None)
        query.add_annotation(Value(1), "a")
        compiler = query.get_compiler(database)
        assert texts.compile(compiler) == fresh(compiler)


@on_sqlite
@isolate_apps("tests.library")
def test_relations_that_join_in_their_own_way(database: str) -> None:
    class Choosy(models.ForeignKey):
        missing = True

        def get_extra_restriction(self, alias: str, related_alias: str) -> Any:
            field: Any = self.model._meta.get_field("name")
            condition: Any = IsNull(field.get_col(related_alias), self.missing)
            return WhereNode([condition])

    class Owner(models.Model):
        class Meta:
            app_label = "library"

    class Card(models.Model):
        name = models.CharField(max_length=5, null=True)
        owner = Choosy(Owner, models.CASCADE)

        class Meta:
            app_label = "library"

    texts = Texts()
    for missing in (True, False):
        Choosy.missing = missing
        compiler = Card._default_manager.select_related("owner").query.get_compiler(database)
        assert ("IS NULL" in texts.compile(compiler)[0]) is missing


@everywhere
def test_times_are_converted_as_settings_say(database: str) -> None:
    m = Library(database)
    texts = Texts()
    with override_settings(USE_TZ=False):
        texts.compile(compiler_of(m.Book.all(), database))
    with compilations() as made:
        found = outcome(texts.compile, compiler_of(m.Book.all(), database))
    assert made == []
    assert found == outcome(fresh, compiler_of(m.Book.all(), database))


@on_sqlite
@pytest.mark.parametrize("owner", [Exact, BuiltinLookup, WhereNode, Col, Query, Join])
def test_a_program_that_changes_how_parts_are_written(
    database: str, owner: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(compiles_as_django.cache_clear)
    m = Library(database)
    build = SAME["text"][0]
    assert reuses(build, build, m)

    def louder(self: Any, compiler: Any, connection: Any) -> Any:
        return as_sql(self, compiler, connection)

    as_sql = owner.as_sql
    monkeypatch.setattr(owner, "as_sql", louder)
    compiles_as_django.cache_clear()
    assert not reuses(build, build, m)


@on_sqlite
def test_a_program_that_changes_compilers_or_backends(
    database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(compiles_as_django.cache_clear)
    connection = connections[database]
    for kind, name in ((SQLCompiler, "get_distinct"), (type(connection.ops), "quote_name")):
        compiles_as_django.cache_clear()
        assert compiles_as_django(SQLCompiler)
        assert writes_as_django(connection)
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, lambda self, *args: ([], []))
            compiles_as_django.cache_clear()
            assert not (compiles_as_django(SQLCompiler) and writes_as_django(connection))


@on_sqlite
def test_backends_and_compilers_of_others(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections[database]
    assert writes_as_django(connection)

    class Operations(type(connection.ops)):  # type: ignore[misc]
        def quote_name(self, name: str) -> str:
            return f"[{name}]"

    class Compiler(SQLCompiler):
        pass

    assert not compiles_as_django(Compiler)
    monkeypatch.setattr(connection, "ops", Operations(connection))
    assert not writes_as_django(connection)
    monkeypatch.undo()
    monkeypatch.setattr(connection, "vendor", "oracle")
    assert not writes_as_django(connection)


# -- what a program may change while it runs ---------------------------------------------------


@on_sqlite
@pytest.mark.parametrize(
    "build", [lambda m: m.Genre.all(), lambda m: m.Book.select_related("author")]
)
def test_models_that_change(database: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    m = Library(database)
    texts = Texts()
    meta = build(m).model._meta
    changes: list[tuple[Any, str, Any]] = [
        (meta, "db_table", "library_other"),
        (meta, "ordering", ["-pk"]),
        (meta, "concrete_fields", meta.concrete_fields[:1]),
    ]
    if meta.model_name == "book":
        changes.append((m.Author.model._meta, "db_table", "library_writer"))
    texts.compile(compiler_of(build(m), database))
    for owner, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setitem(vars(owner), name, value)
            found = outcome(texts.compile, compiler_of(build(m), database))
            assert found == outcome(fresh, compiler_of(build(m), database))
        assert found != outcome(texts.compile, compiler_of(build(m), database))


@on_sqlite
def test_models_that_have_changed_are_remembered_anew(database: str) -> None:
    m = Library(database)
    texts = Texts()
    texts.compile(compiler_of(m.Genre.all(), database))
    # As defining a model that refers to this one does.
    m.Genre.model._meta._expire_cache()
    texts.compile(compiler_of(m.Genre.all(), database))
    with compilations() as made:
        texts.compile(compiler_of(m.Genre.all(), database))
    assert made == []


@everywhere
@pytest.mark.parametrize(
    "first",
    [
        lambda m: m.Book.filter(pages__in=[1, 1]),
        lambda m: m.Book.filter(pages__in=[1, None]),
        lambda m: m.Book.filter(Q(pages=2**70) | Q(pk__in=[1, 2])),
        lambda m: m.Book.filter(pages__lt=2**70),
    ],
)
def test_an_unusual_value_does_not_spoil_a_shape(database: str, first: Build) -> None:
    m = Library(database)
    texts = Texts()

    def usual(number: int) -> Any:
        pages = [m.Book.filter(pages__in=[number, 5]), m.Book.filter(pages__lt=number)]
        return [*pages, m.Book.filter(Q(pages=number) | Q(pk__in=[1, 2]))]

    outcome(texts.compile, compiler_of(first(m), database))
    for asked in usual(1):
        texts.compile(compiler_of(asked, database))
    with compilations() as made:
        found = [texts.compile(compiler_of(asked, database)) for asked in usual(2)]
    assert made == []
    assert found == [fresh(compiler_of(asked, database)) for asked in usual(2)]


@on_sqlite
@pytest.mark.parametrize("name", SAME)
def test_what_is_told_by_its_address_is_kept(database: str, name: str) -> None:
    """Else something else could be there one day."""
    texts = Texts()
    texts.compile(compiler_of(SAME[name][0](Library(database)), database))
    ((key, text),) = texts._known.items()
    addresses = {part for part in key if type(part) is int and part > 1 << 20}
    assert addresses <= {id(field) for field in text._kept}


@on_sqlite
def test_fields_are_told_by_more_than_their_address(database: str) -> None:
    """A model that is gone leaves its addresses to others."""
    texts = Texts()
    for number in range(30):
        with isolate_apps("tests.library"):

            class Passing(models.Model):
                name = models.CharField(max_length=5, db_column=f"name_{number}")

                class Meta:
                    app_label = "library"

            asked = Passing._default_manager.filter(name="a").values("name")
            assert f"name_{number}" in texts.compile(asked.query.get_compiler(database))[0]
        del Passing, asked


def test_options_and_aliases_have_texts_of_their_own(request: pytest.FixtureRequest) -> None:
    installed = configure(STORE="memory://")
    one, other = connections["default"], connections["default"].copy()
    assert installed.texts(one) is installed.texts(other) is not None
    other.settings_dict["OPTIONS"] = {"server_side_binding": True}
    assert installed.texts(one) is not installed.texts(other)
    add_database("second", dict(one.settings_dict))
    request.addfinalizer(lambda: remove_database("second"))
    assert installed.texts(one) is not installed.texts(connections["second"])


@on_sqlite
def test_it_can_be_turned_off(database: str) -> None:
    configure(STORE="memory://", REUSE_SQL=False)
    m = Library(database)
    populate(m)
    list(m.Book.filter(pk=1))
    with compilations() as made:
        list(m.Book.filter(pk=2))
    assert len(made) == 1


@on_sqlite
def test_what_is_remembered_has_an_end(database: str) -> None:
    m = Library(database)
    texts = Texts()
    for number in range(2 * compiled._REMEMBERED):
        texts.compile(compiler_of(m.Book.all()[: number + 1], database))
        assert len(texts._known) <= compiled._REMEMBERED


@on_sqlite
def test_values_are_not_kept(database: str) -> None:
    class Secret(str):
        __slots__ = ("__weakref__",)

    m = Library(database)
    texts = Texts()
    value = Secret("a")
    texts.compile(compiler_of(m.Author.filter(name=value), database))
    seen = weakref.ref(value)
    del value
    gc.collect()
    assert seen() is None


# -- checking ----------------------------------------------------------------------------------


_parameters = Text.parameters


def wrong(text: Text, compiler: Any, shape: Any) -> tuple[Any, ...]:
    """Stand for `Text.parameters`, and do it badly."""
    if _parameters(text, compiler, shape) is None:
        compiler.select, compiler.col_count, compiler.has_extra_select = [], 0, False
    return (1,)


@on_sqlite
@pytest.mark.parametrize("raises", [True, False])
def test_verify_compares_texts(
    database: str,
    raises: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=raises)
    m = Library(database)
    populate(m)
    assert isinstance(transaction_of(connections[database]).texts, CheckedTexts)
    expected = list(m.Book.filter(pk=2))
    list(m.Book.filter(pk=1))
    assert not caplog.records
    monkeypatch.setattr(Text, "parameters", wrong)
    with caplog.at_level(logging.ERROR, "querycache.verify"):
        if raises:
            with pytest.raises(querycache.StaleHit):
                list(m.Book.filter(pk=2))
        else:
            assert list(m.Book.filter(pk=2)) == expected
    assert "differs from Django's" in caplog.text


@on_sqlite
def test_verify_compares_what_has_no_text_any_more(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    m = Library(database)
    populate(m)
    list(m.Book.filter(pages=1))
    monkeypatch.setattr(Text, "parameters", wrong)
    with pytest.raises(querycache.StaleHit):
        list(m.Book.filter(pages=2**70))


@pytest.mark.parametrize(
    ("shape", "database"),
    [case for case in CASES if case.values[1] in ("sqlite", "postgresql")],
    indirect=["database"],
)
def test_every_way_to_ask_is_compared(database: str, shape: AskedShape) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    m = Library(database)
    populate(m)
    with override_settings(DATABASE_ROUTERS=[OneDatabase(database)]):
        for _ in range(2):
            ask(shape, m)


# -- any lookup, any value ---------------------------------------------------------------------

_TEXT = strategies.text(max_size=4) | strategies.sampled_from(["", "%", "_", "\\", "a'b", "%s"])
_NUMBER = strategies.integers() | strategies.sampled_from([0, 2**31, 2**63, -(2**63) - 1])
_FIELDS: dict[str, Any] = {
    "pages": _NUMBER | strategies.booleans() | strategies.floats(allow_nan=False),
    "price": strategies.decimals(allow_nan=False, allow_infinity=False, places=2)
    | strategies.integers(0, 99),
    "in_print": strategies.booleans() | strategies.sampled_from([0, 1]),
    "published": strategies.datetimes(timezones=strategies.just(datetime.UTC)),
    "isbn": strategies.uuids() | strategies.uuids().map(str),
    "author": strategies.integers(1, 99),
    "author__name": _TEXT | strategies.sampled_from(list(Choice)),
    "reviews__length": strategies.timedeltas(),
    "reviews__at": strategies.times(),
    "author__born": strategies.dates(),
}
_ONE = ("exact", "gt", "gte", "lt", "lte")
_OF_TEXTS = (
    *_ONE,
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "regex",
    "iregex",
)


@strategies.composite
def conditions(draw: Any) -> tuple[Q, Q]:
    """Two conditions that say the same of other values, and mostly are of one shape."""
    first, second = Q(), Q()
    for _ in range(draw(strategies.integers(1, 3))):
        field = draw(strategies.sampled_from(sorted(_FIELDS)))
        values = _FIELDS[field]
        texts = field == "author__name"
        kinds = [*(_OF_TEXTS if texts else _ONE), "in", "isnull"]
        if field != "author":
            kinds.append("range")
        kind = draw(strategies.sampled_from(kinds))
        if kind == "isnull":
            made: Any = strategies.booleans()
        elif kind == "in":
            size = draw(strategies.integers(1, 3))
            made = strategies.lists(values | strategies.none(), min_size=size, max_size=size)
        elif kind == "range":
            made = strategies.tuples(values, values)
        else:
            made = values
        negated, joined = draw(strategies.booleans()), draw(strategies.sampled_from(["AND", "OR"]))
        pair = []
        for whole in (first, second):
            part = Q(**{f"{field}__{kind}": draw(made)})
            part = ~part if negated else part
            pair.append(whole & part if joined == "AND" else whole | part)
        first, second = pair
    return first, second


#: Ways to ask for what a condition says, and for a number besides.
_ASKED: dict[str, Callable[[Library, Q, int], QuerySet[Any]]] = {
    "plain": lambda m, c, n: m.Book.filter(c, pages=n),
    "excluded": lambda m, c, n: m.Book.filter(pages=n).exclude(c),
    "within": lambda m, c, n: m.Review.filter(book__in=m.Book.filter(c), stars=n),
    "exists": lambda m, c, n: m.Author.filter(
        Exists(m.Book.filter(c, author=OuterRef("pk"))), mentor=n
    ),
    "column": lambda m, c, n: m.Author.annotate(
        any=Exists(m.Book.filter(c, author=OuterRef("pk")))
    ).filter(mentor=n),
    "counted": lambda m, c, n: m.Book.filter(c, pages=n).annotate(n=Count("genres")),
    "having": lambda m, c, n: m.Book.annotate(n=Count("genres")).filter(n=n).filter(c),
    "aggregated": lambda m, c, n: m.Book.annotate(
        n=Count("genres", filter=Q(genres__gt=n), distinct=True)
    ).filter(c),
}


@everywhere
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pair=conditions(),
    way=strategies.sampled_from(sorted(_ASKED)),
    numbers=strategies.tuples(strategies.integers(0, 3), strategies.integers(0, 3)),
)
def test_any_condition(
    database: str, pair: tuple[Q, Q], way: str, numbers: tuple[int, int]
) -> None:
    m = Library(database)
    texts = Texts()
    for condition, number in [*zip(pair, numbers, strict=True)] * 2:
        try:
            asked = _ASKED[way](m, condition, number)
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            return
        found = outcome(texts.compile, compiler_of(asked, database))
        assert found == outcome(fresh, compiler_of(asked, database))

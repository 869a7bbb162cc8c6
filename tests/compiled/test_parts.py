"""Each part of a query counts, and what is not known is compiled anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import (
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Upper
from django.db.models.sql import Query

from querycache.compiled import Texts
from querycache.shapes import shape_of
from tests.compiled.asking import (
    Build,
    books_of_the_author,
    compilations,
    compiler_of,
    everywhere,
    fresh,
    on_sqlite,
    outcome,
    reuses,
)
from tests.shapes.dataset import Library


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
    "exists_as_a_column": lambda m: m.Author.annotate(any=Exists(books_of_the_author(m, 1))),
    "subquery_as_a_column": lambda m: m.Author.annotate(
        any=Subquery(books_of_the_author(m, 1).values("title")[:1])
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

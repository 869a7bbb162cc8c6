"""UPDATEs: one text for all that differ in values alone, and Django's own for the rest."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import F, Func, Q, QuerySet, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now, Upper
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.db.models.sql.constants import ROW_COUNT
from django.db.models.sql.subqueries import UpdateQuery
from django.test import override_settings
from django.test.utils import isolate_apps

import querycache
from querycache.assignments import Assigned
from querycache.compiled import Texts
from querycache.compiler import cached_class
from querycache.state import transaction_of
from querycache.write_shapes import update_shape_of
from tests.compiled.asking import Choice, everywhere, on_sqlite, shown
from tests.environment import configure
from tests.library.models import Author
from tests.shapes.dataset import UTC, Library, populate
from tests.test_query_shapes import OneDatabase

Build = Callable[[Library], tuple["QuerySet[Any]", dict[str, Any]]]

ONE_DAY = datetime.timedelta(days=1)
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=UTC)


def _sum(**options: Any) -> CombinedExpression:
    return CombinedExpression(F("pages"), "+", Value(1), **options)


SAME: dict[str, tuple[Build, Build]] = {
    "every_row": (
        lambda m: (m.Book.all(), {"pages": 1}),
        lambda m: (m.Book.all(), {"pages": 2}),
    ),
    "by_key": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1, "title": "a"}),
        lambda m: (m.Book.filter(pk=2), {"pages": 2, "title": "b"}),
    ),
    "kinds": (
        lambda m: (
            m.Book.filter(pk=1),
            {
                "price": Decimal("1.50"),
                "published": NOON,
                "isbn": uuid.UUID(int=1),
                "in_print": True,
            },
        ),
        lambda m: (
            m.Book.filter(pk=2),
            {
                "price": Decimal("2.25"),
                "published": NOON + ONE_DAY,
                "isbn": uuid.UUID(int=2),
                "in_print": False,
            },
        ),
    ),
    "more_kinds": (
        lambda m: (
            m.Review.filter(pk=1),
            {"length": ONE_DAY, "at": datetime.time(1, 2), "text": ""},
        ),
        lambda m: (
            m.Review.filter(pk=2),
            {"length": 2 * ONE_DAY, "at": datetime.time(3, 4, 5, 6), "text": "%s"},
        ),
    ),
    "json": (
        lambda m: (m.Book.filter(pk=1), {"extra": {"a": [1]}}),
        lambda m: (m.Book.filter(pk=2), {"extra": {"b": None}}),
    ),
    "numbers": (
        lambda m: (m.Thing.filter(pk=1), {"ratio": 1.5, "address": "::1", "number": 2**40}),
        lambda m: (m.Thing.filter(pk=2), {"ratio": -2.5, "address": "127.0.0.1", "number": 1}),
    ),
    "choice": (
        lambda m: (m.Author.filter(pk=1), {"name": Choice.ONE}),
        lambda m: (m.Author.filter(pk=2), {"name": Choice.TWO}),
    ),
    "relation": (
        lambda m: (m.Book.filter(author=1), {"publisher_id": 1}),
        lambda m: (m.Book.filter(author=2), {"publisher_id": 2}),
    ),
    "null": (
        lambda m: (m.Book.filter(pk=1), {"publisher": None, "published": None, "pages": 1}),
        lambda m: (m.Book.filter(pk=2), {"publisher": None, "published": None, "pages": 2}),
    ),
    "sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=2), {"pages": F("pages") + 2}),
    ),
    "sums": (
        lambda m: (m.Book.filter(pk=1), {"pages": 3 * (F("pages") - F("id")) % 7, "title": "a"}),
        lambda m: (m.Book.filter(pk=2), {"pages": 5 * (F("pages") - F("id")) % 9, "title": "b"}),
    ),
    "sum_of_decimals": (
        lambda m: (m.Book.filter(pk=1), {"price": F("price") + Decimal("0.5")}),
        lambda m: (m.Book.filter(pk=2), {"price": F("price") + Decimal("1.25")}),
    ),
    "conditions": (
        lambda m: (m.Book.filter(Q(pk__in=[1, 2]) | Q(title__contains="a")), {"pages": 1}),
        lambda m: (m.Book.filter(Q(pk__in=[3, 4]) | Q(title__contains="%")), {"pages": 1}),
    ),
    "subquery": (
        lambda m: (m.Book.filter(author__in=m.Author.filter(name="a"), pages=1), {"pages": 2}),
        lambda m: (m.Book.filter(author__in=m.Author.filter(name="b"), pages=3), {"pages": 4}),
    ),
    "composite_key": (
        lambda m: (m.Chapter.filter(book_id=1, number=2), {"title": "a"}),
        lambda m: (m.Chapter.filter(book_id=3, number=4), {"title": "b"}),
    ),
    "inherited": (
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1}),
        lambda m: (m.Shop.filter(place_ptr=2), {"stock": 2}),
    ),
}

#: Pairs that have texts of their own, or are left to Django.
OTHER: dict[str, tuple[Build, Build]] = {
    "null_or_not": (
        lambda m: (m.Book.filter(pk=1), {"published": None}),
        lambda m: (m.Book.filter(pk=1), {"published": NOON}),
    ),
    "columns": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
        lambda m: (m.Book.filter(pk=1), {"price": 1}),
    ),
    "order_of_columns": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1, "price": 1}),
        lambda m: (m.Book.filter(pk=1), {"price": 1, "pages": 1}),
    ),
    "conditions": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
        lambda m: (m.Book.filter(pk__gt=1), {"pages": 1}),
    ),
    "no_condition": (
        lambda m: (m.Book.all(), {"pages": 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
    ),
    "longer_list": (
        lambda m: (m.Book.filter(pk__in=[1]), {"pages": 1}),
        lambda m: (m.Book.filter(pk__in=[1, 2]), {"pages": 1}),
    ),
    "no_row": (
        lambda m: (m.Book.filter(pk__in=[1]), {"pages": 1}),
        lambda m: (m.Book.filter(pk__in=[]), {"pages": 1}),
    ),
    "number_out_of_range": (
        lambda m: (m.Book.filter(pages=1), {"pages": 1}),
        lambda m: (m.Book.filter(pages=2**70), {"pages": 1}),
    ),
    "operator": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - 1}),
    ),
    "sides": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": 1 - F("pages")}),
    ),
    "operand": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - F("id")}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("id") - F("pages")}),
    ),
    "kind_of_operand": (
        lambda m: (m.Thing.filter(pk=1), {"ratio": F("ratio") + 1}),
        lambda m: (m.Thing.filter(pk=1), {"ratio": F("number") + 1.5}),
    ),
    "object": (
        lambda m: (m.Book.filter(pk=1), {"author": m.Author.model(pk=1)}),
        lambda m: (m.Book.filter(pk=1), {"author": m.Author.model(pk=2)}),
    ),
    "function": (
        lambda m: (m.Book.filter(pk=1), {"title": Upper("title")}),
        lambda m: (m.Book.filter(pk=1), {"title": Func("title", function="LOWER")}),
    ),
    "column_of_a_sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=1), {"price": F("pages") + 1}),
    ),
    "kind_of_sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": _sum(output_field=models.DecimalField())}),
        lambda m: (m.Book.filter(pk=1), {"pages": _sum()}),
    ),
    "kind_of_value": (
        lambda m: (
            m.Book.filter(pk=1),
            {"pages": F("pages") + Value(1, output_field=models.DecimalField())},
        ),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + Value(1)}),
    ),
    "column": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("id")}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages")}),
    ),
    "value": (
        lambda m: (m.Book.filter(pk=1), {"pages": Value(1)}),
        lambda m: (m.Book.filter(pk=1), {"pages": Value(2)}),
    ),
    "joined": (
        lambda m: (m.Book.filter(author__name="a"), {"pages": 1}),
        lambda m: (m.Book.filter(author__name="b"), {"pages": 1}),
    ),
    "order": (
        lambda m: (m.Book.filter(pages__gt=1).order_by("pk"), {"pages": 1}),
        lambda m: (m.Book.filter(pages__gt=1).order_by("-pk"), {"pages": 1}),
    ),
    "extra": (
        lambda m: (m.Book.extra(where=["pages > %s"], params=[1]), {"pages": 1}),
        lambda m: (m.Book.extra(where=["pages > %s"], params=[2]), {"pages": 1}),
    ),
    "bytes": (
        lambda m: (m.Thing.filter(pk=1), {"data": b"a"}),
        lambda m: (m.Thing.filter(pk=2), {"data": b"b"}),
    ),
    "parent": (
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1, "name": "a"}),
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1}),
    ),
    "model": (
        lambda m: (m.Author.filter(pk=1), {"name": "a"}),
        lambda m: (m.Genre.filter(pk=1), {"name": "a"}),
    ),
}


def updating(m: Library, build: Build) -> Any:
    """Return the compiler of an UPDATE, as `QuerySet.update()` makes it."""
    asked, values = build(m)
    query: Any = asked.query.chain(UpdateQuery)
    query.add_update_values(values)
    query.annotations = {}
    return query.get_compiler(m.alias)


def made_by(make: Callable[[], Any]) -> Any:
    try:
        sql, params = make()
    except EmptyResultSet as error:
        return type(error)
    return sql, shown(params)


def found_by(texts: Texts, m: Library, build: Build) -> Any:
    compiler = updating(m, build)
    return made_by(lambda: texts.compile(compiler, compiler.as_sql, update_shape_of))


def django_makes(m: Library, build: Build) -> Any:
    return made_by(updating(m, build).as_sql)


@contextmanager
def compilations() -> Iterator[list[Any]]:
    """Collect the UPDATEs that Django compiles in the block."""
    made: list[Any] = []
    as_sql: Any = SQLUpdateCompiler.as_sql

    def noting(self: Any) -> Any:
        made.append(self.query)
        return as_sql(self)

    # The library tells Django's own methods by their module.
    noting.__module__ = SQLUpdateCompiler.__module__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLUpdateCompiler, "as_sql", noting)
        yield made


@everywhere
@pytest.mark.parametrize("name", SAME)
def test_one_text_for_all_values(database: str, name: str) -> None:
    m = Library(database)
    for one, other in (SAME[name], reversed(SAME[name])):
        texts = Texts()
        assert found_by(texts, m, one) == django_makes(m, one)
        with compilations() as made:
            found = found_by(texts, m, other)
        assert found == django_makes(m, other)
        assert made == []


@everywhere
@pytest.mark.parametrize("name", OTHER)
def test_other_texts(database: str, name: str) -> None:
    m = Library(database)
    for one, other in (OTHER[name], reversed(OTHER[name])):
        texts = Texts()
        for build in (one, other, one, other):
            assert found_by(texts, m, build) == django_makes(m, build)


@everywhere
def test_rows_are_as_without_the_cache(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    populate(m)
    first, second = m.Book.order_by("pk")[:2]
    with override_settings(DATABASE_ROUTERS=[OneDatabase(database)]):
        for turn in range(3):
            m.Book.filter(pk=first.pk).update(pages=F("pages") + 2)
            # This one has columns returned, where the database can.
            second.title, second.published = f"{turn}", None if turn % 2 else NOON
            second.save()
            m.Author.filter(pk=first.author_id).update(name=f"{turn}")
            with querycache.disabled():
                kept = m.Book.get(pk=second.pk)
                assert (kept.title, kept.published) == (second.title, second.published)
                assert m.Book.get(pk=first.pk).pages == first.pages + 2 * (turn + 1)
                assert m.Author.get(pk=first.author_id).name == f"{turn}"
            assert m.Book.get(pk=second.pk).title == f"{turn}"


@on_sqlite
def test_saving_compiles_once(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    author = m.Author.create(name="a")
    author.save(using=database)
    with compilations() as made:
        for name in "bcd":
            author.name = name
            author.save(using=database)
    assert made == []
    assert m.Author.get(pk=author.pk).name == "d"


@on_sqlite
def test_what_only_shows_a_text_is_compiled_by_django(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    m.Author.filter(pk=1).update(name="a")
    m.Author.filter(pk=1).update(name="b")
    with compilations() as made:
        updating(m, lambda m: (m.Author.filter(pk=1), {"name": "c"})).as_sql()
    assert len(made) == 1


@on_sqlite
def test_columns_that_are_returned(database: str) -> None:
    """The shape of a query does not tell of them."""
    if not hasattr(SQLUpdateCompiler, "returning_fields"):
        pytest.skip("this release of Django returns none")
    configure(STORE="memory://")
    m = Library(database)
    populate(m)
    book = m.Book.first()
    values = {"pages": 1}
    for _ in range(2):
        m.Book.filter(pk=book.pk).update(**values)
    query = m.Book.filter(pk=book.pk).query.chain(UpdateQuery)
    query.add_update_values(values)
    returned = query.get_compiler(database).execute_returning_sql(
        [m.Book.model._meta.get_field("double")]
    )
    assert list(map(tuple, returned)) == [(2,)]


@isolate_apps("tests.library")
@on_sqlite
def test_fields_with_placeholders_of_their_own(database: str) -> None:
    class Wrapped(models.CharField):
        said = "upper"

        def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
            return f"{self.said}(%s)"

        def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
            return f"{self.said}(%s)", [value]

    class Card(models.Model):
        name = Wrapped(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("upper", "lower"):
        Wrapped.said = said
        query = UpdateQuery(Card)
        query.add_update_values({"name": "a"})
        compiler = query.get_compiler(database)
        assert said in texts.compile(compiler, compiler.as_sql, update_shape_of)[0]


@isolate_apps("tests.library")
@on_sqlite
@pytest.mark.parametrize("first", ["none", "sql", "now", "a"])
def test_fields_that_make_something_else_of_a_value(database: str, first: str) -> None:
    class Turned(models.CharField):
        def get_db_prep_save(self, value: Any, connection: Any) -> Any:
            made = {"none": None, "sql": Upper(Value("b")), "now": Now()}
            return made.get(value, value)

    class Card(models.Model):
        name = Turned(max_length=5, null=True)
        pages = models.IntegerField()

        class Meta:
            app_label = "library"

    def compiler_for(value: str) -> Any:
        query = UpdateQuery(Card)
        query.add_update_values({"name": value, "pages": 1})
        return query.get_compiler(database)

    texts = Texts()
    for value in (first, "none", "sql", "now", "a", "none", "b", "sql"):
        compiler = compiler_for(value)
        found = texts.compile(compiler, compiler.as_sql, update_shape_of)
        assert found == compiler_for(value).as_sql()


@on_sqlite
@pytest.mark.parametrize("raises", [True, False])
def test_verify_compares(database: str, raises: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=raises)
    m = Library(database)
    author = m.Author.create(name="a")
    for name in "bc":
        m.Author.filter(pk=author.pk).update(name=name)
    monkeypatch.setattr(Assigned, "process_rhs", lambda *args: ("%s", ("wrong",)))
    if raises:
        with pytest.raises(querycache.StaleHit):
            m.Author.filter(pk=author.pk).update(name="d")
    else:
        m.Author.filter(pk=author.pk).update(name="d")
    with querycache.disabled():
        assert m.Author.get(pk=author.pk).name == ("c" if raises else "d")


@on_sqlite
def test_it_can_be_turned_off(database: str) -> None:
    configure(STORE="memory://", REUSE_SQL=False)
    assert transaction_of(connections[database]).texts is None
    m = Library(database)
    with compilations() as made:
        for name in "ab":
            m.Author.filter(pk=1).update(name=name)
    assert len(made) == 2


def test_queries_of_other_classes_and_with_other_attributes() -> None:
    class Marked(UpdateQuery):
        pass

    m = Library("default")
    compiler = updating(m, lambda m: (m.Author.filter(pk=1), {"name": "a"}))
    assert update_shape_of(compiler) is not None
    compiler.query.hint = "other"
    assert update_shape_of(compiler) is None
    query: Any = m.Author.filter(pk=1).query.chain(Marked)
    query.add_update_values({"name": "a"})
    assert update_shape_of(query.get_compiler("default")) is None


@on_sqlite
@pytest.mark.parametrize("name", SAME)
def test_what_is_told_by_its_address_is_kept(database: str, name: str) -> None:
    """Else something else could be there one day."""
    texts = Texts()
    found_by(texts, Library(database), SAME[name][0])
    ((key, text),) = texts._known.items()
    addresses = {part for part in key if type(part) is int and part > 1 << 20}
    assert addresses
    assert addresses <= {id(field) for field in text._fields}


@on_sqlite
def test_compilers_of_others_make_every_text(database: str) -> None:
    class Own(SQLUpdateCompiler):
        made = 0

        def as_sql(self, *args: Any) -> Any:
            Own.made += 1
            return super().as_sql(*args)

    configure(STORE="memory://")
    m = Library(database)
    m.Author.create(name="a")
    for name in "bcd":
        query: Any = UpdateQuery(Author)
        query.add_update_values({"name": name})
        compiler: Any = cached_class(Own)(query, connections[database], database)
        compiler.execute_sql(ROW_COUNT)
    assert Own.made == 3
    assert m.Author.get().name == "d"

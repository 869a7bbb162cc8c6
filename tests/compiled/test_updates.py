"""UPDATEs: one text for all that differ in values alone, and Django's own for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import F
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
from tests.compiled.asking import compilations, everywhere, on_sqlite, shown
from tests.compiled.fields import TURNED, Turned, Wrapped
from tests.compiled.updates import NOON, OTHER, SAME, Build
from tests.environment import configure
from tests.library.models import Author
from tests.shapes.dataset import Library, populate
from tests.test_query_shapes import OneDatabase


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


@everywhere
@pytest.mark.parametrize("name", SAME)
def test_one_text_for_all_values(database: str, name: str) -> None:
    m = Library(database)
    for one, other in (SAME[name], reversed(SAME[name])):
        texts = Texts()
        assert found_by(texts, m, one) == django_makes(m, one)
        with compilations(SQLUpdateCompiler) as made:
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
    with compilations(SQLUpdateCompiler) as made:
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
    with compilations(SQLUpdateCompiler) as made:
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
def test_fields_with_placeholders_of_their_own(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Card(models.Model):
        name = Wrapped(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("upper", "lower"):
        monkeypatch.setattr(Wrapped, "said", said)
        query = UpdateQuery(Card)
        query.add_update_values({"name": "a"})
        compiler = query.get_compiler(database)
        assert said in texts.compile(compiler, compiler.as_sql, update_shape_of)[0]


@isolate_apps("tests.library")
@on_sqlite
@pytest.mark.parametrize("first", TURNED)
def test_fields_that_make_something_else_of_a_value(database: str, first: str) -> None:
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
    for value in (first, *TURNED, "none", "b", "sql"):
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
    with compilations(SQLUpdateCompiler) as made:
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

"""INSERTs of one row: one text for all that differ in values alone."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models
from django.db.models import F, Value
from django.db.models.functions import Now, Upper
from django.db.models.sql.compiler import SQLInsertCompiler
from django.db.models.sql.subqueries import InsertQuery
from django.test.utils import isolate_apps

import querycache
from querycache.assignments import Assigned
from querycache.compiled import Texts
from querycache.compiler import cached_class
from querycache.write_shapes import insert_shape_of
from tests.compiled.asking import compilations, everywhere, on_sqlite, shown
from tests.compiled.fields import TURNED, Turned, Wrapped
from tests.environment import configure
from tests.library.models import Author, Book, Chapter, Review, Shop, Thing
from tests.shapes.dataset import UTC, Library

Make = Callable[[], "models.Model"]

ISBN = uuid.UUID(int=1)
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=UTC)

SAME: dict[str, tuple[Make, Make]] = {
    "text": (lambda: Author(name="a"), lambda: Author(name="b")),
    "key": (lambda: Author(pk=1, name="a"), lambda: Author(pk=2, name="b")),
    "null": (
        lambda: Author(name="a", born=None),
        lambda: Author(name="b", born=datetime.date(2026, 1, 1)),
    ),
    "kinds": (
        lambda: Review(
            book_id=1, stars=1, length=datetime.timedelta(1), at=datetime.time(1, 2), text="%s"
        ),
        lambda: Review(
            book_id=2, stars=5, length=datetime.timedelta(2), at=datetime.time(3), text=""
        ),
    ),
    "json": (
        lambda: Book(title="a", author_id=1, extra={"a": 1}, isbn=ISBN),
        lambda: Book(title="b", author_id=2, extra={"b": [2]}, isbn=ISBN),
    ),
    "composite_key": (
        lambda: Chapter(book_id=1, number=2, title="a"),
        lambda: Chapter(book_id=3, number=4, title="b"),
    ),
    "inherited": (lambda: Shop(pk=1, stock=1), lambda: Shop(pk=2, stock=2)),
}

#: What is compiled by Django, or has a text of its own.
OTHER: dict[str, tuple[Make, Make]] = {
    "key_or_not": (lambda: Author(name="a"), lambda: Author(pk=1, name="a")),
    "model": (lambda: Author(name="a"), lambda: Shop(pk=1, stock=1)),
    "function": (lambda: Author(name=Upper(Value("a"))), lambda: Author(name=Value("a"))),
    "now": (
        lambda: Book(title="a", author_id=1, published=Now(), isbn=ISBN),
        lambda: Book(title="a", author_id=1, published=NOON, isbn=ISBN),
    ),
    "bytes": (lambda: Thing(code="a", data=b"a"), lambda: Thing(code="b", data=b"b")),
}


def inserting(row: models.Model, alias: str, *, conflict: Any = None, returned: bool = True) -> Any:
    """Return the compiler of an INSERT, as `Model.save()` makes it."""
    meta: Any = type(row)._meta
    fields = [field for field in meta.local_concrete_fields if not field.generated]
    if row.pk is None:
        fields.remove(meta.auto_field)
    query: Any = InsertQuery(type(row), on_conflict=conflict)
    query.insert_values(fields, [row])
    compiler: Any = query.get_compiler(alias)
    compiler.returning_fields = list(meta.db_returning_fields) if returned else None
    return compiler


def found_by(texts: Texts, compiler: Any) -> Any:
    def only() -> Any:
        ((sql, params),) = compiler.as_sql()
        return sql, params

    return told([texts.compile(compiler, only, insert_shape_of)], compiler)


def told(made: Any, compiler: Any) -> Any:
    return [(sql, shown(params)) for sql, params in made], compiler.returning_params


def django_makes(compiler: Any) -> Any:
    return told(compiler.as_sql(), compiler)


@everywhere
@pytest.mark.parametrize("returned", [True, False])
@pytest.mark.parametrize("name", SAME)
def test_one_text_for_all_values(database: str, name: str, returned: bool) -> None:
    for one, other in (SAME[name], reversed(SAME[name])):
        texts = Texts()
        first = inserting(one(), database, returned=returned)
        assert found_by(texts, first) == django_makes(inserting(one(), database, returned=returned))
        with compilations(SQLInsertCompiler) as made:
            found = found_by(texts, inserting(other(), database, returned=returned))
        assert found == django_makes(inserting(other(), database, returned=returned))
        assert made == []


@everywhere
@pytest.mark.parametrize("name", OTHER)
def test_other_texts(database: str, name: str) -> None:
    for one, other in (OTHER[name], reversed(OTHER[name])):
        texts = Texts()
        for make in (one, other, one, other):
            found = found_by(texts, inserting(make(), database))
            assert found == django_makes(inserting(make(), database))


@everywhere
def test_what_is_returned_and_conflicts(database: str) -> None:
    from django.db.models.constants import OnConflict

    texts = Texts()
    ways: list[dict[str, Any]] = [
        {"returned": True},
        {"returned": False},
        {"returned": False, "conflict": OnConflict.IGNORE},
    ]
    for way in (*ways, *ways, *reversed(ways)):
        compiler = inserting(Author(name="a"), database, **way)
        made = django_makes(inserting(Author(name="a"), database, **way))
        assert found_by(texts, compiler) == made


@everywhere
def test_rows_are_as_without_the_cache(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    writer = m.Author.create(name="writer")
    for turn in range(3):
        m.Book.count()
        book = m.Book.create(title=f"{turn}", author=writer, pages=turn)
        assert book.double == 2 * turn
        author = m.Author.create(name=f"{turn}", born=None if turn else NOON.date())
        shop = m.Shop.create(name=f"{turn}", stock=turn)
        assert m.Author.bulk_create([Author(name=f"bulk {turn}")])[0].pk != author.pk
        with querycache.disabled():
            assert m.Book.get(pk=book.pk).title == f"{turn}"
            assert m.Author.get(pk=author.pk).born == (None if turn else NOON.date())
            assert m.Shop.get(pk=shop.pk).stock == turn
            assert m.Author.filter(name=f"bulk {turn}").count() == 1
        assert m.Book.get(pk=book.pk).title == f"{turn}"


@on_sqlite
def test_creating_compiles_once(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    m.Author.create(name="a")
    with compilations(SQLInsertCompiler) as made:
        for name in "bcd":
            m.Author.create(name=name)
    assert made == []
    assert m.Author.count() == 4


@on_sqlite
def test_several_rows_are_left_to_django(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    m.Author.create(name="a")
    for _ in range(2):
        with compilations(SQLInsertCompiler) as made:
            m.Author.bulk_create([Author(name="b"), Author(name="c")])
        assert len(made) == 1
    assert sorted(m.Author.values_list("name", flat=True)) == list("abbcc")


@isolate_apps("tests.library")
@on_sqlite
@pytest.mark.parametrize("reuses", [True, False])
def test_fields_are_asked_for_a_value_once(database: str, reuses: bool) -> None:
    class Counted(models.IntegerField):
        numbers = itertools.count(1)

        def pre_save(self, model_instance: Any, add: bool) -> Any:
            return next(self.numbers)

    class Card(models.Model):
        number = Counted()
        name = models.CharField(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    name = "a" if reuses else Upper(Value("a"))
    for number in (1, 2, 3):
        compiler = inserting(Card(name=name), database)
        ((_, params),), _ = found_by(texts, compiler)
        assert params[0] == (int, str(number))


@isolate_apps("tests.library")
@on_sqlite
def test_columns_with_defaults_of_the_database(database: str) -> None:
    class Card(models.Model):
        name = models.CharField(max_length=5, db_default="a")
        number = models.IntegerField(db_default=1)

        class Meta:
            app_label = "library"

    texts = Texts()
    for given in ({}, {"name": "b"}, {}, {"name": "c", "number": 2}, {"number": 3}, {"name": "d"}):
        found = found_by(texts, inserting(Card(**given), database))
        assert found == django_makes(inserting(Card(**given), database))


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
        ((sql, _),), _ = found_by(texts, inserting(Card(name="a"), database))
        assert said in sql


@on_sqlite
def test_what_no_row_can_be_given_is_an_error_as_ever(database: str) -> None:
    configure(STORE="memory://")
    m = Library(database)
    for _ in range(2):
        with pytest.raises(ValueError, match="F\\(\\) expressions"):
            m.Author.create(name=F("name"))
        with pytest.raises(ValueError, match="expected a number"):
            m.Review.create(book_id=1, stars="many")
    assert m.Author.count() == 0


@on_sqlite
@pytest.mark.parametrize("raises", [True, False])
def test_verify_compares(database: str, raises: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=raises)
    m = Library(database)
    for name in "ab":
        m.Author.create(name=name)
    monkeypatch.setattr(Assigned, "process_rhs", lambda *args: ("%s", ("wrong",)))
    if raises:
        with pytest.raises(querycache.StaleHit):
            m.Author.create(name="c")
    else:
        m.Author.create(name="c")
    with querycache.disabled():
        names = m.Author.order_by("pk").values_list("name", flat=True)
        assert "".join(names) == ("ab" if raises else "abc")


@on_sqlite
def test_it_can_be_turned_off(database: str) -> None:
    configure(STORE="memory://", REUSE_SQL=False)
    m = Library(database)
    with compilations(SQLInsertCompiler) as made:
        for name in "ab":
            m.Author.create(name=name)
    assert len(made) == 2


@isolate_apps("tests.library")
@on_sqlite
@pytest.mark.parametrize("first", TURNED)
def test_fields_that_make_something_else_of_a_value(database: str, first: str) -> None:
    class Card(models.Model):
        name = Turned(max_length=5, null=True)
        pages = models.IntegerField()

        class Meta:
            app_label = "library"

    texts = Texts()
    for value in (first, *TURNED, "none", "b", "sql"):
        card = Card(name=value, pages=1)
        assert found_by(texts, inserting(card, database)) == django_makes(inserting(card, database))


def test_queries_of_other_classes_and_with_other_attributes() -> None:
    class Marked(InsertQuery):
        pass

    compiler = inserting(Author(name="a"), "default")
    assert insert_shape_of(compiler) is not None
    compiler.query.hint = "other"
    assert insert_shape_of(compiler) is None
    compiler = inserting(Author(name="a"), "default")
    compiler.query.__class__ = Marked
    assert insert_shape_of(compiler) is None


@on_sqlite
def test_columns_have_an_order(database: str) -> None:
    texts = Texts()
    for _ in range(2):
        for turned in (False, True):
            compiler, other = (inserting(Author(name="a"), database) for _ in range(2))
            if turned:
                compiler.query.fields.reverse()
                other.query.fields.reverse()
            assert found_by(texts, compiler) == django_makes(other)


@on_sqlite
@pytest.mark.parametrize("name", SAME)
def test_what_is_told_by_its_address_is_kept(database: str, name: str) -> None:
    """Else something else could be there one day."""
    texts = Texts()
    found_by(texts, inserting(SAME[name][0](), database))
    ((key, text),) = texts._known.items()
    addresses = {part for part in key if type(part) is int and part > 1 << 20}
    assert addresses
    assert addresses <= {id(field) for field in text._fields}


@on_sqlite
def test_compilers_of_others_make_every_text(database: str) -> None:
    class Own(SQLInsertCompiler):
        made = 0

        def as_sql(self, *args: Any) -> Any:
            Own.made += 1
            return super().as_sql(*args)

    configure(STORE="memory://")
    for name in "abc":
        query = inserting(Author(name=name), database).query
        cached_class(Own)(query, connections[database], database).execute_sql()
    assert Own.made == 3
    assert Library(database).Author.count() == 3

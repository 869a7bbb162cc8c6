"""What is kept are the values that fields hold, where a backend of Django's makes them."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models.sql.constants import MULTI, SINGLE
from django.test import override_settings
from django.test.utils import isolate_apps

import querycache
from tests.compiled.asking import compiler_of, everywhere, on_sqlite
from tests.shapes.dataset import Library

Ask = Callable[[], Any]

_numbers = itertools.count()


def shown(rows: Any) -> list[Any]:
    """Return rows with the types of their values, which equal ones may differ in."""
    return [[(type(value), repr(value)) for value in row] for row in rows]


def hits(ask: Ask) -> Any:
    """Ask once more; fails where that is no hit."""
    before = querycache.stats()
    found = ask()
    after = querycache.stats()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    return found


@everywhere
def test_values_are_those_without_the_cache(m: Library) -> None:
    columns = ("price", "published", "isbn", "in_print", "extra", "author__born", "reviews__at")

    def ask() -> list[Any]:
        return shown(m.Book.order_by("pk", "reviews__pk").values_list("pk", *columns))

    with querycache.disabled():
        expected = ask()
    assert len({kind for kind, _ in map(tuple, expected[0])}) > 5
    assert ask() == expected
    assert hits(ask) == expected


@everywhere
def test_objects_are_those_without_the_cache(m: Library) -> None:
    def ask() -> list[Any]:
        found = m.Book.select_related("author", "publisher").annotate(cost=models.F("price"))
        return shown(
            [book.cost, *(getattr(one, field.attname) for field in one._meta.concrete_fields)]
            for book in found.order_by("pk")
            for one in (book, book.author)
        )

    with querycache.disabled():
        expected = ask()
    assert ask() == expected
    assert hits(ask) == expected


@on_sqlite
def test_hits_convert_nothing(m: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> list[Any]:
        return shown(m.Book.order_by("pk").values_list("pk", "published", "isbn", "price"))

    expected = ask()

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a value of a hit was converted")

    monkeypatch.setattr(connections[m.alias].ops, "get_db_converters", refuse)
    assert hits(ask) == expected


@everywhere
def test_compilers_give_others_the_rows_of_the_driver(database: str, m: Library) -> None:
    books = m.Book.order_by("pk").values_list("pk", "price", "published", "in_print")

    def rows() -> list[Any]:
        found = compiler_of(books, database).execute_sql(MULTI)
        assert len(found) == 1
        assert found[0] == next(iter(found))
        return shown(found[0])

    with querycache.disabled():
        expected = rows()
        one = compiler_of(books, database).execute_sql(SINGLE)
    for _ in range(3):
        assert rows() == expected
        assert compiler_of(books, database).execute_sql(SINGLE) == one


@on_sqlite
@isolate_apps("tests.library")
def test_one_text_and_other_fields(m: Library) -> None:
    def mapped(**fields: Any) -> Any:
        told = {"app_label": "library", "managed": False, "db_table": "library_book"}
        meta = type("Meta", (), told)
        body = {"__module__": __name__, "Meta": meta, **fields}
        made: Any = type(f"Mapped{next(_numbers)}", (models.Model,), body)
        return made._default_manager.using(m.alias)

    m.Book.filter(pk=1).update(price=Decimal("12.34"))
    text = models.CharField(max_length=50)
    decimal = models.DecimalField
    seen = []
    for price, published in (
        (decimal(max_digits=8, decimal_places=2), models.DateTimeField()),
        (decimal(max_digits=8, decimal_places=1), text),
        (decimal(max_digits=8, decimal_places=2), text),
        (models.FloatField(), models.DateTimeField()),
    ):
        table = mapped(price=price, published=published)
        asked = table.filter(pk=1).values_list("price", "published")
        with querycache.disabled():
            expected = shown(asked.all())
        for _ in range(2):
            assert shown(asked.all()) == expected
        seen.append((str(asked.query), tuple(expected[0])))
    assert len({text for text, _ in seen}) == 1
    assert len({values for _, values in seen}) == 4


class Shouting(models.DateTimeField):
    """A field with a conversion of its own, which is not to be kept."""

    voice = "!"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return f"{value:%Y}{self.voice}"


@on_sqlite
@isolate_apps("tests.library")
def test_what_fields_make_of_values_is_made_anew(
    m: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loud(models.Model):
        published = Shouting()
        price = models.DecimalField(max_digits=8, decimal_places=2)

        class Meta:
            app_label = "library"
            managed = False
            db_table = "library_book"

    year = datetime.datetime(2021, 5, 4, tzinfo=datetime.UTC)
    m.Book.filter(pk=1).update(published=year)
    loud = Loud._default_manager.using(m.alias)

    def ask() -> Any:
        return loud.values_list("published", "price").get(pk=1)

    price = m.Book.values_list("price", flat=True).get(pk=1)
    assert ask() == ("2021!", price)
    monkeypatch.setattr(Shouting, "voice", "?")
    assert hits(ask) == ("2021?", price)


@on_sqlite
def test_times_follow_the_settings(m: Library) -> None:
    def ask() -> Any:
        return m.Book.filter(published__isnull=False).values_list("published", flat=True)[0]

    aware = ask()
    assert aware.tzinfo is not None
    assert hits(ask) == aware
    with override_settings(USE_TZ=False):
        for _ in range(2):
            assert ask() == aware.replace(tzinfo=None)
    assert hits(ask) == aware


@on_sqlite
@pytest.mark.parametrize(
    "written",
    ["2021-05-04 12:00:00+01:00", "2021-05-04T12:00:00Z", "2021-05-04", "no time", "2021-99-99", 7],
)
def test_what_others_have_written(m: Library, written: Any) -> None:
    with connections[m.alias].cursor() as cursor:
        cursor.execute("UPDATE library_book SET published = %s WHERE id = 1", [written])

    def ask() -> Any:
        try:
            return shown(m.Book.filter(pk=1).values_list("published", "price"))
        except (ValueError, TypeError, AttributeError, FieldError) as error:
            return type(error), str(error)

    with querycache.disabled():
        expected = ask()
    for _ in range(3):
        assert ask() == expected

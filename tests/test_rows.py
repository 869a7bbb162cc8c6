"""What is made of certain rows lives on while others are written, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F

import querycache
from querycache.changes import MOST_ROWS
from querycache.reading import Read
from tests.catalogue.triggers import rewriting
from tests.environment import configure
from tests.explaining import cache_of
from tests.kinds import on, servers
from tests.library.models import Author, Genre, Place, Shop, Thing
from tests.watching import execute

every = on("sqlite", "sqlite_wal", "postgresql", "mariadb")
TABLE = Genre._meta.db_table


def genre(alias: str, pk: int) -> Any:
    return Genre.objects.using(alias).filter(pk=pk).values_list("name", flat=True)


def hit(queryset: Any) -> bool:
    return querycache.explain(queryset).hit


@pytest.fixture
def genres(database: str) -> str:
    """Genres 1 to 3, of which each is in the cache by itself."""
    configure(STORE="memory://")
    Genre.objects.using(database).bulk_create(Genre(pk=pk, name=f"{pk}") for pk in (1, 2, 3))
    for pk in (1, 2, 3):
        assert list(genre(database, pk)) == [f"{pk}"]
        assert hit(genre(database, pk))
    return database


# -- writes to a row -----------------------------------------------------------------------------


def _update(alias: str) -> None:
    Genre.objects.using(alias).filter(pk=2).update(name="new")


def _save(alias: str) -> None:
    Genre(pk=2, name="new").save(using=alias)


def _save_in_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        _save(alias)


def _delete(alias: str) -> None:
    Genre.objects.using(alias).get(pk=2).delete()


def _raw(alias: str) -> None:
    execute(alias, f"UPDATE {TABLE} SET {_quoted(alias, 'name', 'id')}", ["new", 2])


def _quoted(alias: str, column: str, key: str) -> str:
    """Return an assignment to one row; only quoted names are surely those of columns."""
    quote = connections[alias].ops.quote_name
    return f"{quote(column)} = %s WHERE {quote(key)} = %s"


ONE_ROW = (_update, _save, _save_in_transaction, _delete, _raw)


@every
@pytest.mark.parametrize("write", ONE_ROW)
def test_write_to_one_row(genres: str, write: Callable[[str], None]) -> None:
    write(genres)
    assert hit(genre(genres, 1))
    assert not hit(genre(genres, 2))
    assert list(genre(genres, 2)) != ["2"]


@every
@pytest.mark.parametrize("write", ONE_ROW)
def test_write_to_one_row_is_one_to_its_table(genres: str, write: Callable[[str], None]) -> None:
    everything = Genre.objects.using(genres).order_by("pk").values_list("name", flat=True)
    assert list(everything.all()) == ["1", "2", "3"]
    write(genres)
    assert list(everything.all()) != ["1", "2", "3"]


@every
def test_expressions(genres: str) -> None:
    things = Thing.objects.using(genres)
    things.bulk_create(Thing(pk=pk, code=f"{pk}", number=pk) for pk in (1, 2))
    numbers = [things.filter(pk=pk).values_list("number", flat=True) for pk in (1, 2)]
    assert [list(each.all()) for each in numbers] == [[1], [2]]
    things.filter(pk=2).update(number=F("number") + 5)
    assert hit(numbers[0])
    assert list(numbers[1].all()) == [7]


@every
def test_results_of_several_rows(genres: str) -> None:
    def some(*pks: int) -> dict[int, str]:
        found = Genre.objects.using(genres).in_bulk(pks)
        return {pk: one.name for pk, one in found.items()}

    assert [some(1, 3) for _ in range(2)] == [{1: "1", 3: "3"}] * 2
    _update(genres)
    hits = querycache.stats().hits
    assert some(1, 3) == {1: "1", 3: "3"}
    assert querycache.stats().hits == hits + 1
    assert some(1, 2) == {1: "1", 2: "new"}
    Genre.objects.using(genres).filter(pk__in=[2, 3]).update(name="both")
    assert some(1, 3) == {1: "1", 3: "both"}
    assert some(1, 2) == {1: "1", 2: "both"}
    assert hit(genre(genres, 1))


# -- writes that may be to any row ---------------------------------------------------------------


def _all(alias: str) -> None:
    Genre.objects.using(alias).update(name="new")


def _by_another_column(alias: str) -> None:
    Genre.objects.using(alias).filter(name="2").update(name="new")


def _one_or_another(alias: str) -> None:
    found = Genre.objects.using(alias)
    (found.filter(pk=1) | found.filter(name="2")).update(name="new")


def _not_one(alias: str) -> None:
    Genre.objects.using(alias).exclude(pk=1).update(name="new")


def _by_a_literal(alias: str) -> None:
    execute(alias, f"UPDATE {TABLE} SET name = 'new' WHERE id = 2")


def _by_text(alias: str) -> None:
    execute(alias, f"UPDATE {TABLE} SET {_quoted(alias, 'name', 'id')}", ["new", "2"])


def _many(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        sql = f"UPDATE {TABLE} SET {_quoted(alias, 'name', 'id')}"
        cursor.executemany(sql, [("new", 2), ("new", 3)])


def _upsert(alias: str) -> None:
    options: dict[str, Any] = {"update_conflicts": True, "update_fields": ["name"]}
    if connections[alias].vendor != "mysql":
        options["unique_fields"] = ["id"]
    Genre.objects.using(alias).bulk_create([Genre(pk=2, name="new")], **options)


def _invalidate(alias: str) -> None:
    querycache.invalidate(Genre, using=alias)
    with querycache.disabled():
        _update(alias)


@every
@pytest.mark.parametrize(
    "write",
    [
        *(_all, _by_another_column, _one_or_another, _not_one, _by_a_literal, _by_text),
        *(_many, _upsert, _invalidate),
    ],
)
def test_write_to_any_row(genres: str, write: Callable[[str], None]) -> None:
    if write is _by_text and connections[genres].vendor == "postgresql":
        pytest.skip("PostgreSQL compares no text with a number")
    write(genres)
    assert list(genre(genres, 2)) == ["new"]
    assert not hit(genre(genres, 1))


@every
@pytest.mark.parametrize("column", ["id", "rowid", "oid", "_rowid_"])
def test_row_that_gets_another_key(genres: str, column: str) -> None:
    if column != "id" and connections[genres].vendor != "sqlite":
        pytest.skip("the key has no other name")
    assert list(genre(genres, 9)) == []
    execute(genres, f"UPDATE {TABLE} SET {_quoted(genres, column, 'id')}", [9, 2])
    assert list(genre(genres, 9)) == ["2"]
    assert list(genre(genres, 2)) == []


@servers
def test_trigger_that_gives_a_row_another_key(genres: str) -> None:
    with rewriting(genres, TABLE, "UPDATE", "id", 9):
        assert [list(genre(genres, 9)) for _ in range(2)] == [[], []]
        _update(genres)
        assert list(genre(genres, 9)) == ["new"]


# -- rows that are not there ---------------------------------------------------------------------


@every
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_row_that_is_made(genres: str, mechanism: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not mechanism:
        monkeypatch.setattr(Read, "lacks_none", lambda self, result: self.rows > 0)
    assert [list(genre(genres, 4)) for _ in range(2)] == [[], []]
    assert hit(genre(genres, 4))
    Genre.objects.using(genres).create(pk=4, name="4")
    assert (list(genre(genres, 4)) == ["4"]) is mechanism
    # It is none of these.
    assert hit(genre(genres, 1))


@every
def test_row_that_is_made_again(genres: str) -> None:
    _delete(genres)
    assert [list(genre(genres, 2)) for _ in range(2)] == [[], []]
    Genre.objects.using(genres).create(pk=2, name="again")
    assert list(genre(genres, 2)) == ["again"]


@every
def test_row_that_another_condition_keeps_out(genres: str) -> None:
    named = Genre.objects.using(genres).filter(pk=2, name="new")
    assert [named.exists() for _ in range(2)] == [False, False]
    _update(genres)
    assert [named.exists() for _ in range(2)] == [True, True]


# -- transactions --------------------------------------------------------------------------------


@every
def test_savepoint_that_is_rolled_back(genres: str) -> None:
    with transaction.atomic(genres):
        try:
            with transaction.atomic(genres):
                Genre.objects.using(genres).filter(pk=1).update(name="never")
                raise LookupError
        except LookupError:
            pass
        _update(genres)
        assert list(genre(genres, 1)) == ["1"]
        assert list(genre(genres, 2)) == ["new"]
    assert hit(genre(genres, 1))
    assert list(genre(genres, 2)) == ["new"]


@every
def test_transaction_that_writes_many_rows(genres: str) -> None:
    with transaction.atomic(genres):
        for pk in range(2, MOST_ROWS + 3):
            Genre.objects.using(genres).filter(pk=pk).update(name="new")
    assert list(genre(genres, 2)) == ["new"]
    assert not hit(genre(genres, 1))


# -- other tables --------------------------------------------------------------------------------


@every
def test_cascade_to_a_table_of_one_own_key(genres: str) -> None:
    authors = Author.objects.using(genres)
    first = authors.create(pk=1, name="first")
    authors.create(pk=2, name="second", mentor=first)
    second = authors.filter(pk=2).values_list("mentor", flat=True)
    assert [list(second.all()) for _ in range(2)] == [[1], [1]]
    first.delete()
    assert list(second.all()) == [None]


@every
def test_model_of_two_tables(genres: str) -> None:
    shop = Shop.objects.using(genres).create(name="old", stock=1)
    other = Shop.objects.using(genres).create(name="other", stock=1)
    names = [Place.objects.using(genres).filter(pk=one.pk) for one in (shop, other)]
    for each in names:
        list(each.all())
    shop.name = "new"
    shop.save(using=genres)
    assert [each.get().name for each in names] == ["new", "other"]
    assert Shop.objects.using(genres).get(pk=shop.pk).name == "new"
    assert hit(names[1])


# -- near cache, and what people see -------------------------------------------------------------


@every
def test_near_cache(database: str) -> None:
    configure(STORE="memory://", NEAR="checked")
    Thing.objects.using(database).bulk_create(Thing(pk=pk, code=f"{pk}") for pk in (1, 2))
    things = [Thing.objects.using(database).filter(pk=pk) for pk in (1, 2, 3)]
    codes = [each.values_list("code", flat=True) for each in things]
    for _ in range(2):
        assert [list(each.all()) for each in codes] == [["1"], ["2"], []]
    things[1].update(code="new")
    near = querycache.stats().near
    assert list(codes[0].all()) == ["1"]
    assert querycache.stats().near == near + 1
    assert list(codes[1].all()) == ["new"]
    Thing.objects.using(database).create(pk=3, code="3")
    assert list(codes[2].all()) == ["3"]


@every
def test_explained(genres: str) -> None:
    found = querycache.explain(genre(genres, 2))
    assert found.rows == (2,)
    assert found.dependencies == (TABLE,)
    assert "rows: 2" in str(found)
    assert querycache.explain(Genre.objects.using(genres).all()).rows == ()


@every
def test_damaged_entry_of_a_row(genres: str) -> None:
    key = querycache.explain(genre(genres, 2)).key
    assert key is not None
    store = cache_of().store
    entry = store.read(key.encode(), ())[0]
    assert entry is not None
    store.write(key.encode(), entry[:-1] + bytes([entry[-1] ^ 1]), 60)
    assert querycache.explain(genre(genres, 2)).reason == "the entry is damaged or not ours"
    assert list(genre(genres, 2)) == ["2"]
    assert querycache.stats().damaged == 1

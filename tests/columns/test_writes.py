"""What a result says of a few columns lives on while others are written, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F, Max

import querycache
from querycache import refining
from querycache.changes import MOST_COLUMNS, MOST_NAMED, MOST_ROWS
from tests.columns.helpers import TABLE, asked, every, is_fresh, lives_on, things
from tests.environment import configure
from tests.library.models import Book, Thing
from tests.watching import execute

Query = Callable[[str], Any]


def _count(alias: str) -> Any:
    return things(alias).filter(number__gt=1).count()


def _exists(alias: str) -> Any:
    return things(alias).filter(number=2).exists()


def _greatest(alias: str) -> Any:
    return things(alias).aggregate(found=Max("number"))["found"]


def _values(alias: str) -> Any:
    return list(things(alias).order_by("pk").values_list("pk", "number"))


def _page(alias: str) -> Any:
    return list(things(alias).order_by("-number", "pk").values_list("number", flat=True)[:2])


def _named_once(alias: str) -> Any:
    return sorted(things(alias).filter(number__in=[1, 2]).values_list("number", flat=True))


QUERIES = (_count, _exists, _greatest, _values, _page, _named_once)


def _update(alias: str, **values: Any) -> None:
    things(alias).filter(pk=2).update(**values)


def _counter(alias: str) -> None:
    _update(alias, ratio=F("ratio") + 1)


def _save_other_columns(alias: str) -> None:
    thing = Thing(pk=2, ratio=5.0, address="::1", code="new")
    thing.save(using=alias, update_fields=["ratio", "address", "code"])


def _raw(alias: str) -> None:
    quote = connections[alias].ops.quote_name
    execute(alias, f"UPDATE {TABLE} SET {quote('ratio')} = %s WHERE {quote('id')} = %s", [7, 2])


def _in_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        _counter(alias)
        _update(alias, address="::2")


OTHERS = (_counter, _save_other_columns, _raw, _in_transaction)


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("write", OTHERS)
def test_other_columns(shelf: str, query: Query, write: Callable[[str], None]) -> None:
    assert lives_on(lambda: query(shelf), lambda: write(shelf))


def _number(alias: str) -> None:
    _update(alias, number=0)


def _number_and_others(alias: str) -> None:
    thing = Thing(pk=2, number=9, ratio=1.0)
    thing.save(using=alias, update_fields=["ratio", "number"])


def _save(alias: str) -> None:
    """More columns than are told apart."""
    assert len(Thing._meta.concrete_fields) - 1 > MOST_COLUMNS
    Thing(pk=2, code="2", number=0).save(using=alias)


def _delete(alias: str) -> None:
    things(alias).get(pk=2).delete()


def _create(alias: str) -> None:
    things(alias).create(pk=4, code="4", number=2)


def _any_rows(alias: str) -> None:
    things(alias).filter(code="2").update(number=0)


def _within_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        _counter(alias)
        _number(alias)


def _beside_many_columns(alias: str) -> None:
    with transaction.atomic(alias):
        for column in ("code", "ratio", "number"):
            _update(alias, **{column: 8})
        _update(alias, data=b"8")
        _update(alias, address="::8")
        for pk in range(10, 10 + MOST_ROWS - 1):
            things(alias).filter(pk=pk).update(code="no")


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    "write",
    [
        *(_number, _number_and_others, _save, _delete, _create, _any_rows),
        *(_within_transaction, _beside_many_columns),
    ],
)
def test_this_column(shelf: str, query: Query, write: Callable[[str], None]) -> None:
    assert not lives_on(lambda: query(shelf), lambda: write(shelf))


@every
@pytest.mark.parametrize("write", [_number, _save, _delete])
def test_without_the_mechanism(
    shelf: str, write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refining, "column_of", lambda table, column: f"{table}\0\0ratio")
    monkeypatch.setattr(refining, "ANY", "\0\0ratio")
    for _ in range(2):
        _values(shelf)
    write(shelf)
    assert asked(lambda: _values(shelf))[1]
    assert not is_fresh(lambda: _values(shelf))


@every
def test_invalidate(shelf: str) -> None:
    for target in (Thing, things(shelf).get(pk=1), TABLE):
        _count(shelf)
        querycache.invalidate(target, using=shelf)
        assert not asked(lambda: _count(shelf))[1]


@every
def test_rolled_back(shelf: str) -> None:
    def write() -> None:
        with transaction.atomic(shelf):
            _number(shelf)
            assert _count(shelf) == 1
            transaction.set_rollback(True, using=shelf)

    assert lives_on(lambda: _count(shelf), write)


@every
@pytest.mark.parametrize("near", ["checked", "push"])
def test_near_cache(shelf: str, near: str) -> None:
    configure(STORE="memory://", NEAR=near)
    assert lives_on(lambda: _count(shelf), lambda: _counter(shelf))
    assert querycache.stats().near
    assert not lives_on(lambda: _count(shelf), lambda: _number(shelf))


# -- results that depend on more than the columns that are named ---------------------------------


def _ties(alias: str) -> Any:
    return list(things(alias).order_by("number").values_list("number", flat=True))


def _any_two(alias: str) -> Any:
    return list(things(alias).values_list("number", flat=True)[:2])


@every
@pytest.mark.parametrize("query", [_ties, _any_two])
def test_order_that_is_not_told(shelf: str, query: Query) -> None:
    assert not lives_on(lambda: query(shelf), lambda: _counter(shelf))


@every
def test_many_columns(shelf: str) -> None:
    columns = ["id", "title", "author", "publisher", "price", "pages", "in_print"]
    for number in (MOST_NAMED, MOST_NAMED + 1):
        found = querycache.explain(Book.objects.using(shelf).values_list(*columns[:number]))
        assert found.cacheable
        assert bool(found.columns) is (number <= MOST_NAMED)


@every
def test_explained(shelf: str) -> None:
    found = querycache.explain(things(shelf).filter(number=2).values_list("code"))
    assert found.columns == {TABLE: ("code", "number")}
    assert f"columns of {TABLE}: code, number" in str(found)
    assert querycache.explain(things(shelf).order_by("code")).columns == {}
    rows = things(shelf).filter(number=2).values_list("code")
    list(rows.all())
    _update(shelf, code="new")
    assert "written" in querycache.explain(rows).reason

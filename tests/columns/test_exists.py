"""`exists()` is as true as the row is that it has found, whatever becomes of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections

import querycache
from querycache.changes import NEW
from querycache.lists import Listing
from querycache.state import transaction_of
from tests.columns.books import books, counter, filled, update
from tests.columns.existence import (
    QUERIES,
    Query,
    Witnesses,
    elsewhere,
    every_query,
    joined,
    of_few_columns,
    others,
)
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.explaining import cache_of
from tests.library.models import Author, Book
from tests.stages import keys_of, plant
from tests.test_path_costs import counting


@every
@every_query
def test_others_that_no_longer_are(library: str, witnesses: Witnesses, query: Query) -> None:
    first, second, *_ = others(query, witnesses.of(query))
    update(library, first, in_print=False)
    assert asked(lambda: query(library)) == (True, True)
    books(library).get(pk=second).delete()
    assert asked(lambda: query(library)) == (True, True)
    counter(library)
    assert asked(lambda: query(library)) == (True, True)
    assert is_fresh(lambda: query(library))


@every
def test_new_rows(library: str, witnesses: Witnesses) -> None:
    witnesses.of(of_few_columns)
    author = Author.objects.using(library).get(pk=2)
    books(library).create(pk=9, title="new", author=author, pages=99)
    assert asked(lambda: of_few_columns(library)) == (True, True)


@every
@every_query
def test_its_row(library: str, witnesses: Witnesses, query: Query) -> None:
    for change in (
        lambda pk: update(library, pk, price=9),
        lambda pk: update(library, pk, in_print=False),
        lambda pk: books(library).get(pk=pk).delete(),
        lambda pk: books(library).filter(title=f"book {pk}").update(in_print=False),
    ):
        change(witnesses.of(query))
        assert not asked(lambda: query(library))[1]
        assert is_fresh(lambda: query(library))


@every
@every_query
def test_the_last_one(library: str, witnesses: Witnesses, query: Query) -> None:
    last = witnesses.of(query)
    for pk in others(query, last):
        update(library, pk, in_print=False)
    assert asked(lambda: query(library)) == (True, True)
    update(library, last, in_print=False)
    assert query(library) is False
    assert asked(lambda: query(library)) == (False, True)
    update(library, last, in_print=True)
    assert query(library) is True


@every
@every_query
def test_any_rows(library: str, witnesses: Witnesses, query: Query) -> None:
    witnesses.of(query)
    books(library).filter(pages__gt=0).update(in_print=False)
    assert query(library) is False


@every
def test_joined_rows(library: str, witnesses: Witnesses) -> None:
    witnesses.of(joined)
    Author.objects.using(library).filter(pk=1).update(name="new")
    assert joined(library) is False


@every
@every_query
def test_rows_that_come(library: str, query: Query) -> None:
    """There is none at first, and none is no row to depend on."""
    books(library).update(in_print=False)
    author = Author.objects.using(library).get(pk=1)
    for turn in range(3):
        assert query(library) is False
        elsewhere(library, turn)
    books(library).create(pk=9, title="new", author=author, pages=99)
    assert query(library) is True


@every
def test_a_primary_key_that_is_another_column_now(library: str, witnesses: Witnesses) -> None:
    """A plan from before would ask for a column that names no row."""
    witnesses.of(of_few_columns)
    state = transaction_of(connections[library])
    sql, plan = next((sql, one) for sql, one in state.database.plans.items() if one.witness)
    (everything,) = cache_of().read_stamps(plan.stamp_keys[:1]) or ()
    assert everything is not None
    assert plan.knowledge is not None
    old = replace(plan, knowledge=replace(plan.knowledge, everything=b""))
    assert state.database.is_current(state, sql, old, everything)
    assert not state.database.is_current(state, sql, replace(old, witness="another"), everything)


@every
def test_slices(library: str) -> None:
    """That there is a second row, one row does not say."""

    def ask() -> bool:
        found: bool = books(library).filter(pages__gt=1, in_print=True)[1:].exists()
        return found

    for stays in range(2, 8):
        for turn in range(3):
            elsewhere(library, turn)
            assert ask()
        # One of them is the row that was given.
        for pk in range(2, 8):
            if pk != stays:
                update(library, pk, in_print=False)
        assert ask() is False
        books(library).filter(pk__lt=8).update(in_print=True)


# -- near caches ---------------------------------------------------------------------------------


@every
@every_query
@pytest.mark.parametrize("near", ["checked", "push"])
def test_near_cache(
    database: str, near: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(STORE="memory://", NEAR=near)
    filled(database)
    witness = Witnesses(database, monkeypatch).of(query)
    query(database)
    for write in (
        lambda: update(database, others(query, witness)[0], in_print=False),
        lambda: elsewhere(database, 50),
        lambda: books(database).get(pk=8).delete(),
    ):
        write()
        near_hits = querycache.stats().near
        assert asked(lambda: query(database)) == (True, True)
        assert querycache.stats().near > near_hits
    update(database, witness, in_print=False)
    assert not asked(lambda: query(database))[1]
    assert is_fresh(lambda: query(database))


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@every
@every_query
def test_near_cache_that_is_told_of_changes(
    database: str, store_url: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"exists{database}{QUERIES.index(query)}"
    configure(STORE=store_url, NEAR="push", KEY_PREFIX=prefix)
    plant(cache_of().store, keys_of(database, Book, Author))
    filled(database)
    witness = Witnesses(database, monkeypatch).of(query)
    query(database)
    elsewhere(database, 50)
    # It is not told of stamps on which the answer does not depend.
    with counting(cache_of(), database) as counted:
        query(database)
    assert counted.store == []
    update(database, witness, in_print=False)
    assert is_fresh(lambda: query(database))


# -- without the mechanisms ----------------------------------------------------------------------


def _without_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = Listing.buckets
    monkeypatch.setattr(Listing, "buckets", lambda self, rows: buckets(self, rows) and b"\0\x09")


def _without_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.changes.ALL", NEW)


def _without_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is none is taken to depend on nothing."""
    buckets = Listing.buckets

    def told(self: Listing, rows: Any) -> bytes | None:
        return buckets(self, rows) if rows else b""

    monkeypatch.setattr(Listing, "buckets", told)


def _its_row(alias: str) -> None:
    for pk in range(1, 8):
        update(alias, pk, in_print=False)


def _any(alias: str) -> None:
    books(alias).filter(pages__gt=0).update(in_print=False)


def _one_again(alias: str) -> None:
    _its_row(alias)
    for turn in range(3):
        of_few_columns(alias)
        elsewhere(alias, turn)
    update(alias, 3, in_print=True)


@every
@pytest.mark.parametrize(
    ("without", "write"),
    [(_without_its_row, _its_row), (_without_all_rows, _any), (_without_none, _one_again)],
)
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_without_the_mechanism(
    database: str,
    without: Callable[[pytest.MonkeyPatch], None],
    write: Callable[[str], None],
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not mechanism:
        without(monkeypatch)
    configure(STORE="memory://")
    filled(database)
    for turn in range(3):
        elsewhere(database, turn)
        assert of_few_columns(database)
    write(database)
    assert is_fresh(lambda: of_few_columns(database)) is mechanism

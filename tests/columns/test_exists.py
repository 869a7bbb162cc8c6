"""`exists()` is as true as the row is that it has found, whatever becomes of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.db.models import Value
from django.db.models.sql.constants import SINGLE
from django.test.utils import CaptureQueriesContext

import querycache
from querycache.changes import NEW
from querycache.lists import LISTED, Listing, Lists
from querycache.rawsql.witnesses import witnessing
from querycache.state import transaction_of
from tests.columns.books import books, counter, filled, update
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.explaining import cache_of
from tests.library.models import Author, Book
from tests.stages import keys_of, plant
from tests.test_path_costs import counting

Query = Callable[[str], bool]


def _of_author(alias: str) -> bool:
    found: bool = books(alias).filter(author=1, in_print=True).exists()
    return found


def _of_few_columns(alias: str) -> bool:
    found: bool = books(alias).filter(pages__gt=1, in_print=True).exists()
    return found


def _of_many_columns(alias: str) -> bool:
    found: bool = (
        books(alias)
        .filter(pages__gt=1, in_print=True, price__lt=50, publisher=None, published=None)
        .filter(author__gt=0, title__gt="")
        .exists()
    )
    return found


def _joined(alias: str) -> bool:
    found: bool = books(alias).filter(author__name="1", in_print=True).exists()
    return found


QUERIES = (_of_author, _of_few_columns, _of_many_columns, _joined)
every_query = pytest.mark.parametrize("query", QUERIES)


def _elsewhere(alias: str, turn: int) -> None:
    """Write what each result may depend on, in a book that is in none."""
    update(alias, 8, in_print=False, pages=turn + 2, price=turn)


class Witnesses:
    """Which row each `exists()` was last kept for."""

    def __init__(self, alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alias = alias
        self._last = 0
        note = Lists.note

        def noted(lists: Lists, fingerprint: bytes, listed: Any, seal: bytes) -> None:
            self._last = int.from_bytes(seal[2:4], "big") if seal.startswith(LISTED) else 0
            note(lists, fingerprint, listed, seal)

        monkeypatch.setattr(Lists, "note", noted)

    def of(self, query: Query) -> int:
        """Ask until it is known; returns the row's key."""
        for turn in range(3):
            _elsewhere(self.alias, turn)
            assert query(self.alias)
        assert self._last
        assert asked(partial(query, self.alias))[1]
        return self._last


@pytest.fixture
def witnesses(library: str, monkeypatch: pytest.MonkeyPatch) -> Witnesses:
    return Witnesses(library, monkeypatch)


def _others(query: Query, witness: int) -> list[int]:
    start = 1 if query in (_of_author, _joined) else 2
    step = 2 if query in (_of_author, _joined) else 1
    return [pk for pk in range(start, 8, step) if pk != witness]


@every
@every_query
def test_others_that_no_longer_are(library: str, witnesses: Witnesses, query: Query) -> None:
    first, second, *_ = _others(query, witnesses.of(query))
    update(library, first, in_print=False)
    assert asked(lambda: query(library)) == (True, True)
    books(library).get(pk=second).delete()
    assert asked(lambda: query(library)) == (True, True)
    counter(library)
    assert asked(lambda: query(library)) == (True, True)
    assert is_fresh(lambda: query(library))


@every
def test_new_rows(library: str, witnesses: Witnesses) -> None:
    witnesses.of(_of_few_columns)
    author = Author.objects.using(library).get(pk=2)
    books(library).create(pk=9, title="new", author=author, pages=99)
    assert asked(lambda: _of_few_columns(library)) == (True, True)


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
    for pk in _others(query, last):
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
    witnesses.of(_joined)
    Author.objects.using(library).filter(pk=1).update(name="new")
    assert _joined(library) is False


@every
@every_query
def test_rows_that_come(library: str, query: Query) -> None:
    """There is none at first, and none is no row to depend on."""
    books(library).update(in_print=False)
    author = Author.objects.using(library).get(pk=1)
    for turn in range(3):
        assert query(library) is False
        _elsewhere(library, turn)
    books(library).create(pk=9, title="new", author=author, pages=99)
    assert query(library) is True


@every
def test_a_primary_key_that_is_another_column_now(library: str, witnesses: Witnesses) -> None:
    """A plan from before would ask for a column that names no row."""
    witnesses.of(_of_few_columns)
    state = transaction_of(connections[library])
    sql, plan = next((sql, one) for sql, one in state.database.plans.items() if one.witness)
    (everything,) = cache_of().read_stamps(plan.stamp_keys[:1]) or ()
    assert everything is not None
    assert plan.knowledge is not None
    old = replace(plan, knowledge=replace(plan.knowledge, everything=b""))
    assert state.database.is_current(state, sql, old, everything)
    assert not state.database.is_current(state, sql, replace(old, witness="another"), everything)


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
        lambda: update(database, _others(query, witness)[0], in_print=False),
        lambda: _elsewhere(database, 50),
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
    _elsewhere(database, 50)
    # It is not told of stamps on which the answer does not depend.
    with counting(cache_of(), database) as counted:
        query(database)
    assert counted.store == []
    update(database, witness, in_print=False)
    assert is_fresh(lambda: query(database))


# -- what is asked, and what Django gets ---------------------------------------------------------


@every
def test_its_key_is_asked_for(library: str, witnesses: Witnesses) -> None:
    connection = connections[library]
    with CaptureQueriesContext(connection) as captured:
        update(library, witnesses.of(_of_few_columns), pages=3)
        _of_few_columns(library)
    text = captured[-1]["sql"]
    quote = connection.ops.quote_name
    name = f"{quote(Book._meta.db_table)}.{quote('id')} AS {quote('a')}"
    assert text.startswith(f"SELECT {name} FROM")
    assert text.endswith("LIMIT 1")


@every
def test_what_compilers_return(library: str) -> None:
    """It is what Django has asked for, whoever gives it."""
    query = books(library).filter(pages__gt=1, in_print=True).query.exists()
    for turn in range(4):
        _elsewhere(library, turn)
        for _ in range(2):
            assert query.get_compiler(library).execute_sql(SINGLE) == (1,)
    update(library, 2, price=8)
    with querycache.disabled():
        assert query.get_compiler(library).execute_sql(SINGLE) == (1,)


@every
def test_other_questions(library: str) -> None:
    """Their texts look alike, and they ask for something else."""
    found = books(library).filter(pages__gt=1, in_print=True)
    for turn in range(4):
        _elsewhere(library, turn)
        for value in (1, 2, True, "1"):
            some = found.annotate(a=Value(value)).values_list("a", flat=True)[:1]
            assert list(some) == [value]
            query = found.annotate(a=Value(value)).values("a")[:1].query
            row = query.get_compiler(library).execute_sql(SINGLE)
            with querycache.disabled():
                # To some databases, what is true is 1.
                now = query.get_compiler(library).execute_sql(SINGLE)
            assert [*map(type, row)] == [*map(type, now)]
            assert row == now
        assert found[1:].exists()
        assert not found[9:].exists()
        assert found.distinct().exists()
        assert found.distinct()[2:4].exists()
        assert found.values("author").exists()


@every
@every_query
def test_compared_with_the_database(database: str, query: Query) -> None:
    """The database may find another row each time."""
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    filled(database)
    for turn in range(4):
        for pk in (1, 2, 3, 8):
            update(database, pk, price=turn, pages=turn + pk + 1)
            assert query(database)
            assert query(database)
    assert querycache.stats().stale == 0


TEXTS = {
    'SELECT %s AS "a" FROM "b" WHERE "b"."c" = %s LIMIT 1': (
        'SELECT "b"."id" AS "a" FROM "b" WHERE "b"."c" = %s LIMIT 1'
    ),
    "SELECT %s AS `a` FROM `b` LIMIT 1": "SELECT `b`.`id` AS `a` FROM `b` LIMIT 1",
    'SELECT %s AS "b" FROM "b" LIMIT 1': None,
    'SELECT %s AS "a`" FROM "b" LIMIT 1': None,
    'SELECT DISTINCT %s AS "a" FROM "b" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b""c" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b"."c" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b%%" LIMIT 1': None,
    'SELECT %s AS "a" FROM b LIMIT 1': None,
    ' SELECT %s AS "a" FROM "b" LIMIT 1': None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert witnessing(text, "id") == TEXTS[text]


@pytest.mark.parametrize("key", ['i"d', "i`d", "i%d", ""])
def test_keys_with_odd_names(key: str) -> None:
    assert witnessing('SELECT %s AS "a" FROM "b" LIMIT 1', key) is None


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
        _of_few_columns(alias)
        _elsewhere(alias, turn)
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
        _elsewhere(database, turn)
        assert _of_few_columns(database)
    write(database)
    assert is_fresh(lambda: _of_few_columns(database)) is mechanism

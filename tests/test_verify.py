"""`VERIFY` and shadow mode: hits that are compared with the database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connections, transaction
from django.db.models import Count

import querycache
from querycache import codec, reads
from querycache.runtime import runtime
from querycache.state import transaction_of
from querycache.verify import same_rows
from tests.environment import DATABASES, configure, elsewhere
from tests.shapes.dataset import Library, populate

everywhere = pytest.mark.parametrize("database", DATABASES, indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def using(database: str, **settings: Any) -> Library:
    configure(STORE="memory://", **settings)
    m = Library(database)
    populate(m)
    return m


def behind_its_back(alias: str, sql: str) -> None:
    """Write through the driver's own connection, as another program would."""
    connection = connections[alias]
    connection.ensure_connection()
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)
    # Drivers that are not in autocommit wait for this.
    connection.connection.commit()


RENAME = "UPDATE library_genre SET name = 'changed' WHERE id = 1"


def names(m: Library) -> list[str]:
    return list(m.Genre.order_by("pk").values_list("name", flat=True))


@everywhere
def test_without_it_a_write_from_outside_is_not_seen(database: str) -> None:
    """Else the tests below would show nothing."""
    m = using(database)
    before = names(m)
    behind_its_back(database, RENAME)
    assert names(m) == before
    assert querycache.stats().stale == 0


@everywhere
def test_a_stale_hit_is_counted_logged_and_mended(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    m = using(database, VERIFY=1.0)
    old = names(m)
    assert names(m) == old
    assert querycache.stats().stale == 0
    behind_its_back(database, RENAME)
    caplog.set_level(logging.ERROR, "querycache.verify")
    before = querycache.stats()
    # What is returned is the database's.
    assert names(m) == ["changed", *old[1:]]
    after = querycache.stats()
    assert (after.stale, after.hits) == (before.stale + 1, before.hits + 1)
    (record,) = caplog.records
    text = record.getMessage()
    assert "SELECT" in text
    assert "library_genre" in text
    assert "cached (4 rows): [('fact',)" in text
    assert "database (4 rows): [('changed',)" in text
    # Invalidated: the next read is a miss, and right; the one after that is a hit.
    assert not querycache.explain(m.Genre.order_by("pk").values_list("name", flat=True)).hit
    assert names(m) == ["changed", *old[1:]]
    hits = querycache.stats().hits
    assert names(m) == ["changed", *old[1:]]
    assert querycache.stats().hits == hits + 1
    assert len(caplog.records) == 1


@everywhere
def test_everything_that_depends_on_the_same_tables_is_invalidated(database: str) -> None:
    m = using(database, VERIFY=1.0)
    names(m)
    other = m.Book.filter(genres__name="fact").order_by("pk")
    list(other.all())
    assert querycache.explain(other).hit
    behind_its_back(database, RENAME)
    names(m)
    assert not querycache.explain(other).hit
    assert list(other.all()) == []


@everywhere
def test_a_stale_hit_can_raise(database: str) -> None:
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    names(m)
    names(m)
    behind_its_back(database, RENAME)
    with pytest.raises(querycache.StaleHit, match="library_genre"):
        names(m)
    assert names(m)[0] == "changed"
    assert querycache.stats().stale == 1


@on_sqlite
def test_single_rows_are_compared_too(database: str) -> None:
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    asked: list[tuple[Any, Any]] = [
        (lambda: m.Genre.count(), 0),
        (lambda: m.Genre.filter(name="fact").exists(), False),
        (lambda: m.Genre.aggregate(n=Count("books")), {"n": 0}),
    ]
    for ask, after in asked:
        populate(m)
        assert ask() == ask() != after
        behind_its_back(database, "DELETE FROM library_book_genres")
        behind_its_back(database, "DELETE FROM library_genre")
        with pytest.raises(querycache.StaleHit):
            ask()
        assert ask() == after


@on_sqlite
def test_the_share_is_what_is_compared(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m = using(database, VERIFY=0.25)
    names(m)
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    draws = iter([0.0, 0.24, 0.25, 0.5, 0.99])
    monkeypatch.setattr(reads, "random", lambda: next(draws))
    with connections[database].execute_wrapper(note):
        for _ in range(5):
            names(m)
    assert len(asked) == 2


@on_sqlite
def test_a_write_in_between_is_no_stale_hit(database: str, caplog: Any) -> None:
    """The row changed while the comparison ran, so both results were right when they were read."""
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    old = names(m)
    with _before_the_next_query(
        database, lambda: elsewhere(lambda: m.Genre.filter(pk=1).update(name="changed"))
    ):
        assert names(m) == ["changed", *old[1:]]
    assert querycache.stats().stale == 0
    assert not [record for record in caplog.records if record.name == "querycache.verify"]
    assert names(m) == ["changed", *old[1:]]


@on_sqlite
def test_a_write_under_way_is_no_stale_hit(database: str) -> None:
    """Its lease is in the stamp while the comparison runs, and its commit is still to come."""
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    names(m)
    assert runtime.current is not None
    cache = runtime.current.cache
    keys = transaction_of(connections[database]).database.stamp_keys({"library_genre"})

    def commit_without_end() -> None:
        cache.begin(keys)
        behind_its_back(database, RENAME)

    with _before_the_next_query(database, commit_without_end):
        assert names(m)[0] == "changed"
    assert querycache.stats().stale == 0


@contextmanager
def _before_the_next_query(alias: str, work: Any) -> Iterator[None]:
    pending = [work]

    def wrapper(execute: Any, *args: Any) -> Any:
        if pending:
            pending.pop()()
        return execute(*args)

    with connections[alias].execute_wrapper(wrapper):
        yield
    assert not pending, "nothing was compared"


@everywhere
def test_rows_without_an_order_are_compared_without_one(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    first = list(m.Genre.all())
    # As another plan of the database would give them.
    real = codec.decode
    monkeypatch.setattr(codec, "decode", lambda body: real(body)[::-1])
    assert list(m.Genre.all()) == first
    assert querycache.stats().stale == 0
    with pytest.raises(querycache.StaleHit):
        [list(m.Genre.order_by("pk")) for _ in range(2)]


def test_what_counts_as_the_same() -> None:
    nan = float("nan")
    assert same_rows([(nan,)], [(float("nan"),)], ordered=True)
    assert same_rows([(1,), (2,)], [(2,), (1,)], ordered=False)
    assert same_rows([(1,), (1,), (2,)], [(1,), (2,), (1,)], ordered=False)
    assert same_rows([], [], ordered=True)
    for cached, fresh in (
        ([(1,), (2,)], [(1,)]),
        ([(1,)], [(True,)]),
        ([(1,)], [(1.0,)]),
        ([(1,)], [("1",)]),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)]),
        ([(1, 2)], [(2, 1)]),
        ([(1,)], [(object(),)]),
    ):
        assert not same_rows(cached, fresh, ordered=False)
    assert not same_rows([(1,), (2,)], [(2,), (1,)], ordered=True)


class FakeDate(date):
    """As freezegun has drivers make them."""


class FakeDatetime(datetime):
    """As freezegun has drivers make them."""


class FinerDatetime(datetime):
    """Holds more than a datetime."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FinerDatetime) and super().__eq__(other)

    __hash__ = datetime.__hash__


@pytest.mark.parametrize("ordered", [True, False])
def test_a_date_of_a_subclass_is_the_date_that_it_equals(*, ordered: bool) -> None:
    zone = ZoneInfo("Europe/Berlin")
    # The hour that comes twice.
    late = (2026, 10, 25, 2, 30, 0, 5)

    def same(cached: object, fresh: object) -> bool:
        return same_rows([(cached, 1), (None, 2)], [(fresh, 1), (None, 2)], ordered=ordered)

    assert same(date(2026, 1, 2), FakeDate(2026, 1, 2))
    assert same(datetime(*late), FakeDatetime(*late))
    assert same(datetime(*late, tzinfo=zone, fold=1), FakeDatetime(*late, tzinfo=zone, fold=1))
    assert not same(date(2026, 1, 2), FakeDate(2026, 1, 3))
    assert not same(date(2026, 1, 2), FakeDatetime(2026, 1, 2))
    assert not same(datetime(2026, 1, 2), FakeDate(2026, 1, 2))
    assert not same(datetime(*late), FakeDatetime(*late[:-1], 6))
    assert not same(datetime(*late), FakeDatetime(*late, tzinfo=zone))
    assert not same(datetime(*late, tzinfo=UTC), FakeDatetime(*late, tzinfo=zone))
    assert not same(datetime(*late, tzinfo=zone), FakeDatetime(*late, tzinfo=zone, fold=1))
    assert not same(datetime(*late), FinerDatetime(*late))


@everywhere
def test_in_a_transaction_of_its_own(database: str) -> None:
    """The overlay is compared as well."""
    m = using(database, VERIFY=1.0, VERIFY_RAISES=True)
    with transaction.atomic(using=database):
        m.Genre.filter(pk=2).update(name="mine")
        names(m)
        assert names(m)[1] == "mine"
        assert querycache.stats().hits > 0
        with closing(connections[database].connection.cursor()) as cursor:
            cursor.execute(RENAME)
        with pytest.raises(querycache.StaleHit):
            names(m)
        assert names(m)[:2] == ["changed", "mine"]
    assert names(m)[:2] == ["changed", "mine"]


# -- shadow ------------------------------------------------------------------------------------


@everywhere
def test_shadow_never_serves(database: str) -> None:
    m = using(database, MODE="shadow", VERIFY_RAISES=True)
    old = names(m)
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connections[database].execute_wrapper(note):
        for _ in range(3):
            assert names(m) == old
    assert len(asked) == 3
    stats = querycache.stats()
    assert stats.stale == 0
    # What would have been served is counted.
    assert stats.hits >= 3
    behind_its_back(database, RENAME)
    # Counted and never raised: a trial must not break a page.
    assert names(m) == ["changed", *old[1:]]
    assert querycache.stats().stale == 1
    assert names(m) == ["changed", *old[1:]]
    assert querycache.stats().stale == 1


@everywhere
def test_shadow_in_a_transaction(database: str) -> None:
    m = using(database, MODE="shadow")
    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with transaction.atomic(using=database):
        m.Genre.filter(pk=2).update(name="mine")
        with connections[database].execute_wrapper(note):
            assert names(m)[1] == names(m)[1] == "mine"
    assert len(asked) == 2

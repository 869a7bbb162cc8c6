"""`explain()` within transactions, which have their own view."""

from __future__ import annotations

import pytest
from django.db import connections, transaction

from querycache.cache import QueryCache
from querycache.state import transaction_of
from tests.environment import DATABASES, elsewhere
from tests.explaining import cache_of, explained, missed
from tests.shapes.dataset import Library, populate

everywhere = pytest.mark.parametrize("database", DATABASES, indirect=True)


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


OWN_VIEW = "this transaction, which has its own view, has not run it yet"
RAN = "this transaction has run it and nothing changed since"


@everywhere
def test_in_a_transaction_that_has_written(m: Library, database: str) -> None:
    genres = m.Genre.order_by("pk")
    list(genres.all())
    assert explained(genres).reason == "the entry is valid"
    with transaction.atomic(using=database):
        m.Genre.filter(pk=1).update(name="mine")
        assert missed(genres) == OWN_VIEW
        assert next(iter(genres.all())).name == "mine"
        found = explained(genres)
        assert (found.hit, found.reason) == (True, RAN)
        assert found.size
        m.Genre.filter(pk=2).update(name="too")
        assert missed(genres) == OWN_VIEW
    assert missed(genres) == "a table was written since the entry was stored"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_in_a_transaction_while_others_write(m: Library, database: str) -> None:
    with transaction.atomic(using=database):
        m.Genre.filter(pk=1).update(name="mine")
        list(m.Genre.all())
        assert explained(m.Genre.all()).hit
        written = transaction_of(connections[database]).database.stamp_keys(["library_genre"])
        lease = cache_of().begin(written)
        reason = missed(m.Genre.all())
        assert reason == "a table is being written by others, or the store is down"
        cache_of().end(written, lease)
        assert missed(m.Genre.all()) == OWN_VIEW


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_in_a_serializable_transaction(m: Library, database: str) -> None:
    list(m.Genre.all())
    _set_level(database, "SERIALIZABLE")
    with transaction.atomic(using=database):
        assert missed(m.Genre.all()) == (
            "a serializable transaction runs every query once, to find conflicts"
        )
        list(m.Genre.all())
        assert explained(m.Genre.all()).reason == RAN


@pytest.mark.parametrize("database", ["sqlite_wal", "postgresql", "mariadb"], indirect=True)
def test_in_a_snapshot(m: Library, database: str) -> None:
    if database != "sqlite_wal":
        _set_level(database, "REPEATABLE READ")
    list(m.Genre.all())
    list(m.Book.all())
    with transaction.atomic(using=database):
        # Nothing has run yet, so this is what would happen now.
        assert explained(m.Genre.all()).reason == "the entry is valid"
        assert list(m.Genre.all())
        assert explained(m.Genre.all()).reason == "the entry is valid"
        assert missed(m.Author.all()) == "the store has no entry for it"
        elsewhere(lambda: m.Genre.filter(pk=1).update(name="theirs"))
        assert missed(m.Genre.all()) == (
            "the column name of library_genre was written since this transaction sees the database"
        )
        assert explained(m.Book.all()).hit
        list(m.Genre.all())
        assert explained(m.Genre.all()).reason == RAN


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_in_a_snapshot_from_before_anything_was_known(m: Library, database: str) -> None:
    _set_level(database, "REPEATABLE READ")
    list(m.Genre.all())
    with transaction.atomic(using=database):
        # The isolation is not known yet when the first statement passes.
        with connections[database].cursor() as cursor:
            cursor.execute("SELECT 1")
        assert missed(m.Genre.all()) == OWN_VIEW


def _set_level(database: str, level: str) -> None:
    with connections[database].cursor() as cursor:
        characteristics = "CHARACTERISTICS AS " if database == "postgresql" else ""
        cursor.execute(f"SET SESSION {characteristics}TRANSACTION ISOLATION LEVEL {level}")


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_under_an_isolation_that_is_not_cached(m: Library, database: str) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    with transaction.atomic(using=database):
        reason = missed(m.Genre.all())
    assert reason == "the isolation of the open transaction is not one that is cached"

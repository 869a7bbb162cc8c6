"""Transactions: own writes are seen, nothing uncommitted is shared, rollbacks leave nothing."""

# ruff: noqa: PT012 - the transaction ends by the exception that is expected
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, Error, IntegrityError, connections, transaction
from django.db.transaction import TransactionManagementError

import querycache
from querycache.cache import QueryCache
from querycache.stores.base import StoreError
from tests.environment import configure, elsewhere
from tests.kinds import concurrent, every, servers
from tests.library.models import Author, Genre
from tests.stores.calls import until
from tests.watching import Watch, execute, fresh_genres, genres, seed

# -- atomic ------------------------------------------------------------------------------------


@concurrent
def test_own_writes_are_seen_and_nothing_else_is_shared(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        for _ in range(3):
            assert genres(database) == ["crime", "own", "poetry"]
            assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
        assert elsewhere(watch.wrong) == {}
        assert elsewhere(watch.cold) == set()
    assert elsewhere(lambda: genres(database)) == ["crime", "own", "poetry"]
    watch.check_rows()


@every
def test_a_rollback_leaves_nothing(database: str, watch: Watch) -> None:
    with pytest.raises(LookupError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert genres(database) == genres(database) == ["crime", "own", "poetry"]
        raise LookupError
    assert genres(database) == ["crime", "poetry"]
    # Nothing was committed, so nothing was invalidated.
    watch.check()


@concurrent
def test_a_rollback_while_others_read(database: str, watch: Watch) -> None:
    with pytest.raises(LookupError), transaction.atomic(database):
        Genre.objects.using(database).all().delete()
        assert genres(database) == []
        assert elsewhere(watch.wrong) == {}
        assert genres(database) == []
        raise LookupError
    assert elsewhere(watch.wrong) == {}
    watch.check()


@every
def test_set_rollback(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        transaction.set_rollback(True, using=database)
    watch.check()


@every
def test_a_durable_block(database: str, watch: Watch) -> None:
    with transaction.atomic(database, durable=True):
        Genre.objects.using(database).create(name="own")
    watch.check("library_genre")


@every
def test_a_broken_transaction_still_says_so(database: str, cache: QueryCache) -> None:
    seed(database)
    genres(database)
    with transaction.atomic(database):
        genres(database)
        assert querycache.explain(
            Genre.objects.using(database).order_by("name").values_list("name", flat=True)
        ).hit
        transaction.set_rollback(True, using=database)
        with pytest.raises(TransactionManagementError):
            genres(database)
        assert "broken" in querycache.explain(Genre.objects.using(database).all()).reason


@servers
def test_a_long_transaction_reads_what_others_commit(
    database: str, cache: QueryCache, watch: Watch
) -> None:
    with transaction.atomic(database):
        Author.objects.using(database).create(name="own")
        for number in range(3):
            elsewhere(partial(Genre.objects.using(database).create, name=f"z{number}"))
            assert genres(database) == fresh_genres(database)
            assert genres(database)[-1] == f"z{number}"
            hits = cache.counters.hits
            genres(database)
            assert cache.counters.hits == hits + 1


@concurrent
def test_hooks_see_the_commit_and_so_do_threads(
    database: str, cache: QueryCache, watch: Watch
) -> None:
    seen = []

    def hook() -> None:
        seen.append(elsewhere(lambda: genres(database)))
        seen.append(genres(database))
        hits = cache.counters.hits
        seen.append(genres(database))
        assert cache.counters.hits == hits + 1
        Genre.objects.using(database).create(name="hook")
        seen.append(elsewhere(lambda: genres(database)))

    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        genres(database)
        transaction.on_commit(hook, using=database)
    assert seen == [["crime", "own", "poetry"]] * 3 + [["crime", "hook", "own", "poetry"]]
    assert genres(database) == fresh_genres(database)


# -- commits that fail -------------------------------------------------------------------------

DEFERRED = (
    "CREATE TABLE tight (id int PRIMARY KEY,"
    " parent int REFERENCES tight (id) DEFERRABLE INITIALLY DEFERRED)"
)


@pytest.fixture
def tight(database: str) -> Iterator[None]:
    execute(database, DEFERRED)
    yield
    execute(database, "DROP TABLE tight")


deferred = pytest.mark.parametrize(
    "database", ["sqlite", "sqlite_wal", "postgresql"], indirect=True
)


@pytest.mark.usefixtures("tight")
@deferred
def test_a_commit_that_fails(database: str, watch: Watch) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert genres(database) == ["crime", "own", "poetry"]
        execute(database, "INSERT INTO tight VALUES (1, 99)")
    assert genres(database) == ["crime", "poetry"]
    watch.check_rows()
    Genre.objects.using(database).create(name="later")
    watch.check("library_genre")


@pytest.mark.usefixtures("tight")
@deferred
def test_a_raw_commit_that_fails(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="own")
    execute(database, "INSERT INTO tight VALUES (1, 99)")
    assert genres(database) == ["crime", "own", "poetry"]
    with pytest.raises(IntegrityError):
        execute(database, "COMMIT")
    if database == "postgresql":
        # The transaction is gone; what follows commits at once.
        assert genres(database) == ["crime", "poetry"]
        Genre.objects.using(database).create(name="later")
        assert elsewhere(lambda: genres(database)) == ["crime", "later", "poetry"]
    else:
        # It is still open, and can be committed after all.
        assert genres(database) == ["crime", "own", "poetry"]
        execute(database, "DELETE FROM tight")
        execute(database, "COMMIT")
        assert elsewhere(lambda: genres(database)) == ["crime", "own", "poetry"]
    watch.check_rows()


# -- connections that end ----------------------------------------------------------------------


@concurrent
def test_close_within_a_transaction(database: str, watch: Watch) -> None:
    connection: Any = connections[database]
    # Whichever notices first: Django, the wrapped driver, or the driver's own clean-up.
    driver_error = connection.Database.Error
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        genres(database)
        connection.close()
        with pytest.raises((Error, TransactionManagementError, driver_error)):
            genres(database)
    assert genres(database) == ["crime", "poetry"]
    watch.check()


@concurrent
def test_close_after_a_raw_begin(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="own")
    genres(database)
    connections[database].close()
    assert genres(database) == ["crime", "poetry"]
    Genre.objects.using(database).create(name="later")
    assert elsewhere(lambda: genres(database)) == ["crime", "later", "poetry"]
    assert watch.wrong() == {}


def _session(using: str) -> int:
    function = "pg_backend_pid" if using == "postgresql" else "connection_id"
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {function}()")
        return int(cursor.fetchone()[0])


def _kill(using: str, session: int) -> None:
    kill = "SELECT pg_terminate_backend(%s)" if using == "postgresql" else "KILL %s"
    elsewhere(lambda: execute(using, kill, [session]))


@servers
def test_a_connection_lost_before_its_commit(database: str, watch: Watch) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert genres(database) == ["crime", "own", "poetry"]
        _kill(database, _session(database))
    assert genres(database) == ["crime", "poetry"]
    watch.check_rows()
    # Nobody knows whether the database is still at it, so the lease runs out by itself.
    until(lambda: watch.wrong() == {} and watch.cold() == set())
    Genre.objects.using(database).create(name="later")
    watch.check("library_genre")


# -- refused writes ----------------------------------------------------------------------------


class _Down(StoreError):
    pass


@every
def test_a_refused_write_rolls_back(
    database: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = configure(STORE=store_url, ON_STORE_FAILURE="raise")
    seed(database)
    store = installed.cache.store

    def refuse(*args: object) -> None:
        raise _Down("the store is down")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "begin", refuse)
        with pytest.raises(querycache.StoreUnavailable), transaction.atomic(database):
            Genre.objects.using(database).create(name="own")
            assert genres(database) == ["crime", "own", "poetry"]
        assert genres(database) == ["crime", "poetry"]
        with pytest.raises(querycache.StoreUnavailable):
            Genre.objects.using(database).create(name="own")
        assert genres(database) == ["crime", "poetry"]
    assert not connections[database].in_atomic_block
    assert connections[database].get_autocommit()
    assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]

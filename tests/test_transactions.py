"""Transactions: own writes are seen, nothing uncommitted is shared, rollbacks leave nothing."""

# ruff: noqa: PT012 - the transaction ends by the exception that is expected
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.transaction import TransactionManagementError

import querycache
from querycache.cache import QueryCache
from querycache.stores.base import StoreError
from tests.environment import DATABASES, configure, elsewhere
from tests.library.models import Author, Genre
from tests.watching import Watch, execute, seed

SHARING = ["postgresql", "mariadb"]
every = pytest.mark.parametrize("database", DATABASES, indirect=True)
# SQLite's rollback journal lets nobody read while a writer commits.
concurrent = pytest.mark.parametrize("database", ["sqlite_wal", *SHARING], indirect=True)
sharing = pytest.mark.parametrize("database", SHARING, indirect=True)
mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


def names(using: str) -> list[str]:
    return list(Genre.objects.using(using).order_by("name").values_list("name", flat=True))


def fresh(using: str) -> list[str]:
    with querycache.disabled():
        return names(using)


# -- atomic ------------------------------------------------------------------------------------


@concurrent
def test_own_writes_are_seen_and_nothing_else_is_shared(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        for _ in range(3):
            assert names(database) == ["crime", "own", "poetry"]
            assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
        assert elsewhere(watch.wrong) == {}
        assert elsewhere(watch.cold) == set()
    assert elsewhere(lambda: names(database)) == ["crime", "own", "poetry"]
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@every
def test_a_rollback_leaves_nothing(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with pytest.raises(LookupError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert names(database) == names(database) == ["crime", "own", "poetry"]
        raise LookupError
    assert names(database) == ["crime", "poetry"]
    # Nothing was committed, so nothing was invalidated.
    watch.check()


@concurrent
def test_a_rollback_while_others_read(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with pytest.raises(LookupError), transaction.atomic(database):
        Genre.objects.using(database).all().delete()
        assert names(database) == []
        assert elsewhere(watch.wrong) == {}
        assert names(database) == []
        raise LookupError
    assert elsewhere(watch.wrong) == {}
    watch.check()


@every
def test_set_rollback(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        transaction.set_rollback(True, using=database)
    watch.check()


@every
def test_a_durable_block(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with transaction.atomic(database, durable=True):
        Genre.objects.using(database).create(name="own")
    watch.check("library_genre")


@every
def test_a_broken_transaction_still_says_so(database: str, cache: QueryCache) -> None:
    seed(database)
    names(database)
    with transaction.atomic(database):
        names(database)
        assert querycache.explain(
            Genre.objects.using(database).order_by("name").values_list("name", flat=True)
        ).hit
        transaction.set_rollback(True, using=database)
        with pytest.raises(TransactionManagementError):
            names(database)
        assert "broken" in querycache.explain(Genre.objects.using(database).all()).reason


@sharing
def test_a_long_transaction_reads_what_others_commit(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    with transaction.atomic(database):
        Author.objects.using(database).create(name="own")
        for number in range(3):
            elsewhere(partial(Genre.objects.using(database).create, name=f"z{number}"))
            assert names(database) == fresh(database)
            assert names(database)[-1] == f"z{number}"
            hits = cache.counters.hits
            names(database)
            assert cache.counters.hits == hits + 1


@concurrent
def test_hooks_see_the_commit_and_so_do_threads(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    seen = []

    def hook() -> None:
        seen.append(elsewhere(lambda: names(database)))
        seen.append(names(database))
        hits = cache.counters.hits
        seen.append(names(database))
        assert cache.counters.hits == hits + 1
        Genre.objects.using(database).create(name="hook")
        seen.append(elsewhere(lambda: names(database)))

    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        names(database)
        transaction.on_commit(hook, using=database)
    assert seen == [["crime", "own", "poetry"]] * 3 + [["crime", "hook", "own", "poetry"]]
    assert names(database) == fresh(database)


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
def test_a_commit_that_fails(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with pytest.raises(IntegrityError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert names(database) == ["crime", "own", "poetry"]
        execute(database, "INSERT INTO tight VALUES (1, 99)")
    assert names(database) == ["crime", "poetry"]
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}
    Genre.objects.using(database).create(name="later")
    watch.check("library_genre")


@pytest.mark.usefixtures("tight")
@deferred
def test_a_raw_commit_that_fails(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="own")
    execute(database, "INSERT INTO tight VALUES (1, 99)")
    assert names(database) == ["crime", "own", "poetry"]
    with pytest.raises(IntegrityError):
        execute(database, "COMMIT")
    if database == "postgresql":
        # The transaction is gone; what follows commits at once.
        assert names(database) == ["crime", "poetry"]
        Genre.objects.using(database).create(name="later")
        assert elsewhere(lambda: names(database)) == ["crime", "later", "poetry"]
    else:
        # It is still open, and can be committed after all.
        assert names(database) == ["crime", "own", "poetry"]
        execute(database, "DELETE FROM tight")
        execute(database, "COMMIT")
        assert elsewhere(lambda: names(database)) == ["crime", "own", "poetry"]
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


# -- connections that end ----------------------------------------------------------------------


@concurrent
def test_close_within_a_transaction(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    connection: Any = connections[database]
    # Whichever notices first: Django, the wrapped driver, or the driver's own clean-up.
    driver_error = connection.Database.Error
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        names(database)
        connection.close()
        with pytest.raises((DatabaseError, TransactionManagementError, driver_error)):
            names(database)
    assert names(database) == ["crime", "poetry"]
    watch.check()


@concurrent
def test_close_after_a_raw_begin(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="own")
    names(database)
    connections[database].close()
    assert names(database) == ["crime", "poetry"]
    Genre.objects.using(database).create(name="later")
    assert elsewhere(lambda: names(database)) == ["crime", "later", "poetry"]
    assert watch.wrong() == {}


def _session(using: str) -> int:
    function = "pg_backend_pid" if using == "postgresql" else "connection_id"
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {function}()")
        return int(cursor.fetchone()[0])


def _kill(using: str, session: int) -> None:
    kill = "SELECT pg_terminate_backend(%s)" if using == "postgresql" else "KILL %s"
    elsewhere(lambda: execute(using, kill, [session]))


@sharing
def test_a_connection_lost_before_its_commit(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with pytest.raises(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert names(database) == ["crime", "own", "poetry"]
        _kill(database, _session(database))
    assert names(database) == ["crime", "poetry"]
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}
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
            assert names(database) == ["crime", "own", "poetry"]
        assert names(database) == ["crime", "poetry"]
        with pytest.raises(querycache.StoreUnavailable):
            Genre.objects.using(database).create(name="own")
        assert names(database) == ["crime", "poetry"]
    assert not connections[database].in_atomic_block
    assert connections[database].get_autocommit()
    assert elsewhere(lambda: names(database)) == ["crime", "poetry"]

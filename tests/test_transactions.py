"""Transactions: own writes are seen, nothing uncommitted is shared, rollbacks leave nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.db.transaction import TransactionManagementError

import querycache
from querycache.cache import QueryCache
from querycache.stores.base import StoreError
from tests.environment import DATABASES, add_database, configure, elsewhere, make_tables
from tests.library.models import Author, Genre
from tests.servers import PostgresServer, Unavailable, require
from tests.watching import Watch, execute, seed

SHARING = ["postgresql", "mariadb"]
every = pytest.mark.parametrize("database", DATABASES, indirect=True)
# SQLite's rollback journal lets nobody read while a writer commits, and nobody write beside readers.
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
    Watch(database)
    with transaction.atomic(database):
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
            elsewhere(lambda n=number: Genre.objects.using(database).create(name=f"z{n}"))
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


deferred = pytest.mark.parametrize("database", ["sqlite", "sqlite_wal", "postgresql"], indirect=True)


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


# -- without atomic ----------------------------------------------------------------------------


@concurrent
def test_autocommit_off(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    connection = connections[database]
    connection.set_autocommit(False)
    try:
        Genre.objects.using(database).create(name="one")
        assert names(database) == ["crime", "one", "poetry"]
        assert elsewhere(watch.wrong) == {}
        connection.rollback()
        assert names(database) == ["crime", "poetry"]
        Genre.objects.using(database).create(name="two")
        names(database)
        connection.commit()
        assert elsewhere(lambda: names(database)) == ["crime", "poetry", "two"]
        assert names(database) == ["crime", "poetry", "two"]
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@pytest.mark.parametrize("database", ["sqlite_wal", "mariadb"], indirect=True)
def test_turning_autocommit_on_commits(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    connection = connections[database]
    connection.set_autocommit(False)
    Genre.objects.using(database).create(name="own")
    assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
    connection.set_autocommit(True)
    assert elsewhere(lambda: names(database)) == ["crime", "own", "poetry"]
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@concurrent
def test_raw_begin_commit_and_rollback(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    for end, expected in (("ROLLBACK", ["crime", "poetry"]), ("COMMIT", ["crime", "own", "poetry"])):
        execute(database, "BEGIN")
        Genre.objects.using(database).create(name="own")
        assert names(database) == names(database) == ["crime", "own", "poetry"]
        assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
        execute(database, end)
        assert elsewhere(lambda: names(database)) == expected
        assert names(database) == expected
        Author.objects.using(database).update(name=end)
        assert elsewhere(watch.wrong) == {}


@sharing
def test_commit_and_chain(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="one")
    execute(database, "COMMIT AND CHAIN")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
    Genre.objects.using(database).create(name="two")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
    execute(database, "ROLLBACK AND CHAIN")
    assert names(database) == ["crime", "one", "poetry"]
    Genre.objects.using(database).create(name="three")
    execute(database, "COMMIT")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry", "three"]
    assert elsewhere(watch.wrong) == {}


@concurrent
def test_a_raw_commit_within_atomic(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    # A savepoint of Django's own would be gone as well.
    with contextlib.suppress(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        execute(database, "COMMIT")
        assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
        execute(database, "UPDATE library_author SET name = 'x'")
        assert elsewhere(watch.wrong) == {}
        assert names(database) == fresh(database)
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@mariadb
def test_raw_autocommit_off(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "SET autocommit = 0")
    Genre.objects.using(database).create(name="one")
    assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
    assert names(database) == ["crime", "one", "poetry"]
    execute(database, "SET autocommit = 1")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
    execute(database, "SET autocommit = 0")
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="two")
    # Django has turned autocommit on again.
    Author.objects.using(database).create(name="three")
    assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)
def test_executescript_commits_what_is_open(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with contextlib.suppress(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        with connections[database].cursor() as cursor:
            cursor.executescript("SELECT 1")
        assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
        Author.objects.using(database).update(name="x")
        assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)
def test_an_error_that_rolls_back(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with contextlib.suppress(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        assert names(database) == ["crime", "one", "poetry"]
        with pytest.raises(IntegrityError):
            execute(database, "INSERT OR ROLLBACK INTO library_publisher (id) VALUES (NULL)")
        # From here on every statement commits by itself.
        assert names(database) == ["crime", "poetry"]
        execute(database, "UPDATE library_author SET name = 'x'")
        assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_the_first_savepoint_of_sqlite_begins(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "SAVEPOINT a")
    Genre.objects.using(database).create(name="one")
    assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
    execute(database, "RELEASE a")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
    Genre.objects.using(database).update(name="x")
    assert elsewhere(watch.wrong) == {}


@mariadb
def test_a_procedure_that_commits(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"p": ["library_thing"]})
    execute(database, "CREATE PROCEDURE p() COMMIT")
    try:
        seed(database)
        watch = Watch(database)
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="one")
            execute(database, "CALL p()")
            assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
            assert names(database) == ["crime", "one", "poetry"]
        assert elsewhere(watch.wrong) == {}
    finally:
        execute(database, "DROP PROCEDURE p")


@mariadb
def test_an_error_in_a_raw_transaction_leaves_it_in_doubt(
    database: str, cache: QueryCache
) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="one")
    # Fails, but has committed before.
    with pytest.raises(OperationalError):
        execute(database, "CREATE TABLE library_genre (id int)")
    assert elsewhere(lambda: names(database)) == ["crime", "one", "poetry"]
    Author.objects.using(database).update(name="x")
    assert elsewhere(watch.wrong) == {}
    execute(database, "COMMIT")
    assert watch.wrong() == {}


# -- connections that end ----------------------------------------------------------------------


@concurrent
def test_close_within_a_transaction(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    connection = connections[database]
    with contextlib.suppress(DatabaseError), transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        names(database)
        connection.close()
        with pytest.raises((TransactionManagementError, connection.Database.Error)):
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


# -- prepared transactions ---------------------------------------------------------------------


@pytest.fixture
def preparing() -> Iterator[str]:
    """An alias of a server that allows prepared transactions."""
    try:
        server = PostgresServer(options={"max_prepared_transactions": "2"}).start()
    except Unavailable as reason:
        require(reason)
    alias = "preparing"
    try:
        server.create_database("library")
        add_database(alias, server.django_database("library"))
        make_tables(alias)
        yield alias
    finally:
        connections.close_all()
        del connections.settings[alias]
        server.close()


def test_prepare_transaction(preparing: str, store_url: str) -> None:
    configure(STORE=store_url)
    seed(preparing)
    watch = Watch(preparing)
    execute(preparing, "BEGIN")
    Genre.objects.using(preparing).create(name="own")
    execute(preparing, "PREPARE TRANSACTION 'later'")
    # No transaction is open any more, so this commits at once.
    Author.objects.using(preparing).create(name="beside")
    assert elsewhere(watch.wrong) == {}
    execute(preparing, "COMMIT PREPARED 'later'")
    assert elsewhere(lambda: names(preparing)) == ["crime", "own", "poetry"]
    assert watch.wrong() == {}

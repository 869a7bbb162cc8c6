"""Transactions without atomic(), and those that end without Django's knowledge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, add_database, configure, elsewhere, make_tables
from tests.library.models import Author, Genre
from tests.servers import PostgresServer, Unavailable, require
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
    for end, expected in (
        ("ROLLBACK", ["crime", "poetry"]),
        ("COMMIT", ["crime", "own", "poetry"]),
    ):
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
    with transaction.atomic(database):
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
    with transaction.atomic(database):
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
    with transaction.atomic(database):
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
def test_an_error_in_a_raw_transaction_leaves_it_in_doubt(database: str, cache: QueryCache) -> None:
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

"""Transactions without atomic(), and those that end without Django's knowledge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

from tests.environment import add_database, configure, elsewhere, make_tables
from tests.kinds import concurrent, mariadb, on, servers, sqlites, wal
from tests.library.models import Author, Genre
from tests.servers import PostgresServer, required
from tests.watching import Watch, execute, fresh_genres, genres

# -- without atomic ----------------------------------------------------------------------------


@concurrent
def test_autocommit_off(database: str, watch: Watch) -> None:
    connection = connections[database]
    connection.set_autocommit(False)
    try:
        Genre.objects.using(database).create(name="one")
        assert genres(database) == ["crime", "one", "poetry"]
        assert elsewhere(watch.wrong) == {}
        connection.rollback()
        assert genres(database) == ["crime", "poetry"]
        Genre.objects.using(database).create(name="two")
        genres(database)
        connection.commit()
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry", "two"]
        assert genres(database) == ["crime", "poetry", "two"]
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    watch.check_rows()


@on("sqlite_wal", "mariadb")
def test_turning_autocommit_on_commits(database: str, watch: Watch) -> None:
    connection = connections[database]
    connection.set_autocommit(False)
    Genre.objects.using(database).create(name="own")
    assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
    connection.set_autocommit(True)
    assert elsewhere(lambda: genres(database)) == ["crime", "own", "poetry"]
    watch.check_rows()


@concurrent
def test_raw_begin_commit_and_rollback(database: str, watch: Watch) -> None:
    for end, expected in (
        ("ROLLBACK", ["crime", "poetry"]),
        ("COMMIT", ["crime", "own", "poetry"]),
    ):
        execute(database, "BEGIN")
        Genre.objects.using(database).create(name="own")
        assert genres(database) == genres(database) == ["crime", "own", "poetry"]
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
        execute(database, end)
        assert elsewhere(lambda: genres(database)) == expected
        assert genres(database) == expected
        Author.objects.using(database).update(name=end)
        assert elsewhere(watch.wrong) == {}


@servers
def test_commit_and_chain(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="one")
    execute(database, "COMMIT AND CHAIN")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
    Genre.objects.using(database).create(name="two")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
    execute(database, "ROLLBACK AND CHAIN")
    assert genres(database) == ["crime", "one", "poetry"]
    Genre.objects.using(database).create(name="three")
    execute(database, "COMMIT")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry", "three"]
    assert elsewhere(watch.wrong) == {}


@concurrent
def test_a_raw_commit_within_atomic(database: str, watch: Watch) -> None:
    # A savepoint of Django's own would be gone as well.
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        execute(database, "COMMIT")
        assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
        execute(database, "UPDATE library_author SET name = 'x'")
        assert elsewhere(watch.wrong) == {}
        assert genres(database) == fresh_genres(database)
    watch.check_rows()


@mariadb
def test_raw_autocommit_off(database: str, watch: Watch) -> None:
    execute(database, "SET autocommit = 0")
    Genre.objects.using(database).create(name="one")
    assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
    assert genres(database) == ["crime", "one", "poetry"]
    execute(database, "SET autocommit = 1")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
    execute(database, "SET autocommit = 0")
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="two")
    # Django has turned autocommit on again.
    Author.objects.using(database).create(name="three")
    watch.check_rows()


@sqlites
def test_executescript_commits_what_is_open(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        with connections[database].cursor() as cursor:
            cursor.executescript("SELECT 1")
        assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
        Author.objects.using(database).update(name="x")
        assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@sqlites
def test_an_error_that_rolls_back(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="one")
        assert genres(database) == ["crime", "one", "poetry"]
        with pytest.raises(IntegrityError):
            execute(database, "INSERT OR ROLLBACK INTO library_publisher (id) VALUES (NULL)")
        # From here on every statement commits by itself.
        assert genres(database) == ["crime", "poetry"]
        execute(database, "UPDATE library_author SET name = 'x'")
        assert elsewhere(watch.wrong) == {}
    assert watch.wrong() == {}


@wal
def test_the_first_savepoint_of_sqlite_begins(database: str, watch: Watch) -> None:
    execute(database, "SAVEPOINT a")
    Genre.objects.using(database).create(name="one")
    assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
    execute(database, "RELEASE a")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
    Genre.objects.using(database).update(name="x")
    assert elsewhere(watch.wrong) == {}


@mariadb
def test_a_procedure_that_commits(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"p": ["library_thing"]})
    execute(database, "CREATE PROCEDURE p() COMMIT")
    try:
        watch = Watch.seeded(database)
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="one")
            execute(database, "CALL p()")
            assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
            assert genres(database) == ["crime", "one", "poetry"]
        assert elsewhere(watch.wrong) == {}
    finally:
        execute(database, "DROP PROCEDURE p")


@mariadb
def test_an_error_in_a_raw_transaction_leaves_it_in_doubt(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    Genre.objects.using(database).create(name="one")
    # Fails, but has committed before.
    with pytest.raises(OperationalError):
        execute(database, "CREATE TABLE library_genre (id int)")
    assert elsewhere(lambda: genres(database)) == ["crime", "one", "poetry"]
    Author.objects.using(database).update(name="x")
    assert elsewhere(watch.wrong) == {}
    execute(database, "COMMIT")
    assert watch.wrong() == {}


# -- prepared transactions ---------------------------------------------------------------------


@pytest.fixture
def preparing() -> Iterator[str]:
    """An alias of a server that allows prepared transactions."""
    with required():
        server = PostgresServer(options={"max_prepared_transactions": "2"}).start()
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
    watch = Watch.seeded(preparing)
    execute(preparing, "BEGIN")
    Genre.objects.using(preparing).create(name="own")
    execute(preparing, "PREPARE TRANSACTION 'later'")
    # No transaction is open any more, so this commits at once.
    Author.objects.using(preparing).create(name="beside")
    assert elsewhere(watch.wrong) == {}
    execute(preparing, "COMMIT PREPARED 'later'")
    assert elsewhere(lambda: genres(preparing)) == ["crime", "own", "poetry"]
    assert watch.wrong() == {}

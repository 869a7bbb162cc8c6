"""Tables that no transaction holds back (MyISAM) are announced statement by statement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections, transaction

from querycache.cache import QueryCache
from querycache.models import Journal
from tests.environment import elsewhere
from tests.library.models import Genre
from tests.outages import Faults

pytestmark = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


@pytest.fixture
def myisam(database: str) -> Iterator[None]:
    with connections[database].cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for key in _keys(database):
            cursor.execute(f"ALTER TABLE library_book_genres DROP FOREIGN KEY {key}")
        cursor.execute("ALTER TABLE library_genre ENGINE = MyISAM")
    yield
    with connections[database].cursor() as cursor:
        cursor.execute("DELETE FROM library_genre")
        cursor.execute("ALTER TABLE library_genre ENGINE = InnoDB")


def _keys(using: str) -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT constraint_name FROM information_schema.referential_constraints"
            " WHERE table_name = 'library_book_genres'"
            " AND referenced_table_name = 'library_genre'"
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.usefixtures("myisam")
def test_others_see_a_row_before_the_transaction_ends(database: str, cache: QueryCache) -> None:
    genres = Genre.objects.using(database)
    assert elsewhere(genres.count) == 0
    assert elsewhere(genres.count) == 0
    with transaction.atomic(database):
        genres.create(name="poetry")
        # The row is there for everybody, since the engine knows no transactions.
        assert elsewhere(genres.count) == 1
    assert elsewhere(genres.count) == 1


@pytest.mark.usefixtures("myisam")
def test_journal_has_them_before_the_transaction_ends(database: str, cache: QueryCache) -> None:
    def rows() -> list[str]:
        return [row.dependency for row in Journal.objects.using(database).filter(holder="")]

    Faults(cache.store).only("begin", "touch")
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="poetry")
        assert elsewhere(rows) == ["library_genre"]
        transaction.set_rollback(True, database)
    # Neither the row of the table nor that of the journal can be taken back.
    assert elsewhere(Genre.objects.using(database).count) == 1
    assert elsewhere(rows) == ["library_genre"]


@pytest.mark.usefixtures("cache")
def test_connection_that_is_lost_when_they_are_asked_for_is_an_error_of_django(
    database: str,
) -> None:
    def lose() -> None:
        with transaction.atomic(database):
            with connections[database].cursor() as cursor:
                cursor.execute("SELECT CONNECTION_ID()")
                (session,) = cursor.fetchone()
            elsewhere(lambda: _kill(database, session))
            Genre.objects.using(database).update(name="prose")

    with pytest.raises(OperationalError):
        lose()


def _kill(database: str, session: int) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute(f"KILL {session}")

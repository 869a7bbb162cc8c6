"""Tables that no transaction holds back (MyISAM) are announced statement by statement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from querycache.cache import QueryCache
from tests.environment import elsewhere
from tests.library.models import Genre

pytestmark = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


@pytest.fixture
def myisam(database: str) -> Iterator[None]:
    with connections[database].cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("ALTER TABLE library_book_genres DROP FOREIGN KEY " + _key(database))
        cursor.execute("ALTER TABLE library_genre ENGINE = MyISAM")
    yield
    with connections[database].cursor() as cursor:
        cursor.execute("DELETE FROM library_genre")
        cursor.execute("ALTER TABLE library_genre ENGINE = InnoDB")


def _key(using: str) -> str:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT constraint_name FROM information_schema.referential_constraints"
            " WHERE table_name = 'library_book_genres'"
            " AND referenced_table_name = 'library_genre'"
        )
        return str(cursor.fetchone()[0])


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

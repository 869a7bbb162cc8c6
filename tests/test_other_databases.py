"""On MySQL and MariaDB a statement can name tables of another database of the same server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

import querycache
from querycache.cache import QueryCache
from tests.environment import Environment, add_database, make_tables
from tests.library.models import Author, Book, Genre

pytestmark = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


@pytest.fixture
def second(environment: Environment, database: str) -> Iterator[str]:
    environment.mariadb.create_database("second")
    add_database("second", environment.mariadb.django_database("second"))
    with querycache.disabled():
        make_tables("second")
    yield "second"
    connections["second"].close()
    del connections["second"]
    del connections.settings["second"]
    environment.mariadb.drop_database("second")


def test_a_write_to_another_database_is_seen_there(
    database: str, second: str, cache: QueryCache
) -> None:
    genres = Genre.objects.using(second).order_by("name").values_list("name", flat=True)
    assert list(genres.all()) == []
    assert querycache.explain(genres).hit
    with connections[database].cursor() as cursor:
        cursor.execute("INSERT INTO second.library_genre (name) VALUES ('poetry')")
    assert list(genres.all()) == ["poetry"]


def test_a_write_to_another_database_is_seen_there_by_who_asks_for_rows(
    database: str, second: str, cache: QueryCache
) -> None:
    Genre.objects.using(second).bulk_create(Genre(pk=pk, name=f"{pk}") for pk in (1, 2))
    genre = Genre.objects.using(second).filter(pk=1).values_list("name", flat=True)
    author = Author.objects.using(second).create(name="Ann")
    book = Book.objects.using(second).create(title="old", author=author)
    books = Book.objects.using(second).filter(author=author).values_list("title", flat=True)
    for _ in range(2):
        assert (list(genre.all()), list(books.all())) == (["1"], ["old"])
    assert querycache.explain(genre).hit
    assert querycache.explain(books).hit
    with connections[database].cursor() as cursor:
        cursor.execute("UPDATE second.library_genre SET name = 'new' WHERE id = 1")
        cursor.execute("UPDATE second.library_book SET title = 'new' WHERE id = %s", [book.pk])
    assert (list(genre.all()), list(books.all())) == (["new"], ["new"])


def test_a_read_of_another_database_is_not_cached(
    database: str, second: str, cache: QueryCache
) -> None:
    genres = Genre.objects.using(database).extra(
        where=["library_genre.id NOT IN (SELECT id FROM second.library_genre)"]
    )
    assert querycache.explain(genres).reason == "it reads another database (second)"

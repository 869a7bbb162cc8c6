"""Watching every table from two connections: what the cache says must be what the database says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Self

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Model, QuerySet

import querycache
from tests.environment import add_database, elsewhere, remove_database
from tests.library.models import Author, Book, Genre, Note, Place, Publisher, Review, Shop, Thing

#: A write that every database understands.
RENAME = "UPDATE library_genre SET name = 'other' WHERE name = 'crime'"

#: One cacheable query per table.
TABLES: dict[str, type[Model]] = {
    model._meta.db_table: model
    for model in sorted(
        apps.get_models(include_auto_created=True), key=lambda model: model._meta.db_table
    )
    if model._meta.app_label in ("library", "contenttypes") and model is not Shop
}


def everything_of(table: str, using: str) -> QuerySet[Any, Any]:
    """Return all rows of a table, ordered, as a query that is always the same."""
    model = TABLES[table]
    return model._default_manager.using(using).order_by("pk").values_list()


def shops(using: str) -> QuerySet[Any, Any]:
    """Return the rows of the model that has two tables."""
    return Shop.objects.using(using).order_by("pk").values_list()


def queries(using: str) -> dict[str, QuerySet[Any, Any]]:
    """Return a query for each table; that of `library_shop` joins its parent's."""
    return {table: everything_of(table, using) for table in TABLES} | {"library_shop": shops(using)}


def seed(using: str) -> None:
    """Make a row or two in every table that Django's own writes can meet."""
    # The process's own cache speaks of rows that went with the last test.
    ContentType.objects.clear_cache()
    ann, bob = (Author.objects.using(using).create(name=name) for name in ("Ann", "Bob"))
    bob.mentor = ann
    bob.save()
    publisher = Publisher.objects.using(using).create(name="Paper")
    genres = [Genre.objects.using(using).create(name=name) for name in ("crime", "poetry")]
    for number, author in enumerate([ann, bob], 1):
        book = Book.objects.using(using).create(
            title=f"Book {number}", author=author, publisher=publisher, pages=100 * number
        )
        book.genres.add(*genres)
        Review.objects.using(using).create(book=book, stars=number)
        Note.objects.db_manager(using).create(target=book, text=f"note {number}")
    Place.objects.using(using).create(name="park")
    Shop.objects.using(using).create(name="corner", stock=3)
    Thing.objects.using(using).create(code="a", number=1)


class Watch:
    """All tables of a database, warm in two connections.

    Args:
        using: its alias.
    """

    def __init__(self, using: str) -> None:
        self.using = using
        self.warm()

    @classmethod
    def seeded(cls, using: str) -> Self:
        """Make the rows of `seed`, and watch them."""
        seed(using)
        return cls(using)

    def warm(self) -> None:
        """Read every table until each is a hit, here and elsewhere."""
        for _ in range(2):
            for query in queries(self.using).values():
                list(query)
        assert self.cold() == set()
        assert elsewhere(self.cold) == set()

    def cold(self) -> set[str]:
        """Return the tables whose query would not be a hit."""
        return {
            table
            for table, query in queries(self.using).items()
            if not querycache.explain(query).hit
        }

    def wrong(self) -> dict[str, Any]:
        """Return the tables that read otherwise through the cache than from the database."""
        found = {}
        for table, query in queries(self.using).items():
            cached = list(query.all())
            with querycache.disabled():
                fresh = list(query.all())
            # What the first has stored is what the second is given.
            again = list(query.all())
            if cached != fresh or again != fresh:
                found[table] = (cached, fresh, again)
        return found

    def check_rows(self) -> None:
        """Assert that nothing is stale, elsewhere or here."""
        assert elsewhere(self.wrong) == {}
        assert self.wrong() == {}

    def check(self, *written: str) -> None:
        """Assert that nothing is stale, and that only what was written had to be read again.

        Args:
            written: the tables that had to change; ``"*"`` for all of them.
        """
        expected = set(queries(self.using)) if written == ("*",) else set(written)
        if "library_place" in expected:
            expected.add("library_shop")
        cold = self.cold()
        assert cold == expected, (cold, expected)
        self.check_rows()
        # What was read anew is cached again.
        assert self.cold() == set()


def genres(using: str) -> list[str]:
    """Return the names of the genres, through the cache."""
    return list(Genre.objects.using(using).order_by("name").values_list("name", flat=True))


def fresh_genres(using: str) -> list[str]:
    """Return them as the database has them."""
    with querycache.disabled():
        return genres(using)


def execute(using: str, sql: Any, params: Any = None) -> None:
    """Run raw SQL."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)


@contextlib.contextmanager
def autocommit_off(using: str) -> Iterator[Any]:
    """Turn autocommit off for a while; gives the connection."""
    connection = connections[using]
    connection.set_autocommit(False)
    try:
        yield connection
    finally:
        connection.set_autocommit(True)


@contextlib.contextmanager
def alias_of(using: str, **changes: Any) -> Iterator[str]:
    """Another alias of the same database, with other settings."""
    alias = f"{using}_other"
    settings = dict(connections.settings[using])
    changes["OPTIONS"] = {**settings["OPTIONS"], **changes.get("OPTIONS", {})}
    add_database(alias, {**settings, **changes})
    try:
        yield alias
    finally:
        remove_database(alias)

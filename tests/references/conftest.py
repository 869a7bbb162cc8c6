"""Books with reviews that are in the cache."""

from __future__ import annotations

import pytest


@pytest.fixture
def reviews(database: str) -> str:
    """Books 1 to 3 with a review of as many stars each, and the reviews of each in the cache."""
    from django.db import connections

    from tests.environment import configure
    from tests.library.models import Author, Book, Review
    from tests.references.helpers import TABLE, hit, of, stars
    from tests.watching import execute

    configure(STORE="memory://")
    author = Author.objects.using(database).create(pk=1, name="author")
    Author.objects.using(database).create(pk=2, name="another")
    for pk in (1, 2, 3):
        book = Book.objects.using(database).create(pk=pk, title=f"{pk}", author=author)
        Review.objects.using(database).create(pk=pk, book=book, stars=pk)
    if connections[database].vendor == "postgresql":
        # It does not count keys that it is given.
        execute(database, f"SELECT setval(pg_get_serial_sequence('{TABLE}', 'id'), 10)")
    for pk in (1, 2, 3):
        assert stars(of(database, pk)) == [pk]
        assert hit(of(database, pk))
    return database

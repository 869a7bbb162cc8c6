"""A database whose cached lists are no longer true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from querycache.cache import QueryCache


@pytest.fixture
def warm(cache: QueryCache, database: str) -> str:
    """An alias with an author and a publisher, whose lists are cached and no longer true."""
    from tests.api.helpers import behind, names
    from tests.library.models import Author, Publisher

    Author.objects.using(database).create(name="Ann")
    Publisher.objects.using(database).create(name="Pan")
    for _ in range(2):
        assert list(names(database)) == ["Ann"]
        assert len(Publisher.objects.using(database).all()) == 1
    assert cache.counters.hits == 2
    behind(database, "UPDATE library_author SET name = 'Bob'")
    assert list(names(database)) == ["Ann"], "nobody has told the cache"
    return database

"""The library, with rows in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from querycache.cache import QueryCache
    from tests.shapes.dataset import Library


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    # Loaded before Django has settings.
    from tests.shapes.dataset import Library, populate

    library = Library(database)
    populate(library)
    return library

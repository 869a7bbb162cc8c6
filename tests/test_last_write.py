"""`last_write` tells apart writes that come within one tick of the store's clock."""

from __future__ import annotations

import pytest

import querycache
from querycache.cache import QueryCache
from tests.environment import STORES
from tests.library.models import Genre


@pytest.mark.parametrize("store_url", STORES, indirect=True)
def test_every_write_gives_another_time(database: str, cache: QueryCache) -> None:
    times = set()
    for number in range(50):
        Genre.objects.using(database).create(name=str(number))
        times.add(querycache.last_write(Genre, using=database))
    assert len(times) == 50

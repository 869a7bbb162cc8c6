"""stats: what is counted."""

from __future__ import annotations

import pytest

import querycache
from querycache.cache import QueryCache
from tests.api.helpers import FILES, names, turn_off
from tests.environment import configure
from tests.library.models import Author

NOTHING = querycache.Stats(**dict.fromkeys(querycache.Stats.__slots__, 0))


class TestStats:
    @FILES
    def test_counts(self, cache: QueryCache, database: str) -> None:
        assert querycache.stats() == NOTHING
        assert querycache.stats().hit_rate == 0.0
        Author.objects.using(database).create(name="Ann")
        for _ in range(4):
            list(names(database))
        list(Author.objects.using(database).order_by("?"))
        found = querycache.stats()
        assert (found.hits, found.misses, found.stored) == (3, 1, 1)
        assert (found.bypassed, found.invalidations) == (1, 1)
        assert (found.damaged, found.stale, found.failures) == (0, 0, 0)
        assert found.hit_rate == 0.75
        with pytest.raises(AttributeError):
            found.hits = 0  # type: ignore[misc]

    @FILES
    def test_an_unreachable_store(self, database: str, store_url: str) -> None:
        configure(STORE="redis://127.0.0.1:1/0", TIMEOUT=0.05)
        assert list(names(database)) == []
        assert querycache.stats().failures >= 1
        assert querycache.stats().bypassed == 1

    def test_off(self) -> None:
        turn_off()
        assert querycache.stats() == NOTHING

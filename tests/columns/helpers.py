"""Things in the cache, and whether what was asked came from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import querycache
from tests.kinds import on
from tests.library.models import Thing

every = on("sqlite", "postgresql", "mariadb")
TABLE = Thing._meta.db_table


def things(alias: str) -> Any:
    return Thing.objects.using(alias)


def asked(query: Callable[[], Any]) -> tuple[Any, bool]:
    """Return what a query gives and whether the cache gave it."""
    before = querycache.stats().hits
    value = query()
    return value, querycache.stats().hits > before


def is_fresh(query: Callable[[], Any]) -> bool:
    """Tell whether a query gives what the database has."""
    found = query()
    with querycache.disabled():
        return bool(found == query())


def lives_on(query: Callable[[], Any], write: Callable[[], Any]) -> bool:
    """Tell whether a result in the cache is served after a write; it must be right in any case."""
    for _ in range(2):
        query()
    assert asked(query)[1]
    write()
    hit = asked(query)[1]
    assert is_fresh(query)
    return hit

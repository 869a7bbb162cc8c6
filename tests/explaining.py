"""Asking `explain()` in a way that shows that asking is all it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections

import querycache
from querycache.cache import QueryCache
from querycache.explanation import Explanation
from querycache.runtime import runtime


def cache_of() -> QueryCache:
    assert runtime.current is not None
    return runtime.current.cache


def _refuse(execute: Any, sql: str, *rest: Any) -> Any:
    raise AssertionError(sql)


def explained(queryset: Any) -> Explanation:
    """Explain a queryset, which must run no query and count nothing."""
    before = querycache.stats()
    with connections[queryset.db].execute_wrapper(_refuse):
        found = querycache.explain(queryset)
    assert querycache.stats() == before
    return found


def refused(queryset: Any) -> str:
    """Return why a queryset is not cacheable, in the form that is the same for all such."""
    found = explained(queryset)
    assert (found.key, found.cacheable, found.hit) == (None, False, False)
    assert (found.size, found.age) == (None, None)
    assert str(found).startswith(f"not cacheable: {found.reason}\n")
    return found.reason


def missed(queryset: Any) -> str:
    """Return why a cacheable queryset would be no hit."""
    found = explained(queryset)
    assert found.cacheable
    assert not found.hit
    assert found.key is not None
    assert str(found).startswith(f"miss: {found.reason}\n")
    return found.reason


def assert_left_alone(ask: Callable[[], Any], times: int = 2) -> Any:
    """Ask several times; neither a hit nor an entry may come of it."""
    before = querycache.stats()
    found = [ask() for _ in range(times)][-1]
    after = querycache.stats()
    assert (after.hits, after.stored) == (before.hits, before.stored)
    return found

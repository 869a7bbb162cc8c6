"""The asynchronous ORM asks the same cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.db.models import Count, Sum

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, VERIFYING
from tests.shapes.dataset import Library, populate
from tests.shapes.portrait import portrait


async def _listed(queryset: Any) -> list[Any]:
    return [row async for row in queryset]


ASKED: dict[str, Callable[[Library], Awaitable[Any]]] = {
    "aget": lambda m: m.Author.aget(pk=2),
    "acount": lambda m: m.Author.acount(),
    "aexists": lambda m: m.Author.filter(name="Bob Burg").aexists(),
    "afirst": lambda m: m.Author.order_by("name").afirst(),
    "alast": lambda m: m.Author.order_by("name").alast(),
    "alatest": lambda m: m.Author.alatest("name"),
    "aaggregate": lambda m: m.Author.aaggregate(Count("pk"), Sum("pk")),
    "ain_bulk": lambda m: m.Author.ain_bulk([1, 2]),
    "async for": lambda m: _listed(m.Author.order_by("pk")),
    "prefetched": lambda m: _listed(m.Author.order_by("pk").prefetch_related("books__genres")),
    "values": lambda m: _listed(m.Author.order_by("pk").values_list("name", "born")),
    "acontains": lambda m: m.Author.acontains(m.Author.model(pk=3)),
}


def _refuse(execute: Any, sql: str, *rest: Any) -> Any:
    if VERIFYING:
        return execute(sql, *rest)
    raise AssertionError(sql)


@pytest.mark.parametrize("database", DATABASES, indirect=True)
@pytest.mark.parametrize("name", ASKED)
def test_async_shape(database: str, cache: QueryCache, name: str) -> None:
    m = Library(database)
    populate(m)

    @async_to_sync
    async def ask() -> Any:
        return portrait(await ASKED[name](m))

    with querycache.disabled():
        expected = ask()
    assert ask() == expected
    before = querycache.stats()
    with connections[database].execute_wrapper(_refuse):
        assert ask() == expected
    after = querycache.stats()
    assert after.hits > before.hits
    assert after.misses == before.misses
    m.Author.filter(pk=4).update(name="AAA")
    m.Author.filter(pk=3).update(name="zzz")
    m.Author.create(pk=70, name="zzzz")
    m.Author.filter(pk=2).update(name="new")
    with querycache.disabled():
        now = ask()
    assert ask() == now
    # Whether an author is among all did not change.
    assert (now != expected) is (name != "acontains")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_async_iterator_streams(database: str, cache: QueryCache) -> None:
    m = Library(database)
    populate(m)

    @async_to_sync
    async def ask() -> list[str]:
        return [a.name async for a in m.Author.order_by("pk").aiterator(chunk_size=2)]

    before = querycache.stats()
    first = ask()
    m.Author.filter(pk=1).update(name="new")
    assert ask() == ["new", *first[1:]]
    after = querycache.stats()
    assert (after.hits, after.stored) == (before.hits, before.stored)

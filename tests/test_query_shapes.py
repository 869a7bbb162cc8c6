"""Every way to ask: right when cold, no query when warm, and right again after each write."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections
from django.db.models import Count, QuerySet
from django.test import override_settings

import querycache
from querycache import dependencies, install
from querycache.cache import QueryCache
from querycache.keys import EVERYTHING
from querycache.rawsql import Statement, analyse
from querycache.reading import Read
from querycache.runtime import runtime
from tests.environment import DATABASES, STORES, VERIFYING, configure
from tests.shapes.dataset import WRITES, Library, populate
from tests.shapes.expressions import EXPRESSIONS, FRAGMENTS, SUBQUERIES
from tests.shapes.joined import JOINED
from tests.shapes.plain import PLAIN
from tests.shapes.portrait import portrait
from tests.shapes.table import Shape

SHAPES = [*PLAIN, *JOINED, *SUBQUERIES, *EXPRESSIONS, *FRAGMENTS]
#: Those whose tables Django knows without reading text that people wrote.
NAMED_BY_DJANGO = [
    shape for shape in SHAPES if shape not in FRAGMENTS and "sqlite" in shape.vendors
]
VENDORS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "mariadb": "mysql",
}
CASES = [
    pytest.param(shape, kind, id=f"{kind}-{group}-{shape.name}")
    for group, members in (
        ("plain", PLAIN),
        ("joined", JOINED),
        ("subqueries", SUBQUERIES),
        ("expressions", EXPRESSIONS),
        ("fragments", FRAGMENTS),
    )
    for shape in members
    for kind in DATABASES
    # Its journal makes no other SQL.
    if kind != "sqlite_wal" and VENDORS[kind] in shape.vendors
]

_slices = itertools.count()


class QueryRan(AssertionError):
    """A statement reached the database, or would have without VERIFY."""


def ask(shape: Shape, m: Library) -> Any:
    # Django keeps content types in the process, which would hide the queries for them.
    ContentType.objects.clear_cache()
    return portrait(shape.build(m))


def ask_database(shape: Shape, m: Library) -> Any:
    with querycache.disabled():
        return ask(shape, m)


def _refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if VERIFYING:
        # Hits are compared with the database, which raises where they differ.
        return execute(sql, params, many, context)
    raise QueryRan(sql)


def ask_without_queries(shape: Shape, m: Library) -> Any:
    """Ask; fails where a statement would run, or where the counters do not speak of hits alone."""
    before = querycache.stats()
    with connections[m.alias].execute_wrapper(_refuse):
        found = ask(shape, m)
    after = querycache.stats()
    if after.hits == before.hits:
        raise QueryRan("no hit")
    if (after.misses, after.bypassed) != (before.misses, before.bypassed):
        raise QueryRan("not hits alone")
    return found


@pytest.fixture
def planned(m: Library, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The dependencies of every cacheable read, in order."""
    seen: list[tuple[str, ...]] = []
    installed = runtime.current
    assert installed is not None
    read = installed.read

    def note(transaction: Any, query: Read) -> Any:
        if query.plan.reason is None:
            seen.append(query.plan.tables)
        return read(transaction, query)

    monkeypatch.setattr(installed, "read", note)
    return seen


@contextmanager
def authorised(alias: str) -> Iterator[set[str]]:
    """Collect the tables that SQLite itself says statements read; an empty set elsewhere."""
    import sqlite3

    tables: set[str] = set()
    connection = connections[alias]
    if connection.vendor != "sqlite":
        yield tables
        return
    connection.ensure_connection()
    driver = connection.connection
    assert isinstance(driver, sqlite3.Connection)

    def note(action: int, table: str | None, *rest: object) -> int:
        if action == sqlite3.SQLITE_READ and table and not table.startswith("sqlite_"):
            tables.add(table.casefold())
        return sqlite3.SQLITE_OK

    driver.set_authorizer(note)
    try:
        yield tables
    finally:
        driver.set_authorizer(None)


class OneDatabase:
    """A router for what Django asks without naming a database, such as content types."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self._alias

    db_for_write = db_for_read


@pytest.fixture
def m(database: str, cache: QueryCache) -> Iterator[Library]:
    library = Library(database)
    with override_settings(DATABASE_ROUTERS=[OneDatabase(database)]):
        populate(library)
        yield library


@pytest.mark.parametrize(("shape", "database"), CASES, indirect=["database"])
def test_shape(shape: Shape, database: str, m: Library, planned: list[tuple[str, ...]]) -> None:
    with authorised(database) as really_read:
        expected = ask_database(shape, m)
    planned.clear()
    assert ask(shape, m) == expected
    depends = {table for tables in planned for table in tables} - {EVERYTHING}
    assert really_read <= depends
    assert ask_without_queries(shape, m) == expected
    built = shape.build(m)
    if isinstance(built, QuerySet):
        explanation = querycache.explain(built)
        assert explanation.hit, explanation.reason
        assert really_read == set() or explanation.dependencies
        assert set(explanation.dependencies) <= depends

    for number, table in enumerate(sorted(depends)):
        if number:
            populate(m)
        for write in WRITES[table]:
            before = _outcome(lambda: ask_database(shape, m))
            assert _outcome(lambda: ask(shape, m)) == before
            assert _outcome(lambda: ask_without_queries(shape, m)) == before
            write(m)
            now = _outcome(lambda: ask_database(shape, m))
            assert _outcome(lambda: ask(shape, m)) == now
            if now != before:
                break
        else:
            pytest.fail(f"no write to {table} changes the result")


def _outcome(work: Callable[[], Any]) -> Any:
    """Return a result, or the type of the error where there is none any more."""
    try:
        return work()
    except ObjectDoesNotExist as error:
        return type(error)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_compilers_name_every_table_by_themselves(
    m: Library, planned: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ways lead to the tables, the compilers and the text; neither leans on the other."""

    def without_reads(sql: str, vendor: str) -> tuple[Statement, ...]:
        return tuple(replace(found, reads=frozenset()) for found in analyse(sql, vendor))

    monkeypatch.setattr(dependencies, "analyse", without_reads)
    for shape in NAMED_BY_DJANGO:
        with authorised(m.alias) as really_read:
            ask_database(shape, m)
        planned.clear()
        ask(shape, m)
        assert really_read <= {table for tables in planned for table in tables}, shape.name


SLICE = {
    "get",
    "filter",
    "count",
    "exists",
    "aggregate",
    "values_list",
    "prefetch_nested",
    "three_deep",
    "union",
    "binary_and_wide",
    "durations_and_times",
    "json_values",
}


@pytest.mark.parametrize("store_url", STORES, indirect=True)
@pytest.mark.parametrize("database", ["sqlite_wal", "postgresql"], indirect=True)
def test_shape_on_every_store(database: str, store_url: str) -> None:
    configure(STORE=store_url, KEY_PREFIX=f"slice{next(_slices)}", LEASE=0.2)
    m = Library(database)
    populate(m)
    shapes = [shape for shape in SHAPES if shape.name in SLICE]
    for shape in shapes:
        expected = ask_database(shape, m)
        assert ask(shape, m) == expected
    # The stamps of all of them are there now, and settle at the same time.
    for shape in shapes:
        _until_warm(shape, m)
        for table in ("library_book", "library_thing", "library_review"):
            write = WRITES[table][0]
            write(m)
            assert ask(shape, m) == ask_database(shape, m)
    install.uninstall()


def _until_warm(shape: Shape, m: Library) -> None:
    """Stores that can lose stamps settle a new one after a whole lease."""
    deadline = time.monotonic() + 30
    while True:
        try:
            assert ask_without_queries(shape, m) == ask_database(shape, m)
            return
        except QueryRan:
            assert time.monotonic() < deadline, "never a hit"
            time.sleep(0.01)
            ask(shape, m)


@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_bypass_of_every_queryset(database: str, m: Library) -> None:
    bypassed = 0
    for shape in SHAPES:
        if connections[database].vendor not in shape.vendors or shape in JOINED:
            continue
        built = shape.build(m)
        if not isinstance(built, QuerySet):
            continue
        expected = portrait(built)
        assert portrait(shape.build(m)) == expected
        before = querycache.stats()
        assert portrait(querycache.bypass(shape.build(m))) == expected
        assert querycache.stats().hits == before.hits, shape.name
        bypassed += 1
    assert bypassed > 40


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_empty_querysets_ask_nobody(database: str, m: Library) -> None:
    before = querycache.stats()
    with connections[database].execute_wrapper(_refuse):
        assert list(m.Book.none()) == []
        assert list(m.Book.filter(pk__in=[])) == []
        assert not m.Book.none().exists()
        assert m.Book.none().count() == 0
        assert m.Book.filter(pk__in=[]).first() is None
        assert m.Book.none().aggregate(n=Count("pk")) == {"n": 0}
        assert m.Book.filter(author__in=m.Author.none()).count() == 0
    after = querycache.stats()
    assert (after.hits, after.misses, after.stored) == (before.hits, before.misses, before.stored)

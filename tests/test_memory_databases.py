"""In-memory SQLite databases: a forked child has copies of its parent's, which are its own."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

import querycache
from querycache.cache import QueryCache
from tests.environment import (
    Environment,
    add_database,
    configure,
    in_thread,
    make_tables,
    remove_database,
)
from tests.library.models import Genre

NAMES = [":memory:", "file:{}?mode=memory&cache=shared"]


@pytest.fixture(params=NAMES)
def using(
    request: pytest.FixtureRequest, environment: Environment, cache: QueryCache
) -> Iterator[str]:
    # Django never closes such a database, so each test has one of its own.
    name = request.param.format(cache.config.key_prefix)
    add_database("forked", {"ENGINE": "django.db.backends.sqlite3", "NAME": name})
    # A store that parent and child share.
    configure(STORE=environment.store_url("lmdb"), KEY_PREFIX=cache.config.key_prefix)
    make_tables("forked")
    yield "forked"
    remove_database("forked")


def names(using: str) -> list[str]:
    return list(Genre.objects.using(using).order_by("name").values_list("name", flat=True))


def in_child(work: Callable[[], None]) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - told by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_parent_and_child_never_see_each_others_rows(using: str) -> None:
    Genre.objects.using(using).create(name="before")
    assert names(using) == ["before"]
    assert querycache.explain(Genre.objects.using(using)).cacheable

    def child() -> None:
        assert names(using) == ["before"]
        Genre.objects.using(using).create(name="child")
        assert names(using) == names(using) == ["before", "child"]

    assert in_child(child)
    # The child has stored its rows; its write has not touched what the parent has stored.
    assert names(using) == ["before"]
    Genre.objects.using(using).create(name="parent")
    assert names(using) == ["before", "parent"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_in_a_transaction_goes_on_in_its_copy(using: str) -> None:
    connection = connections[using]
    assert names(using) == []
    connection.set_autocommit(False)
    connection.cursor().execute("INSERT INTO library_genre (name) VALUES ('written')")
    assert names(using) == ["written"]

    def child() -> None:
        assert names(using) == ["written"]
        connection.commit()
        assert names(using) == names(using) == ["written"]

    assert in_child(child)
    connection.rollback()
    connection.set_autocommit(True)
    assert names(using) == names(using) == []


def test_rows_that_another_thread_has_not_committed_are_not_kept(using: str) -> None:
    """Threads may share a connection, as those of a `LiveServerTestCase` do."""
    connection = connections[using]
    connection.inc_thread_sharing()

    def in_the_middle(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if started or not sql.startswith("SELECT"):
            return execute(sql, params, many, context)
        started.append(True)

        def other() -> None:
            connections[using] = connection
            connection.set_autocommit(False)
            Genre.objects.using(using).create(name="lost")
            del connections[using]

        with in_thread(other):
            pass
        return execute(sql, params, many, context)

    started: list[bool] = []
    try:
        with connection.execute_wrapper(in_the_middle):
            assert names(using) == ["lost"]
        connection.rollback()
        connection.set_autocommit(True)
        assert names(using) == []
    finally:
        connection.dec_thread_sharing()

"""Registers whose transactions see one state, and what is run against them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

import querycache
from querycache.stores.base import StoreError
from tests.environment import elsewhere
from tests.library.models import Genre, Publisher
from tests.stages import Register, keys_of, plant, staged
from tests.watching import alias_of

WITH_LEVELS = ("postgresql", "mariadb")
#: Where others can commit while a transaction sees an older state.
BESIDE = ("sqlite_wal", "postgresql", "mariadb")
EVERYWHERE = ("sqlite", *BESIDE)

_numbers = itertools.count()


def level_of(database: str, level: str) -> Any:
    if database == "postgresql":
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        return IsolationLevel[level.upper().replace(" ", "_")]
    return level


@contextmanager
def register_of(
    database: str, store_url: str = "memory://", level: str = "repeatable read", **settings: Any
) -> Iterator[Register]:
    """A register with a warm cache on an alias whose transactions see one state."""
    with ExitStack() as stack:
        alias = database
        if database in WITH_LEVELS:
            options = {"isolation_level": level_of(database, level)}
            alias = stack.enter_context(alias_of(database, OPTIONS=options))
        stage = stack.enter_context(staged(alias, STORE=store_url, **settings))
        register = Register(stage)
        Genre.objects.using(alias).create(name="crime")
        plant(stage.store, [*register.keys, *keys_of(alias, Genre)])
        genres(alias)
        register.read()
        yield register


def genres(alias: str) -> list[str]:
    return list(Genre.objects.using(alias).order_by("name").values_list("name", flat=True))


def fresh_genres(alias: str) -> list[str]:
    with querycache.disabled():
        return genres(alias)


def another_query(alias: str) -> list[str]:
    """Another query of the register's table, which nobody has run yet."""
    one = f"nobody {next(_numbers)}"
    return list(Publisher.objects.using(alias).exclude(name=one).values_list("name", flat=True))


def runs(alias: str, work: Callable[[], Any]) -> list[str]:
    """Return the statements that something runs."""
    with CaptureQueriesContext(connections[alias]) as captured:
        work()
    return [query["sql"] for query in captured]


everywhere = pytest.mark.parametrize("database", EVERYWHERE, indirect=True)
beside = pytest.mark.parametrize("database", BESIDE, indirect=True)
stores = pytest.mark.parametrize(
    "store_url", ["memory", "lmdb", "redis", "memcached"], indirect=True
)
postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
wal = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)


def write_without_the_store(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write while the store answers no writer: the write is in the database's journal alone."""

    def fail(*_: Any) -> Any:
        raise StoreError("cut off")

    for step in ("begin", "end", "touch"):
        monkeypatch.setattr(register.stage.store, step, fail)
    elsewhere(register.write)
    monkeypatch.undo()
    register.stage.cache.breaker.reset()

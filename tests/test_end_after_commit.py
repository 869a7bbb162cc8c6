"""`end` comes after the commit, however a database commits: else old rows are stored as new."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, elsewhere
from tests.library.models import Author


def save(using: str) -> None:
    Author(name="new").save(using=using)


def bulk_create(using: str) -> None:
    Author.objects.using(using).bulk_create([Author(name="new"), Author(name="other")])


def atomic(using: str) -> None:
    with transaction.atomic(using):
        Author.objects.using(using).create(name="new")


def raw(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO library_author (name) VALUES ('new')")


def raw_returning(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO library_author (name) VALUES ('new') RETURNING id")
        cursor.fetchone()


def raw_returning_dropped(using: str) -> None:
    # Neither fetched nor closed: SQLite commits when the cursor goes.
    connections[using].cursor().execute(
        "INSERT INTO library_author (name) VALUES ('new') RETURNING id"
    )


def raw_returning_twice(using: str) -> None:
    # The second statement ends the first one, and with it commits it.
    with connections[using].cursor() as cursor:
        for _ in range(2):
            cursor.execute("INSERT INTO library_author (name) VALUES ('new') RETURNING id")


@pytest.mark.parametrize("database", DATABASES, indirect=True)
@pytest.mark.parametrize(
    "write",
    [
        save,
        bulk_create,
        atomic,
        raw,
        raw_returning,
        raw_returning_dropped,
        raw_returning_twice,
    ],
)
def test_rows_are_visible_to_others_when_the_write_ends(
    database: str,
    cache: QueryCache,
    write: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    end = cache.store.end

    def spy(*args: Any) -> None:
        with contextlib.suppress(ConnectionError):
            seen.append(elsewhere(lambda: _count(database)))
        end(*args)

    monkeypatch.setattr(cache.store, "end", spy)
    write(database)
    assert seen
    # Every end saw its own row, and those of the writes before.
    assert all(count >= number for number, count in enumerate(seen, 1))


def _count(using: str) -> int:
    with querycache.disabled():
        return Author.objects.using(using).filter(name="new").count()

"""The catalogue is read when it matters, and no more often than it changes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

import querycache
from querycache.cache import QueryCache
from querycache.catalogue import read_facts
from tests.catalogue.helpers import (
    every,
    is_cached,
    made,
)
from tests.environment import elsewhere
from tests.library.models import Author, Genre
from tests.watching import execute


def catalogue_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each reading of a catalogue."""
    found: list[str] = []

    def noted(connection: Any) -> Any:
        found.append(connection.alias)
        return read_facts(connection)

    monkeypatch.setattr("querycache.schema.read_facts", noted)
    return found


@every
def test_it_is_read_once(database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    found = catalogue_reads(monkeypatch)
    list(Genre.objects.using(database).all())
    Genre.objects.using(database).create(name="a")
    list(Author.objects.using(database).all())
    elsewhere(lambda: list(Genre.objects.using(database).all()))
    assert found == [database]


@every
def test_nothing_is_read_before_it_matters(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = catalogue_reads(monkeypatch)
    execute(database, "SELECT 1")
    with transaction.atomic(database):
        pass
    assert found == []


@every
def test_changing_the_schema_asks_for_none(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's migrations are hundreds of these, and each would have it read anew."""
    found = catalogue_reads(monkeypatch)
    with made(
        database,
        ["CREATE TABLE qc_made (id integer)", "CREATE INDEX qc_index ON qc_made (id)"],
        ["ALTER TABLE qc_made ADD COLUMN name varchar(9)", "DROP TABLE qc_made"],
    ):
        assert found == []
    assert found == []
    execute(database, f"UPDATE {Genre._meta.db_table} SET name = 'new'")
    assert found == [database]


@every
def test_temporary_tables_leave_the_catalogue_alone(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    genres = Genre.objects.using(database).order_by("pk").values_list("name")
    assert is_cached(genres)
    found = catalogue_reads(monkeypatch)
    execute(database, "CREATE TEMPORARY TABLE qc_mine (id int)")
    execute(database, "INSERT INTO qc_mine VALUES (1)")
    execute(database, "DROP TABLE qc_mine")
    assert querycache.explain(genres.all()).hit
    assert found == []

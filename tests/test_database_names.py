"""Databases have one name, however they are spelled, and no two have the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

import querycache
from querycache.cache import QueryCache
from querycache.keys import (
    database_identity,
)
from tests.shapes.dataset import Library, populate


def _postgresql(**settings: Any) -> str:
    return database_identity("postgresql", {"NAME": "x", **settings})


def test_spellings_of_one_database() -> None:
    here = _postgresql(HOST="localhost", PORT="5432")
    for host in ("", None, "127.0.0.1", "::1", "LOCALHOST"):
        for port in ("5432", 5432, "", None):
            assert _postgresql(HOST=host, PORT=port, USER="other", PASSWORD="x") == here
    assert _postgresql(OPTIONS=None) == here
    mysql = database_identity("mysql", {"NAME": "x", "HOST": "127.0.0.1"})
    assert mysql == database_identity("mysql", {"NAME": "x", "PORT": 3306})


def test_databases_that_are_not_the_same() -> None:
    all_of = [
        _postgresql(),
        _postgresql(NAME="test_x"),
        _postgresql(PORT="5433"),
        _postgresql(HOST="db.example"),
        _postgresql(HOST="/var/run/postgresql"),
        _postgresql(OPTIONS={"service": "other"}),
        database_identity("mysql", {"NAME": "x"}),
        database_identity("oracle", {"NAME": "x"}),
        database_identity("sqlite", {"NAME": "x"}),
    ]
    assert len(set(all_of)) == len(all_of)


def test_sqlite_files_are_named_by_where_and_which_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(path: object) -> str:
        return database_identity("sqlite", {"NAME": path})

    file = tmp_path / "a.db"
    file.write_bytes(b"")
    (tmp_path / "link.db").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    first = name(str(file))
    for same in (file, "a.db", "./a.db", "link.db", f"file:{file}?mode=ro", "file:a.db"):
        assert name(same) == first
    # Another file put in its place; both exist for a moment, so that the inode is not used again.
    (tmp_path / "b.db").write_bytes(b"")
    assert name("b.db") != first
    (tmp_path / "b.db").replace(file)
    assert name(str(file)) != first


def test_an_alias_of_a_database_shares_its_entries(
    database: str, cache: QueryCache, environment: Any
) -> None:
    from tests.environment import add_database

    add_database("again", dict(connections[database].settings_dict))
    m, again = Library(database), Library("again")
    populate(m)
    before = querycache.stats().hits
    assert m.Author.get(pk=1).name == again.Author.get(pk=1).name
    assert querycache.stats().hits == before + 1
    again.Author.filter(pk=1).update(name="new")
    assert m.Author.get(pk=1).name == "new"


def test_in_memory_databases_are_private_to_a_connection(cache: QueryCache) -> None:
    from tests.environment import add_database, elsewhere, make_tables

    private = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    add_database("memory_a", dict(private))
    add_database("memory_b", dict(private))
    names = {"memory_a": "a", "memory_b": "b"}
    for alias, name in names.items():
        make_tables(alias)
        Library(alias).Genre.create(pk=1, name=name)
    for _ in range(2):
        for alias, name in names.items():
            assert Library(alias).Genre.get(pk=1).name == name
    assert querycache.stats().hits == 2

    def elsewhere_is_empty() -> bool:
        make_tables("memory_a")
        return not Library("memory_a").Genre.filter(pk=1).exists()

    assert elsewhere(elsewhere_is_empty)
    # It dies with its connection; the next one has other keys.
    key = querycache.explain(Library("memory_a").Genre.filter(pk=1)).key
    BaseDatabaseWrapper.close(connections["memory_a"])
    make_tables("memory_a")
    assert querycache.explain(Library("memory_a").Genre.filter(pk=1)).key != key
    assert not Library("memory_a").Genre.filter(pk=1).exists()


def test_in_memory_databases_in_shared_cache_mode_are_shared(cache: QueryCache) -> None:
    from tests.environment import add_database, elsewhere, make_tables

    shared = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "file:querycache_shared?mode=memory&cache=shared",
    }
    add_database("shared_a", dict(shared))
    add_database("shared_b", dict(shared))
    make_tables("shared_a")
    Library("shared_a").Genre.create(pk=1, name="a")
    for alias in ("shared_a", "shared_b"):
        assert Library(alias).Genre.get(pk=1).name == "a"
    assert querycache.stats().hits == 1
    assert elsewhere(lambda: Library("shared_b").Genre.get(pk=1).name) == "a"
    assert querycache.stats().hits == 2
    elsewhere(lambda: Library("shared_b").Genre.filter(pk=1).update(name="b"))
    assert Library("shared_a").Genre.get(pk=1).name == "b"

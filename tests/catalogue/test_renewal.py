"""The catalogue is read once, and anew when the schema has changed: here and in other processes."""

from __future__ import annotations

import io
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from querycache.state import transaction_of
from tests.catalogue.helpers import (
    every,
    is_cached,
    made,
    on_postgresql,
    on_sqlite,
    rows_of,
    true_rows,
)
from tests.catalogue.triggers import RENAME, Trigger
from tests.environment import elsewhere
from tests.library.models import Author, Genre
from tests.processes import Peer, Place, run
from tests.watching import execute, seed

VIEW = "CREATE VIEW qc_view AS SELECT id, name FROM library_{}"
DROP = "DROP VIEW IF EXISTS qc_view"


def place_of(database: str, cache: QueryCache) -> Place:
    """Return where another process finds the same database and store."""
    config = cache.config
    settings = {"STORE": config.store, "KEY_PREFIX": config.key_prefix}
    return Place(database, connections.settings[database], settings)


@every
def test_a_view_that_is_made_anew_over_another_table(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        execute(database, DROP)
        execute(database, VIEW.format("author"))
        assert true_rows(view) == [("Ann",), ("Bob",)]
        assert is_cached(view)
        Author.objects.using(database).update(name="x")
        assert true_rows(view) == [("x",), ("x",)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@every
def test_a_change_in_another_process(database: str, cache: QueryCache) -> None:
    """The change is announced under the stamp of the database, which every miss compares."""
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        with Peer("fork", place_of(database, cache)) as peer:
            assert is_cached(view)
            peer.call("run", DROP, VIEW.format("author"))
            assert true_rows(view) == [("Ann",), ("Bob",)]
            assert is_cached(view)
            peer.call("run", "UPDATE library_author SET name = 'x'")
            assert true_rows(view) == [("x",), ("x",)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@pytest.mark.parametrize("database", ["sqlite", "mariadb"], indirect=True)
def test_a_trigger_that_another_process_makes(database: str, cache: QueryCache) -> None:
    """A process that reads finds it out before it writes again."""
    seed(database)
    authors = Author.objects.using(database).order_by("pk").values_list("name")
    rename = Genre.objects.using(database).filter(name="crime")
    rename.update(name="crime")
    make = (
        "CREATE TRIGGER qc_t AFTER UPDATE ON library_genre FOR EACH ROW BEGIN"
        " UPDATE library_author SET name = NEW.name; END"
    )
    assert is_cached(authors)
    with Peer("fork", place_of(database, cache)) as peer:
        peer.call("run", make)
        try:
            assert is_cached(authors)
            rename.update(name="law")
            assert true_rows(authors) == [("law",), ("law",)]
        finally:
            peer.call("run", "DROP TRIGGER qc_t")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@every
def test_nothing_is_stored_by_a_plan_of_before(database: str, cache: QueryCache) -> None:
    """A process that has not noticed yet would take it for an entry of its own plan."""
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        place = place_of(database, cache)
        with Peer("fork", place) as changer, Peer("fork", place) as unaware:
            changer.call("run", DROP, VIEW.format("author"))
            assert list(view.all()) == [("Ann",), ("Bob",)]
            assert unaware.call("names", "qc_view") == [("Ann",), ("Bob",)]
            changer.call("run", "UPDATE library_author SET name = 'x'")
            assert unaware.call("names", "qc_view") == [("x",), ("x",)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@every
def test_a_schema_that_changes_twice_while_a_query_waits(database: str, cache: QueryCache) -> None:
    """Another thread has found out about the first change, and nobody about the second."""
    seed(database)
    state = transaction_of(connections[database])
    with made(database, VIEW.format("genre"), [DROP, "DROP TABLE IF EXISTS qc_new"]):
        view = rows_of(database, "qc_view")
        sql = querycache.explain(view).sql
        plan = state.database.plan(state, sql, tuple)
        with Peer("fork", place_of(database, cache)) as peer:
            peer.call("run", "CREATE TABLE qc_new (id int)")
            list(Author.objects.using(database).all())
            peer.call("run", DROP, VIEW.format("author"))
        (everything,) = cache.read_stamps(plan.stamp_keys[:1]) or ()
        assert everything is not None
        assert not state.database.is_current(state, sql, plan, everything)


def sees_what_the_trigger_does(reader: Peer, database: str) -> None:
    """Have only the other process read, before and after this one writes."""
    for _ in range(2):
        assert reader.call("names", "library_author") == [("Ann",), ("Bob",)]
    Genre.objects.using(database).update(name="x")
    assert reader.call("names", "library_author") == [("by a trigger",), ("by a trigger",)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@every
def test_who_changes_the_schema_writes_by_it(database: str, cache: QueryCache) -> None:
    seed(database)
    Genre.objects.using(database).update(name="x")
    with (
        Peer("fork", place_of(database, cache)) as reader,
        Trigger("library_genre", "UPDATE", RENAME).on(database),
    ):
        sees_what_the_trigger_does(reader, database)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
@on_postgresql
def test_what_was_read_before_a_commit_is_forgotten(database: str, cache: QueryCache) -> None:
    """Another thread has read the catalogue while the change was not committed."""
    seed(database)
    with Peer("fork", place_of(database, cache)) as reader, ExitStack() as stack:
        with transaction.atomic(database):
            stack.enter_context(Trigger("library_genre", "UPDATE", RENAME).on(database))
            elsewhere(lambda: list(Genre.objects.using(database).all()))
        sees_what_the_trigger_does(reader, database)


@on_postgresql
def test_a_view_that_only_the_open_transaction_sees(database: str, cache: QueryCache) -> None:
    """What it makes is not what others have, and nothing of it stays when it is rolled back."""
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        with transaction.atomic(database):
            execute(database, DROP)
            execute(database, VIEW.format("author"))
            assert list(view.all()) == [("Ann",), ("Bob",)]
            Author.objects.using(database).update(name="x")
            assert list(view.all()) == [("x",), ("x",)]
            transaction.set_rollback(True, using=database)
        assert true_rows(view) == [("crime",), ("poetry",)]
        assert is_cached(view)
        Genre.objects.using(database).update(name="y")
        assert true_rows(view) == [("y",), ("y",)]


@on_postgresql
def test_what_others_know_is_not_of_the_open_transaction(database: str, cache: QueryCache) -> None:
    """It reads nothing by the committed schema, which another thread has read meanwhile."""
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        with transaction.atomic(database):
            execute(database, DROP)
            execute(database, VIEW.format("author"))
            elsewhere(lambda: list(Genre.objects.using(database).all()))
            assert list(view.all()) == [("Ann",), ("Bob",)]
            Author.objects.using(database).update(name="x")
            assert list(view.all()) == [("x",), ("x",)]


@on_postgresql
def test_others_write_by_the_committed_schema(database: str, cache: QueryCache) -> None:
    """What a transaction has made of a function is not what others run."""
    seed(database)
    function = (
        "CREATE OR REPLACE FUNCTION qc_trigger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE library_{} SET name = 'by a trigger'; RETURN NULL; END $$"
    )
    authors = Author.objects.using(database).order_by("pk").values_list("name")
    with Trigger("library_genre", "INSERT", RENAME).on(database):
        assert is_cached(authors)
        with transaction.atomic(database):
            execute(database, function.format("publisher"))
            list(Genre.objects.using(database).all())
            elsewhere(lambda: Genre.objects.using(database).create(name="law"))
            assert elsewhere(lambda: list(authors.all())) == [("by a trigger",), ("by a trigger",)]


@pytest.mark.parametrize("database", ["sqlite", "sqlite_wal", "postgresql"], indirect=True)
def test_other_connections_while_a_transaction_changes_the_schema(
    database: str, cache: QueryCache
) -> None:
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        if database != "sqlite":
            # Reading goes on meanwhile, and others find out what has been committed.
            with transaction.atomic(database):
                execute(database, "CREATE TABLE qc_new (id int)")
                assert elsewhere(lambda: list(view.all())) == [("crime",), ("poetry",)]
                transaction.set_rollback(True, using=database)
        with transaction.atomic(database):
            execute(database, DROP)
            execute(database, VIEW.format("author"))
        assert true_rows(view) == [("Ann",), ("Bob",)]
        Author.objects.using(database).update(name="x")
        assert true_rows(view) == [("x",), ("x",)]


@on_postgresql
def test_a_change_that_is_hidden_in_a_block(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        script = f"DO $$ BEGIN {DROP}; EXECUTE '{VIEW.format('author')}'; END $$"
        execute(database, script)
        assert true_rows(view) == [("Ann",), ("Bob",)]
        Author.objects.using(database).update(name="x")
        assert true_rows(view) == [("x",), ("x",)]


@on_sqlite
def test_the_command_tells_of_changes_from_outside(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        assert is_cached(view)
        outside = sqlite3.connect(connections[database].settings_dict["NAME"])
        outside.executescript(f"{DROP}; {VIEW.format('author')};")
        outside.close()
        call_command("querycache", "refresh", using=database, json=True, stdout=io.StringIO())
        assert true_rows(view) == [("Ann",), ("Bob",)]
        Author.objects.using(database).update(name="x")
        assert true_rows(view) == [("x",), ("x",)]


@every
def test_a_broken_reading_is_not_remembered(database: str, cache: QueryCache) -> None:
    """Nothing is cached and every write counts for everything until it can be read."""
    connection: Any = connections[database]
    connection.ensure_connection()
    real = connection.create_cursor

    class Broken:
        def execute(self, *args: object) -> None:
            raise connection.Database.OperationalError("gone")

        def close(self) -> None: ...

    genres = Genre.objects.using(database).order_by("pk").values_list("name")
    connection.create_cursor = lambda name=None: Broken()
    try:
        explanation = querycache.explain(genres.all())
        assert not explanation.cacheable
        assert "catalogue" in explanation.reason
        state = transaction_of(connection)
        effect = state.database.effect(state, "UPDATE library_genre SET name = 'x'")
        assert effect is not None
        assert effect.writes == {"*"}
    finally:
        connection.create_cursor = real
    assert is_cached(genres)
    effect = state.database.effect(state, "UPDATE library_genre SET name = 'x'")
    assert effect is not None
    assert effect.writes == {"library_genre"}


@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_a_catalogue_that_is_read_in_an_old_snapshot(database: str, cache: QueryCache) -> None:
    """What the transaction sees of the schema is from before the change, the stamp from after."""
    seed(database)
    with made(database, VIEW.format("genre"), DROP):
        view = rows_of(database, "qc_view")
        with transaction.atomic(database):
            with connections[database].cursor() as cursor:
                cursor.execute("SELECT count(*) FROM library_genre")
                cursor.fetchall()
            elsewhere(lambda: run(database, DROP, VIEW.format("author")))
            assert list(view.all()) == [("crime",), ("poetry",)]
        assert is_cached(view)
        Author.objects.using(database).update(name="x")
        assert true_rows(view) == [("x",), ("x",)]


@on_sqlite
def test_an_attached_database_is_not_cached(
    database: str, cache: QueryCache, tmp_path: Path
) -> None:
    path = tmp_path / "attached.db"
    outside = sqlite3.connect(path)
    outside.executescript(
        "CREATE TABLE qc_far (id int, name text); INSERT INTO qc_far VALUES (1, 'a')"
    )
    far = rows_of(database, "qc_far")
    execute(database, f"ATTACH '{path}' AS far")
    for name in ("a", "b", "c"):
        outside.execute("UPDATE qc_far SET name = ?", [name])
        outside.commit()
        for _ in range(2):
            assert list(far.all()) == [(name,)]
    outside.close()

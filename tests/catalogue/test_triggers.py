"""Triggers write tables that no statement names; nobody declares them."""

from __future__ import annotations

from django.db import connections, transaction

from querycache.cache import QueryCache
from querycache.state import transaction_of
from tests.catalogue.helpers import (
    every,
    is_cached,
    made,
    on_mariadb,
    on_sqlite,
    rows_of,
    true_rows,
)
from tests.catalogue.triggers import RENAME, Trigger, review
from tests.environment import configure, elsewhere
from tests.library.models import Author, Book, Review, Thing
from tests.watching import Watch, alias_of, execute, seed


@every
def test_a_trigger_that_writes_another_table(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "INSERT", RENAME).on(database):
        watch = Watch.seeded(database)
        review(database)
        watch.check("library_author", "library_review")
        Author.objects.using(database).update(name="z")
        watch.check("library_author")


@every
def test_only_triggers_of_the_event_count(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "DELETE", RENAME).on(database):
        watch = Watch.seeded(database)
        review(database)
        watch.check("library_review")
        Review.objects.using(database).update(stars=2)
        watch.check("library_review")
        execute(database, "DELETE FROM library_review WHERE stars > 1")
        watch.check("library_author", "library_review")


@every
def test_triggers_that_fire_triggers(database: str, cache: QueryCache) -> None:
    inner = "INSERT INTO library_genre (name) VALUES ('by the second trigger');"
    with (
        Trigger("library_review", "INSERT", RENAME).on(database),
        Trigger("library_author", "UPDATE", inner, "qc_second").on(database),
    ):
        watch = Watch.seeded(database)
        review(database)
        watch.check("library_author", "library_genre", "library_review")


@every
def test_in_a_transaction(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "INSERT", RENAME).on(database):
        watch = Watch.seeded(database)
        names = Author.objects.using(database).order_by("pk").values_list("name", flat=True)
        with transaction.atomic(database):
            names.order_by().update(name="before")
            assert list(names.all()) == ["before", "before"]
            review(database)
            assert list(names.all()) == ["by a trigger", "by a trigger"]
        watch.check("library_author", "library_review")


@every
def test_a_declaration_takes_the_place_of_what_was_found(database: str, store_url: str) -> None:
    configure(STORE=store_url, TRIGGERS={"library_review": ["library_author", "library_genre"]})
    with Trigger("library_review", "INSERT", RENAME).on(database):
        watch = Watch.seeded(database)
        review(database)
        watch.check("library_author", "library_genre", "library_review")


# -- MariaDB -------------------------------------------------------------------------------------


@on_mariadb
def test_a_procedure_that_a_trigger_calls(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            (
                "CREATE PROCEDURE qc_inner() BEGIN IF 1 = 1 THEN"
                " UPDATE library_author a JOIN library_genre g ON g.id > 0 SET a.name = 'joined';"
                " END IF; END"
            ),
            "CREATE TRIGGER qc_t AFTER INSERT ON library_review FOR EACH ROW CALL qc_inner()",
        ],
        ["DROP TRIGGER IF EXISTS qc_t", "DROP PROCEDURE qc_inner"],
    ):
        watch = Watch.seeded(database)
        review(database)
        # Any table of a joined UPDATE may be the one that is written.
        watch.check("library_author", "library_genre", "library_review")


@on_mariadb
def test_a_user_who_cannot_see_triggers(database: str, store_url: str) -> None:
    """What cannot be seen counts as every table, until it is declared or granted."""
    grants = [
        "CREATE USER IF NOT EXISTS qc_blind IDENTIFIED BY 'x'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON library.* TO qc_blind",
    ]
    with Trigger("library_review", "INSERT", RENAME).on(database):
        configure(STORE=store_url)
        seed(database)
        with (
            made(database, grants, "DROP USER qc_blind"),
            alias_of(database, USER="qc_blind", PASSWORD="x") as blind,
        ):
            configure(STORE=store_url)
            watch = Watch(database)
            book = Book.objects.using(blind).get(title="Book 1")
            # The other alias has shown this process what it may see.
            transaction_of(connections[blind]).database.schema_changed()
            Review.objects.using(blind).create(book=book, stars=5)
            watch.check("*")


# -- SQLite --------------------------------------------------------------------------------------


@on_sqlite
def test_an_outer_replace_reaches_into_triggers(database: str, cache: QueryCache) -> None:
    """The conflict clause of the statement holds for its triggers too: their INSERT deletes."""
    body = "INSERT INTO library_thing (code, data, number, ratio) VALUES ('a', '', 7, 0);"
    with (
        Trigger("library_genre", "INSERT", body).on(database),
        Trigger("library_thing", "DELETE", RENAME, "qc_second").on(database),
    ):
        Author.objects.using(database).create(name="Ann")
        Thing.objects.using(database).create(code="a")
        watch = Watch(database)

        def replace() -> None:
            execute(database, "PRAGMA recursive_triggers = ON")
            execute(database, "INSERT OR REPLACE INTO library_genre (name) VALUES ('r')")

        elsewhere(replace)
        watch.check("library_author", "library_genre", "library_thing")


@on_sqlite
def test_a_table_that_replaces_by_itself(database: str, cache: QueryCache) -> None:
    with (
        made(
            database,
            [
                "CREATE TABLE qc_parent (id integer PRIMARY KEY ON CONFLICT REPLACE, name text)",
                (
                    "CREATE TABLE qc_child (id integer PRIMARY KEY, name text,"
                    " parent_id int REFERENCES qc_parent (id) ON DELETE CASCADE)"
                ),
                "INSERT INTO qc_parent VALUES (1, 'p')",
                "INSERT INTO qc_child VALUES (1, 'c', 1)",
            ],
            ["DROP TABLE qc_child", "DROP TABLE qc_parent"],
        ),
    ):
        child = rows_of(database, "qc_child")
        assert is_cached(child)
        execute(database, "INSERT INTO qc_parent VALUES (1, 'again')")
        assert true_rows(child) == []

"""Triggers write tables that no statement names; nobody declares them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections, models, transaction

from querycache.cache import QueryCache
from querycache.runtime import transaction_of
from tests.catalogue.helpers import (
    every,
    is_cached,
    made,
    on_mariadb,
    on_postgresql,
    on_sqlite,
    rows_of,
    true_rows,
)
from tests.environment import configure, elsewhere
from tests.library.models import Author, Book, Genre, Publisher, Review, Thing
from tests.watching import Watch, alias_of, execute, seed


@dataclass(frozen=True)
class Trigger:
    """A trigger in the words of every database.

    Args:
        table: that it is on.
        event: ``"INSERT"``, ``"UPDATE"`` or ``"DELETE"``.
        body: its statements.
        name: of the trigger.
    """

    table: str
    event: str
    body: str
    name: str = "qc_trigger"

    @contextmanager
    def on(self, using: str) -> Iterator[None]:
        """Have it in a database."""
        row = "NEW" if self.event != "DELETE" else "OLD"
        body = self.body.replace("{row}", row)
        if connections[using].vendor == "postgresql":
            make = [
                (
                    f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS"
                    f" $$ BEGIN {body} RETURN NULL; END $$"
                ),
                (
                    f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table}"
                    f" FOR EACH ROW EXECUTE FUNCTION {self.name}()"
                ),
            ]
            drop = [f"DROP FUNCTION {self.name}() CASCADE"]
        else:
            make = [
                (
                    f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table} FOR EACH ROW"
                    f" BEGIN {body} END"
                )
            ]
            drop = [f"DROP TRIGGER {self.name}"]
        with made(using, make, drop):
            yield


RENAME = "UPDATE library_author SET name = 'by a trigger' WHERE id > 0;"


def review(using: str) -> Any:
    book = Book.objects.using(using).get(title="Book 1")
    return Review.objects.using(using).create(book=book, stars=5)


@every
def test_a_trigger_that_writes_another_table(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "INSERT", RENAME).on(database):
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check("library_author", "library_review")
        Author.objects.using(database).update(name="z")
        watch.check("library_author")


@every
def test_only_triggers_of_the_event_count(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "DELETE", RENAME).on(database):
        seed(database)
        watch = Watch(database)
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
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check("library_author", "library_genre", "library_review")


@every
def test_in_a_transaction(database: str, cache: QueryCache) -> None:
    with Trigger("library_review", "INSERT", RENAME).on(database):
        seed(database)
        watch = Watch(database)
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
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check("library_author", "library_genre", "library_review")


# -- PostgreSQL --------------------------------------------------------------------------------


def function(name: str, body: str, returns: str = "void") -> str:
    return f"CREATE FUNCTION {name}() RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


@on_postgresql
@pytest.mark.parametrize("declared", [False, True])
def test_a_trigger_that_cannot_be_told(database: str, store_url: str, declared: bool) -> None:
    triggers = {"TRIGGERS": {"library_review": ["library_author"]}} if declared else {}
    configure(STORE=store_url, **triggers)
    composes = "EXECUTE 'UPDATE library_' || 'author SET name = ''x'''; RETURN NULL;"
    with made(
        database,
        [
            function("qc_composes", composes, "trigger"),
            (
                "CREATE TRIGGER qc_t AFTER INSERT ON library_review"
                " FOR EACH ROW EXECUTE FUNCTION qc_composes()"
            ),
        ],
        "DROP FUNCTION qc_composes() CASCADE",
    ):
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check(*(["library_author", "library_review"] if declared else ["*"]))
        Genre.objects.using(database).update(name="x")
        watch.check("library_genre")


@on_postgresql
def test_functions_that_call_functions(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            function("qc_inner", "MERGE INTO library_thing t USING library_genre g ON false"
                     " WHEN NOT MATCHED THEN INSERT (code, data, number, ratio)"
                     " VALUES ('m' || g.id, '', 0, 0);"),
            ("CREATE FUNCTION qc_middle() RETURNS void LANGUAGE sql AS"
            " $$ SELECT qc_inner(); UPDATE library_genre SET name = 'g' $$"),
            function("qc_outer", "IF NEW.stars > 3 THEN PERFORM qc_middle(); END IF; RETURN NEW;",
                     "trigger"),
            ("CREATE TRIGGER qc_t BEFORE INSERT ON library_review"
            " FOR EACH ROW EXECUTE FUNCTION qc_outer()"),
        ],
        [
            "DROP FUNCTION qc_outer() CASCADE",
            "DROP FUNCTION qc_middle()",
            "DROP FUNCTION qc_inner()",
        ],
    ):  # fmt: skip
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check("library_genre", "library_review", "library_thing")


@on_postgresql
def test_a_function_whose_body_is_parsed(database: str, cache: QueryCache) -> None:
    """BEGIN ATOMIC: the catalogue has its tree and no text."""
    with made(
        database,
        [
            (
                "CREATE FUNCTION qc_atomic() RETURNS void LANGUAGE sql BEGIN ATOMIC"
                " UPDATE library_author SET name = 'atomic'; END"
            ),
            function("qc_outer", "PERFORM qc_atomic(); RETURN NEW;", "trigger"),
            (
                "CREATE TRIGGER qc_t BEFORE INSERT ON library_review"
                " FOR EACH ROW EXECUTE FUNCTION qc_outer()"
            ),
        ],
        ["DROP FUNCTION qc_outer() CASCADE", "DROP FUNCTION qc_atomic()"],
    ):
        seed(database)
        watch = Watch(database)
        review(database)
        watch.check("library_author", "library_review")


@on_postgresql
def test_a_trigger_that_runs_at_commit(database: str, cache: QueryCache) -> None:
    """A deferred constraint trigger: its tables are announced before COMMIT runs it."""
    with made(
        database,
        [
            function("qc_late", "UPDATE library_author SET name = 'late'; RETURN NULL;", "trigger"),
            (
                "CREATE CONSTRAINT TRIGGER qc_t AFTER INSERT ON library_review"
                " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION qc_late()"
            ),
        ],
        "DROP FUNCTION qc_late() CASCADE",
    ):
        seed(database)
        watch = Watch(database)
        names = Author.objects.using(database).order_by("pk").values_list("name", flat=True)
        with transaction.atomic(database):
            names.order_by().update(name="before")
            review(database)
            assert list(names.all()) == ["before", "before"]
            assert elsewhere(lambda: list(names.all())) == ["late", "late"]
        assert list(names.all()) == ["late", "late"]
        watch.check("library_author", "library_review")


@on_postgresql
def test_a_trigger_that_refreshes_a_materialized_view(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            "CREATE MATERIALIZED VIEW qc_count AS SELECT 1 AS id, count(*) AS n FROM library_genre",
            function("qc_refresh", "REFRESH MATERIALIZED VIEW qc_count; RETURN NULL;", "trigger"),
            (
                "CREATE TRIGGER qc_t AFTER INSERT ON library_genre"
                " FOR EACH STATEMENT EXECUTE FUNCTION qc_refresh()"
            ),
        ],
        ["DROP FUNCTION qc_refresh() CASCADE", "DROP MATERIALIZED VIEW qc_count"],
    ):
        seed(database)
        count = rows_of(database, "qc_count", n=models.IntegerField())
        assert is_cached(count)
        Genre.objects.using(database).create(name="third")
        assert true_rows(count) == [(3,)]


@on_postgresql
def test_built_in_trigger_functions_write_nothing_else(database: str, cache: QueryCache) -> None:
    with made(
        database,
        "CREATE TRIGGER qc_t BEFORE UPDATE ON library_genre"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "DROP TRIGGER qc_t ON library_genre",
    ):
        seed(database)
        watch = Watch(database)
        Genre.objects.using(database).update(name="x")
        watch.check("library_genre")


@on_postgresql
def test_a_default_that_writes(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            function("qc_default", "UPDATE library_publisher SET name = name || '+'; RETURN 7;",
                     "int"),
            "ALTER TABLE library_thing ALTER COLUMN number SET DEFAULT qc_default()",
        ],
        [
            "ALTER TABLE library_thing ALTER COLUMN number DROP DEFAULT",
            "DROP FUNCTION qc_default()",
        ],
    ):  # fmt: skip
        seed(database)
        watch = Watch(database)
        execute(database, "INSERT INTO library_thing (code, data, ratio) VALUES ('d', '', 0)")
        watch.check("library_publisher", "library_thing")
        assert Publisher.objects.using(database).get().name == "Paper+"
        Thing.objects.using(database).filter(code="d").delete()
        watch.check("library_thing")


@on_postgresql
def test_a_trigger_of_a_copy(database: str, cache: QueryCache) -> None:
    with Trigger("library_genre", "INSERT", RENAME).on(database):
        seed(database)
        watch = Watch(database)
        with (
            connections[database].cursor() as cursor,
            cursor.copy("COPY library_genre (name) FROM STDIN") as copy,
        ):
            copy.write_row(["copied"])
        watch.check("library_author", "library_genre")


# -- MariaDB -----------------------------------------------------------------------------------


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
        seed(database)
        watch = Watch(database)
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


# -- SQLite ------------------------------------------------------------------------------------


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

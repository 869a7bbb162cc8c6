"""What each database has of its own among the statements that write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.db import connections, transaction

from tests.catalogue.helpers import made
from tests.environment import configure, elsewhere
from tests.kinds import mariadb, postgresql, sqlites
from tests.library.models import Author, Book, Genre, Review
from tests.watching import Watch, execute

# -- PostgreSQL --------------------------------------------------------------------------------

POSTGRESQL: dict[str, tuple[Any, tuple[str, ...]]] = {
    "cte_that_deletes": (
        (
            "WITH gone AS (DELETE FROM library_review RETURNING stars)"
            " INSERT INTO library_genre (name) SELECT stars::text FROM gone"
        ),
        ("library_genre", "library_review"),
    ),
    "select_from_a_cte_that_writes": (
        (
            "WITH new AS (INSERT INTO library_genre (name) VALUES ('new') RETURNING id)"
            " SELECT * FROM new"
        ),
        ("library_genre",),
    ),
    "merge": (
        (
            "MERGE INTO library_thing t USING library_genre g ON t.code = g.name"
            " WHEN MATCHED THEN DELETE"
            " WHEN NOT MATCHED THEN INSERT (code, data, number, ratio) VALUES (g.name, '', 0, 0)"
        ),
        ("library_thing",),
    ),
    "upsert": (
        (
            "INSERT INTO library_thing (code, data, number, ratio) VALUES ('a', '', 9, 0)"
            " ON CONFLICT (code) DO UPDATE SET number = excluded.number"
        ),
        ("library_thing",),
    ),
    "truncate": ("TRUNCATE library_thing", ("library_thing",)),
    "truncate_cascade": ("TRUNCATE library_author CASCADE", ("*",)),
    "quoted": ('UPDATE "library_genre" SET "name" = \'other\'', ("library_genre",)),
    "schema": ("UPDATE public.library_genre SET name = 'other'", ("library_genre",)),
    "quoted_schema": ('UPDATE "public"."library_genre" SET name = \'x\'', ("library_genre",)),
    "only": ("UPDATE ONLY library_genre SET name = 'other'", ("library_genre",)),
    "bytes": (b"UPDATE library_genre SET name = 'other'", ("library_genre",)),
    "block": ("DO $$ BEGIN UPDATE library_genre SET name = 'other'; END $$", ("*",)),
    "script": (
        "UPDATE library_genre SET name = 'other'; DELETE FROM library_thing",
        ("library_genre", "library_thing"),
    ),
    "transaction_in_a_script": (
        "BEGIN; UPDATE library_genre SET name = 'other'; COMMIT",
        ("library_genre",),
    ),
    "explain_analyze": ("EXPLAIN ANALYZE DELETE FROM library_thing", ("library_thing",)),
    "prepared": (
        "PREPARE change AS UPDATE library_genre SET name = 'x'; EXECUTE change; DEALLOCATE change",
        ("*",),
    ),
}


@pytest.mark.parametrize("name", POSTGRESQL)
@postgresql
def test_postgresql(database: str, name: str, watch: Watch) -> None:
    sql, tables = POSTGRESQL[name]
    execute(database, sql)
    watch.check(*tables)


@postgresql
def test_composed(database: str, watch: Watch) -> None:
    from django.db.backends.postgresql.psycopg_any import sql

    statement = sql.SQL("UPDATE {} SET {} = {}").format(
        sql.Identifier("public", "library_genre"), sql.Identifier("name"), sql.Placeholder()
    )
    execute(database, statement, ["other"])
    watch.check("library_genre")


@postgresql
def test_select_into_makes_a_table(database: str, watch: Watch) -> None:
    execute(database, "SELECT * INTO copied FROM library_genre")
    try:
        watch.check()
    finally:
        execute(database, "DROP TABLE copied")


@postgresql
def test_copy_in_and_out(database: str, watch: Watch) -> None:
    pytest.importorskip("psycopg")
    with connections[database].cursor() as cursor:
        with cursor.copy("COPY library_genre TO STDOUT") as copy:
            lines = [bytes(line) for line in copy]
        watch.check()
        with cursor.copy("COPY library_genre (name) FROM STDIN") as copy:
            copy.write_row(["copied"])
            # Not there yet, and not to be cached as not there.
            assert elsewhere(Genre.objects.using(database).count) == 2
    assert len(lines) == 2
    watch.check("library_genre")
    assert Genre.objects.using(database).filter(name="copied").exists()


@postgresql
def test_copy_of_psycopg2(database: str, watch: Watch) -> None:
    if find_spec("psycopg") is not None:
        pytest.skip("Django takes psycopg 3 where it is installed")
    with connections[database].cursor() as cursor:
        out = StringIO()
        cursor.copy_expert("COPY library_genre TO STDOUT", out)
        watch.check()
        cursor.copy_expert("COPY library_genre (name) FROM STDIN", StringIO("expert\n"))
        watch.check("library_genre")
        cursor.copy_from(StringIO("from\n"), "library_genre", columns=["name"])
        watch.check("library_genre")
        with transaction.atomic(database):
            cursor.copy_from(StringIO("again\n"), "library_genre", columns=["name"])
            assert elsewhere(Genre.objects.using(database).count) == 4
    assert len(out.getvalue().splitlines()) == 2
    watch.check("library_genre")


@postgresql
def test_a_copy_that_fails(database: str, watch: Watch) -> None:
    pytest.importorskip("psycopg")
    with connections[database].cursor() as cursor:

        def fail() -> None:
            with cursor.copy("COPY library_genre (name) FROM STDIN") as copy:
                copy.write_row(["copied"])
                raise LookupError

        with pytest.raises(LookupError):
            fail()
    watch.check("library_genre")


@postgresql
def test_trigger(database: str, store_url: str) -> None:
    configure(STORE=store_url, TRIGGERS={"library_review": ["library_author"]})
    with (
        made(
            database,
            "CREATE FUNCTION on_review() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE library_author SET name = name || '*'; RETURN NEW; END $$",
            "DROP FUNCTION on_review()",
        ),
        made(
            database,
            "CREATE TRIGGER t AFTER INSERT ON library_review EXECUTE FUNCTION on_review()",
            "DROP TRIGGER t ON library_review",
        ),
    ):
        watch = Watch.seeded(database)
        book = Book.objects.using(database).get(title="Book 1")
        Review.objects.using(database).create(book=book, stars=5)
        watch.check("library_author", "library_review")
        Author.objects.using(database).update(name="z")
        watch.check("library_author")


# -- MariaDB -----------------------------------------------------------------------------------

MARIADB: dict[str, tuple[Any, tuple[str, ...]]] = {
    "replace": (
        "REPLACE INTO library_thing (code, data, number, ratio) VALUES ('a', '', 9, 0)",
        ("library_thing",),
    ),
    "upsert": (
        (
            "INSERT INTO library_thing (code, data, number, ratio) VALUES ('a', '', 9, 0)"
            " ON DUPLICATE KEY UPDATE number = 9"
        ),
        ("library_thing",),
    ),
    "backticks": ("UPDATE `library_genre` SET `name` = 'other'", ("library_genre",)),
    "database": ("UPDATE `library`.`library_genre` SET name = 'x'", ("library_genre",)),
    "two_tables": (
        "UPDATE library_review r JOIN library_thing t SET r.stars = 9, t.number = 9",
        ("library_review", "library_thing"),
    ),
    "delete_from_two": (
        "DELETE r, t FROM library_review r JOIN library_thing t",
        ("library_review", "library_thing"),
    ),
    "truncate": ("TRUNCATE TABLE library_thing", ("library_thing",)),
    "insert_set": ("INSERT INTO library_genre SET name = 'other'", ("library_genre",)),
    "block": ("BEGIN NOT ATOMIC UPDATE library_genre SET name = 'x'; END", ("*",)),
    "executable_comment": ("/*! UPDATE library_genre SET name = 'other' */", ("library_genre",)),
}


@pytest.mark.parametrize("name", MARIADB)
@mariadb
def test_mariadb(database: str, name: str, watch: Watch) -> None:
    sql, tables = MARIADB[name]
    execute(database, sql)
    watch.check(*tables)


# -- SQLite ------------------------------------------------------------------------------------

SQLITE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "replace": (
        "REPLACE INTO library_thing (code, data, number, ratio) VALUES ('a', '', 9, 0)",
        ("library_thing",),
    ),
    "insert_or_replace": (
        "INSERT OR REPLACE INTO library_thing (code, data, number, ratio) VALUES ('a', '', 9, 0)",
        ("library_thing",),
    ),
    "brackets": ("UPDATE [library_genre] SET name = 'other'", ("library_genre",)),
    "string_as_a_name": ("UPDATE 'library_genre' SET name = 'other'", ("library_genre",)),
    "schema": ("UPDATE main.library_genre SET name = 'other'", ("library_genre",)),
}


@pytest.mark.parametrize("name", SQLITE)
@sqlites
def test_sqlite(database: str, name: str, watch: Watch) -> None:
    sql, tables = SQLITE[name]
    execute(database, sql)
    watch.check(*tables)


@sqlites
def test_executescript(database: str, watch: Watch) -> None:
    with connections[database].cursor() as cursor:
        cursor.executescript("UPDATE library_genre SET name = 'x'; DELETE FROM library_thing;")
    watch.check("library_genre", "library_thing")


@sqlites
def test_trigger_of_sqlite(database: str, store_url: str) -> None:
    configure(STORE=store_url, TRIGGERS={"library_review": ["library_author"]})
    with made(
        database,
        "CREATE TRIGGER t AFTER DELETE ON library_review BEGIN"
        " UPDATE library_author SET name = name || '*'; END",
        "DROP TRIGGER t",
    ):
        watch = Watch.seeded(database)
        Review.objects.using(database).all().delete()
        watch.check("library_author", "library_review")


@sqlites
def test_a_failed_script(database: str, watch: Watch) -> None:
    with connections[database].cursor() as cursor, pytest.raises(sqlite3.Error):
        cursor.executescript("DELETE FROM library_thing; NONSENSE")
    watch.check_rows()


# -- routines ----------------------------------------------------------------------------------


class Routine(NamedTuple):
    """A routine that writes genres, and how it is run."""

    database: str
    make: str
    drop: str
    run: Callable[[str], None]
    declared_as: str = "p"


def callproc(name: str) -> Callable[[str], None]:
    def run(using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.callproc(name)

    return run


def statement(sql: str) -> Callable[[str], None]:
    return lambda using: execute(using, sql)


FUNCTION = (
    (
        "CREATE FUNCTION add_genre() RETURNS int LANGUAGE sql VOLATILE AS"
        " $$ INSERT INTO library_genre (name) VALUES ('new') RETURNING 1 $$"
    ),
    "DROP FUNCTION add_genre()",
)
PROCEDURE = (
    "CREATE PROCEDURE p() LANGUAGE sql AS $$ INSERT INTO library_genre (name) VALUES ('p') $$",
    "DROP PROCEDURE p()",
)
MARIADB_PROCEDURE = (
    "CREATE PROCEDURE p() INSERT INTO library_genre (name) VALUES ('p')",
    "DROP PROCEDURE p",
)
ROUTINES = {
    "select": Routine("postgresql", *FUNCTION, statement("SELECT add_genre()"), "add_genre"),
    "callproc_of_a_function": Routine("postgresql", *FUNCTION, callproc("add_genre"), "ADD_GENRE"),
    "call": Routine("postgresql", *PROCEDURE, statement("CALL p()")),
    "call_of_mariadb": Routine("mariadb", *MARIADB_PROCEDURE, statement("CALL p()")),
    "callproc_of_mariadb": Routine("mariadb", *MARIADB_PROCEDURE, callproc("p")),
}


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(
    ("database", "routine"),
    [(routine.database, routine) for routine in ROUTINES.values()],
    indirect=["database"],
    ids=ROUTINES,
)
def test_routine(database: str, store_url: str, routine: Routine, declared: bool) -> None:
    depends = {routine.declared_as: ["library_genre"]} if declared else {}
    configure(STORE=store_url, DEPENDS=depends)
    with made(database, routine.make, routine.drop):
        watch = Watch.seeded(database)
        for _ in range(2):
            routine.run(database)
            watch.check("library_genre" if declared else "*")

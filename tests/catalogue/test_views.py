"""Views depend on their tables, however many views are in between; nobody declares them."""

from __future__ import annotations

import pytest
from django.db import connections, models

import querycache
from querycache.cache import QueryCache
from tests.catalogue.helpers import (
    dependencies,
    every,
    is_cached,
    made,
    on_mariadb,
    on_postgresql,
    on_sqlite,
    rows_of,
    true_rows,
)
from tests.environment import configure
from tests.library.models import Author, Book, Genre, Publisher
from tests.watching import execute, seed

VIEW = (
    "CREATE VIEW qc_book AS SELECT b.id, b.title AS name FROM library_book b"
    " JOIN library_author a ON a.id = b.author_id WHERE a.name <> 'Zed'"
)
VIEW_OF_A_VIEW = "CREATE VIEW qc_shelf AS SELECT id, name FROM qc_book WHERE name <> ''"


@every
def test_a_view_depends_on_its_tables(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(database, VIEW, "DROP VIEW qc_book"):
        books = rows_of(database, "qc_book")
        assert is_cached(books)
        assert dependencies(books) == {"qc_book", "library_book", "library_author"}
        Book.objects.using(database).filter(title="Book 1").update(title="changed")
        assert ("changed",) in true_rows(books)
        assert is_cached(books)
        Author.objects.using(database).filter(name="Ann").update(name="Zed")
        assert true_rows(books) == [("Book 2",)]
        # A table that is none of its own leaves it alone.
        assert is_cached(books)
        Genre.objects.using(database).update(name="other")
        assert querycache.explain(books.all()).hit


@every
def test_a_view_of_a_view(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database, [VIEW, VIEW_OF_A_VIEW], ["DROP VIEW IF EXISTS qc_shelf", "DROP VIEW qc_book"]
    ):
        shelf = rows_of(database, "qc_shelf")
        assert is_cached(shelf)
        Author.objects.using(database).filter(name="Ann").update(name="Zed")
        assert true_rows(shelf) == [("Book 2",)]


@every
def test_a_raw_fragment_that_names_a_view(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(database, VIEW, "DROP VIEW qc_book"):
        genres = (
            Genre.objects.using(database)
            .extra(where=["EXISTS (SELECT 1 FROM qc_book WHERE name = 'Book 1')"])
            .order_by("pk")
            .values_list("name")
        )
        assert is_cached(genres)
        Book.objects.using(database).update(title="none")
        assert true_rows(genres) == []


@every
def test_a_declaration_takes_the_place_of_what_was_found(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"qc_book": ["library_book"]})
    seed(database)
    with made(database, VIEW, "DROP VIEW qc_book"):
        books = rows_of(database, "qc_book")
        assert is_cached(books)
        assert dependencies(books) == {"qc_book", "library_book"}


@every
def test_a_view_that_asks_the_time_is_not_cached(database: str, cache: QueryCache) -> None:
    seed(database)
    sql = "CREATE VIEW qc_now AS SELECT id, CURRENT_TIMESTAMP AS name FROM library_genre"
    with made(database, sql, "DROP VIEW qc_now"):
        explanation = querycache.explain(rows_of(database, "qc_now"))
        assert not explanation.cacheable
        assert "may change from call to call" in explanation.reason


@every
def test_a_write_through_a_view_is_one_to_its_tables(database: str, cache: QueryCache) -> None:
    if connections[database].vendor == "sqlite":
        pytest.skip("SQLite writes through views with INSTEAD OF triggers only")
    seed(database)
    with made(
        database,
        "CREATE VIEW qc_genre AS SELECT id, name FROM library_genre",
        "DROP VIEW qc_genre",
    ):
        genres = Genre.objects.using(database).order_by("pk").values_list("name")
        assert is_cached(genres)
        execute(database, "UPDATE qc_genre SET name = 'through'")
        assert true_rows(genres) == [("through",), ("through",)]
        assert is_cached(genres)
        rows_of(database, "qc_genre").filter(name="through").update(name="again")
        assert true_rows(genres) == [("again",), ("again",)]


INSTEAD = {
    "sqlite": [
        "CREATE VIEW qc_pair AS SELECT id, name FROM library_genre",
        (
            "CREATE TRIGGER qc_instead INSTEAD OF UPDATE ON qc_pair BEGIN"
            " UPDATE library_publisher SET name = NEW.name; END"
        ),
    ],
    "postgresql": [
        "CREATE VIEW qc_pair AS SELECT id, name FROM library_genre",
        (
            "CREATE FUNCTION qc_instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE library_publisher SET name = NEW.name; RETURN NEW; END $$"
        ),
        (
            "CREATE TRIGGER qc_instead INSTEAD OF UPDATE ON qc_pair"
            " FOR EACH ROW EXECUTE FUNCTION qc_instead()"
        ),
    ],
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_trigger_instead_of_a_write_to_a_view(database: str, cache: QueryCache) -> None:
    seed(database)
    drop = ["DROP VIEW qc_pair"]
    if database == "postgresql":
        drop.append("DROP FUNCTION qc_instead()")
    with made(database, INSTEAD[database], drop):
        publishers = Publisher.objects.using(database).order_by("pk").values_list("name")
        assert is_cached(publishers)
        execute(database, "UPDATE qc_pair SET name = 'instead' WHERE name = 'crime'")
        assert true_rows(publishers) == [("instead",)]


# -- PostgreSQL --------------------------------------------------------------------------------


@on_postgresql
def test_a_materialized_view_changes_when_it_is_refreshed(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database,
        "CREATE MATERIALIZED VIEW qc_count AS SELECT 1 AS id, count(*) AS n FROM library_genre",
        "DROP MATERIALIZED VIEW qc_count",
    ):
        count = rows_of(database, "qc_count", n=models.IntegerField())
        assert is_cached(count)
        assert dependencies(count) == {"qc_count"}
        Genre.objects.using(database).create(name="third")
        # The materialized view still says what it said.
        assert querycache.explain(count.all()).hit
        assert true_rows(count) == [(2,)]
        execute(database, "REFRESH MATERIALIZED VIEW qc_count")
        assert true_rows(count) == [(3,)]


@on_postgresql
def test_a_view_of_a_materialized_view(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database,
        [
            "CREATE MATERIALIZED VIEW qc_count AS SELECT 1 AS id, count(*) AS n FROM library_genre",
            "CREATE VIEW qc_double AS SELECT id, n * 2 AS n FROM qc_count",
        ],
        "DROP MATERIALIZED VIEW qc_count CASCADE",
    ):
        double = rows_of(database, "qc_double", n=models.IntegerField())
        assert is_cached(double)
        Genre.objects.using(database).create(name="third")
        execute(database, "REFRESH MATERIALIZED VIEW qc_count")
        assert true_rows(double) == [(6,)]


@on_postgresql
def test_a_view_in_another_schema(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database,
        [
            "CREATE SCHEMA qc_other",
            "CREATE VIEW qc_other.qc_genre AS SELECT id, name FROM public.library_genre",
        ],
        "DROP SCHEMA qc_other CASCADE",
    ):
        genres = rows_of(database, 'qc_other"."qc_genre')
        assert is_cached(genres)
        Genre.objects.using(database).update(name="x")
        assert true_rows(genres) == [("x",), ("x",)]


@on_postgresql
@pytest.mark.parametrize(
    "column",
    [
        "now()::text",
        "random()::text",
        "'now'::text::timestamptz::text",
        "current_user::text",
        "pg_backend_pid()::text",
        "qc_function(1)::text",
    ],
)
def test_what_a_view_may_not_call(database: str, cache: QueryCache, column: str) -> None:
    with made(
        database,
        [
            (
                "CREATE FUNCTION qc_function(n int) RETURNS int LANGUAGE plpgsql STABLE AS"
                " $$ BEGIN RETURN (SELECT count(*) FROM library_author); END $$"
            ),
            f"CREATE VIEW qc_calls AS SELECT id, {column} AS name FROM library_genre",
        ],
        ["DROP VIEW IF EXISTS qc_calls", "DROP FUNCTION qc_function(int)"],
    ):
        assert not querycache.explain(rows_of(database, "qc_calls")).cacheable


@on_postgresql
def test_a_function_behind_an_operator_counts(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            (
                "CREATE FUNCTION qc_same(a text, b text) RETURNS bool LANGUAGE plpgsql VOLATILE AS"
                " $$ BEGIN RETURN random() < 2; END $$"
            ),
            "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = qc_same)",
            "CREATE VIEW qc_calls AS SELECT id, name FROM library_genre WHERE name::text === 'a'",
        ],
        [
            "DROP VIEW IF EXISTS qc_calls",
            "DROP OPERATOR === (text, text)",
            "DROP FUNCTION qc_same(text, text)",
        ],
    ):
        assert not querycache.explain(rows_of(database, "qc_calls")).cacheable


@on_postgresql
def test_what_a_view_may_call(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database,
        "CREATE VIEW qc_calls AS SELECT b.id, upper(b.title) || count(*) || coalesce(max(a.born),"
        " DATE '2020-01-01') || row_number() OVER (ORDER BY b.id) || hashtext(b.title) AS name"
        " FROM library_book b JOIN library_author a ON a.id = b.author_id"
        " WHERE b.title LIKE 'B%' AND b.id = ANY (ARRAY[b.id]) GROUP BY b.id",
        "DROP VIEW qc_calls",
    ):
        assert is_cached(rows_of(database, "qc_calls"))


@on_postgresql
def test_a_view_that_calls_what_writes(database: str, cache: QueryCache) -> None:
    seed(database)
    with made(
        database,
        [
            (
                "CREATE FUNCTION qc_writes() RETURNS int LANGUAGE plpgsql VOLATILE AS"
                " $$ BEGIN UPDATE library_publisher SET name = name || '!'; RETURN 1; END $$"
            ),
            "CREATE VIEW qc_calls AS SELECT 1 AS id, qc_writes()::text AS name",
        ],
        ["DROP VIEW IF EXISTS qc_calls", "DROP FUNCTION qc_writes()"],
    ):
        publishers = Publisher.objects.using(database).order_by("pk").values_list("name")
        assert is_cached(publishers)
        assert list(rows_of(database, "qc_calls")) == [("1",)]
        assert true_rows(publishers) == [("Paper!",)]


# -- MariaDB -----------------------------------------------------------------------------------


@on_mariadb
def test_a_view_of_another_database_is_not_cached(database: str, cache: QueryCache) -> None:
    with made(
        database,
        [
            "CREATE DATABASE qc_else",
            "CREATE TABLE qc_else.t (id int, name varchar(10))",
            "CREATE VIEW qc_far AS SELECT id, name FROM qc_else.t",
        ],
        ["DROP VIEW IF EXISTS qc_far", "DROP DATABASE qc_else"],
    ):
        explanation = querycache.explain(rows_of(database, "qc_far"))
        assert not explanation.cacheable
        assert "another database" in explanation.reason


# -- SQLite ------------------------------------------------------------------------------------


@on_sqlite
def test_full_text_tables(database: str, cache: QueryCache) -> None:
    """An FTS5 table with its rows in another table, and a vocabulary of it."""
    seed(database)
    with made(
        database,
        [
            (
                "CREATE VIRTUAL TABLE qc_text USING fts5(name, content='library_genre',"
                " content_rowid='id')"
            ),
            "INSERT INTO qc_text(qc_text) VALUES ('rebuild')",
            "CREATE VIRTUAL TABLE qc_terms USING fts5vocab(qc_text, row)",
        ],
        ["DROP TABLE IF EXISTS qc_terms", "DROP TABLE qc_text"],
    ):
        text = rows_of(
            database, "qc_text", rowid=models.AutoField(primary_key=True), name=models.TextField()
        )
        terms = rows_of(database, "qc_terms", term=models.TextField(primary_key=True))
        assert is_cached(text)
        assert is_cached(terms)
        execute(database, "INSERT INTO qc_text(rowid, name) VALUES (99, 'new')")
        assert ("new",) in true_rows(terms)
        assert is_cached(terms)
        # Its rows are those of the table that has its content.
        assert is_cached(text)
        Genre.objects.using(database).filter(name="crime").update(name="law")
        assert "law" in [name for _, name in true_rows(text)]


@on_sqlite
def test_a_virtual_table_of_an_unknown_module(database: str, cache: QueryCache) -> None:
    with made(database, "CREATE VIRTUAL TABLE qc_stat USING dbstat", "DROP TABLE qc_stat"):
        explanation = querycache.explain(rows_of(database, "qc_stat"))
        assert not explanation.cacheable
        assert "dbstat" in explanation.reason

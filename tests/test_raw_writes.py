"""Raw SQL through cursors: whatever it writes is never read from the cache again."""

from __future__ import annotations

import pytest
from django.db import connections
from django.db.models import Count

from querycache.cache import QueryCache
from tests.catalogue.helpers import made, rows_of, true_rows
from tests.environment import configure, elsewhere
from tests.kinds import every, on, postgresql, servers
from tests.library.models import Author, Genre, Thing
from tests.watching import Watch, everything_of, execute, seed

# -- statements that every database has --------------------------------------------------------

COMMON: dict[str, tuple[str, tuple[str, ...]]] = {
    "insert": ("INSERT INTO library_genre (name) VALUES ('new')", ("library_genre",)),
    "insert_select": (
        "INSERT INTO library_genre (name) SELECT name FROM library_author",
        ("library_genre",),
    ),
    "update": ("UPDATE library_genre SET name = 'other'", ("library_genre",)),
    "lower_and_upper_case": ("uPdAtE LIBRARY_GENRE set NAME = 'other'", ("library_genre",)),
    "comments": (
        "/* UPDATE library_author */ UPDATE -- library_book\n library_genre SET name = 'other'",
        ("library_genre",),
    ),
    "delete": ("DELETE FROM library_thing", ("library_thing",)),
    "delete_by_another_table": (
        "DELETE FROM library_review WHERE book_id IN (SELECT id FROM library_book)",
        ("library_review",),
    ),
    "of_the_alias_of_an_update": (
        "UPDATE library_review SET stars = (SELECT count(*) FROM library_book b)",
        ("library_review",),
    ),
}


@pytest.mark.parametrize("name", COMMON)
@every
def test_statement(database: str, name: str, watch: Watch) -> None:
    sql, tables = COMMON[name]
    if database == "mariadb" and name == "lower_and_upper_case":
        sql = sql.replace("LIBRARY_GENRE", "library_genre")
    execute(database, sql)
    watch.check(*tables)


@every
def test_executemany(database: str, watch: Watch) -> None:
    with connections[database].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO library_genre (name) VALUES (%s)", [("one",), ("two",), ("three",)]
        )
    watch.check("library_genre")


@every
def test_what_is_not_understood_writes_everything(database: str, watch: Watch) -> None:
    from django.db import DatabaseError

    with pytest.raises(DatabaseError):
        execute(database, "FROBNICATE library_genre")
    watch.check("*")


@every
def test_a_query_writes_nothing(database: str, watch: Watch) -> None:
    execute(database, "SELECT count(*) FROM library_book")
    watch.check()


@on("sqlite", "sqlite_wal", "postgresql")
def test_raw_querysets_that_write(database: str, watch: Watch) -> None:
    query = "UPDATE library_genre SET name = 'other' RETURNING id, name"
    assert [genre.name for genre in Genre.objects.using(database).raw(query)] == ["other"] * 2
    watch.check("library_genre")


# -- views -------------------------------------------------------------------------------------


@every
def test_a_view_that_is_declared(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"names": ["library_genre"]})
    with made(
        database, "CREATE VIEW names AS SELECT id, name FROM library_genre", "DROP VIEW names"
    ):
        seed(database)
        names = rows_of(database, "names")
        assert true_rows(names) == [("crime",), ("poetry",)]
        Genre.objects.using(database).create(name="maps")
        assert true_rows(names) == [("crime",), ("poetry",), ("maps",)]


@servers
def test_writing_through_a_view_writes_its_table(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"names": ["library_genre"]})
    with made(
        database, "CREATE VIEW names AS SELECT id, name FROM library_genre", "DROP VIEW names"
    ):
        watch = Watch.seeded(database)
        execute(database, "UPDATE names SET name = 'other' WHERE name = 'crime'")
        watch.check("library_genre")


@postgresql
def test_materialized_view(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"names": ["library_genre"]})
    with made(
        database,
        "CREATE MATERIALIZED VIEW names AS SELECT id, name FROM library_genre",
        "DROP MATERIALIZED VIEW names",
    ):
        watch = Watch.seeded(database)
        names = rows_of(database, "names")
        assert true_rows(names) == []
        execute(database, "REFRESH MATERIALIZED VIEW names")
        # The view is read anew, its tables are not.
        watch.check()
        assert true_rows(names) == [("crime",), ("poetry",)]


# -- settings ----------------------------------------------------------------------------------


@every
def test_ignored_raw_sql(database: str, store_url: str) -> None:
    configure(STORE=store_url, RAW_SQL="ignore")
    watch = Watch.seeded(database)
    execute(database, "UPDATE library_genre SET name = 'other'")
    assert watch.cold() == set()
    Genre.objects.using(database).filter(name="other").update(name="third")
    Thing.objects.using(database).all().delete()
    watch.check("library_genre", "library_thing")
    # Changes of the schema are no writes that a project could take care of.
    execute(database, "CREATE INDEX some_index ON library_thing (number)")
    on = " ON library_thing" if database == "mariadb" else ""
    execute(database, f"DROP INDEX some_index{on}")
    assert elsewhere(watch.wrong) == {}


@every
def test_counts_and_joins_follow_raw_writes(database: str, cache: QueryCache) -> None:
    seed(database)
    counts = Author.objects.using(database).annotate(n=Count("books")).values_list("name", "n")
    assert sorted(counts.all()) == [("Ann", 1), ("Bob", 1)]
    list(everything_of("library_book", database))
    execute(database, "UPDATE library_book SET author_id = (SELECT min(id) FROM library_author)")
    assert sorted(counts.all()) == [("Ann", 2), ("Bob", 0)]
    assert elsewhere(lambda: sorted(counts.all())) == [("Ann", 2), ("Bob", 0)]

"""Raw SQL through cursors: whatever it writes is never read from the cache again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from django.db.models import Count

from querycache.cache import QueryCache
from tests.environment import DATABASES, configure, elsewhere
from tests.library.models import Author, Genre, Thing
from tests.watching import Watch, everything_of, execute, seed

postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
sqlite = pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)
every = pytest.mark.parametrize("database", DATABASES, indirect=True)


@contextmanager
def made(using: str, make: str, drop: str) -> Iterator[None]:
    """Have something in the database for a while."""
    execute(using, make)
    try:
        yield
    finally:
        execute(using, drop)


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
def test_statement(database: str, cache: QueryCache, name: str) -> None:
    sql, tables = COMMON[name]
    if database == "mariadb" and name == "lower_and_upper_case":
        sql = sql.replace("LIBRARY_GENRE", "library_genre")
    seed(database)
    watch = Watch(database)
    execute(database, sql)
    watch.check(*tables)


@every
def test_executemany(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    with connections[database].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO library_genre (name) VALUES (%s)", [("one",), ("two",), ("three",)]
        )
    watch.check("library_genre")


@every
def test_what_is_not_understood_writes_everything(database: str, cache: QueryCache) -> None:
    from django.db import DatabaseError

    seed(database)
    watch = Watch(database)
    with pytest.raises(DatabaseError):
        execute(database, "FROBNICATE library_genre")
    watch.check("*")


@every
def test_a_query_writes_nothing(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    execute(database, "SELECT count(*) FROM library_book")
    watch.check()


@pytest.mark.parametrize("database", ["sqlite", "sqlite_wal", "postgresql"], indirect=True)
def test_raw_querysets_that_write(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    query = "UPDATE library_genre SET name = 'other' RETURNING id, name"
    assert [genre.name for genre in Genre.objects.using(database).raw(query)] == ["other"] * 2
    watch.check("library_genre")


# -- views -------------------------------------------------------------------------------------


def _names(using: str, table: str) -> Callable[[], list[str]]:
    """Read a view's names through the ORM."""
    from django.apps.registry import Apps
    from django.db import models

    class Row(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            managed = False
            app_label = "raw"
            db_table = table
            apps = Apps()

    names = Row.objects.using(using).order_by("name").values_list("name", flat=True)  # type: ignore[attr-defined]
    return lambda: list(names.all())


@every
def test_a_view_that_is_declared(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"names": ["library_genre"]})
    with made(
        database, "CREATE VIEW names AS SELECT id, name FROM library_genre", "DROP VIEW names"
    ):
        seed(database)
        names = _names(database, "names")
        assert names() == elsewhere(names) == ["crime", "poetry"]
        Genre.objects.using(database).create(name="maps")
        assert names() == elsewhere(names) == ["crime", "maps", "poetry"]


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_writing_through_a_view_writes_its_table(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"names": ["library_genre"]})
    with made(
        database, "CREATE VIEW names AS SELECT id, name FROM library_genre", "DROP VIEW names"
    ):
        seed(database)
        watch = Watch(database)
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
        seed(database)
        watch = Watch(database)
        names = _names(database, "names")
        assert names() == elsewhere(names) == []
        execute(database, "REFRESH MATERIALIZED VIEW names")
        # The view is read anew, its tables are not.
        watch.check()
        assert names() == elsewhere(names) == ["crime", "poetry"]


# -- settings ----------------------------------------------------------------------------------


@every
def test_ignored_raw_sql(database: str, store_url: str) -> None:
    configure(STORE=store_url, RAW_SQL="ignore")
    seed(database)
    watch = Watch(database)
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

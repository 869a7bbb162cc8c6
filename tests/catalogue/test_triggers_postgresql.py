"""PostgreSQL's triggers run functions, which may do anything and are written in many ways."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models, transaction

from querycache.cache import QueryCache
from tests.catalogue.helpers import is_cached, made, on_postgresql, rows_of, true_rows
from tests.catalogue.triggers import RENAME, Trigger, review
from tests.environment import configure, elsewhere
from tests.library.models import Author, Genre, Publisher, Thing
from tests.watching import Watch, execute, seed


def function(name: str, body: str, returns: str = "void") -> str:
    return f"CREATE FUNCTION {name}() RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN {body} END $$"


@on_postgresql
@pytest.mark.parametrize("declared", [False, True])
def test_a_trigger_that_cannot_be_told(database: str, store_url: str, declared: bool) -> None:
    triggers: dict[str, Any] = (
        {"TRIGGERS": {"library_review": ["library_author"]}} if declared else {}
    )
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
        watch = Watch.seeded(database)
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
        watch = Watch.seeded(database)
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
        watch = Watch.seeded(database)
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
        watch = Watch.seeded(database)
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
        watch = Watch.seeded(database)
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
        watch = Watch.seeded(database)
        execute(database, "INSERT INTO library_thing (code, data, ratio) VALUES ('d', '', 0)")
        watch.check("library_publisher", "library_thing")
        assert Publisher.objects.using(database).get().name == "Paper+"
        Thing.objects.using(database).filter(code="d").delete()
        watch.check("library_thing")


@on_postgresql
def test_a_trigger_of_a_copy(database: str, cache: QueryCache) -> None:
    pytest.importorskip("psycopg", reason="psycopg 2 copies by other methods")
    with Trigger("library_genre", "INSERT", RENAME).on(database):
        watch = Watch.seeded(database)
        with (
            connections[database].cursor() as cursor,
            cursor.copy("COPY library_genre (name) FROM STDIN") as copy,
        ):
            copy.write_row(["copied"])
        watch.check("library_author", "library_genre")

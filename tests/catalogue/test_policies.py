"""PostgreSQL: rules that rewrite writes, row-level security, foreign tables."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models, transaction

import querycache
from querycache.cache import QueryCache
from tests.catalogue.helpers import (
    dependencies,
    is_cached,
    made,
    on_postgresql,
    rows_of,
    true_rows,
)
from tests.environment import configure
from tests.library.models import Genre, Publisher
from tests.watching import Watch, alias_of, execute, seed

pytestmark = on_postgresql


def test_a_rule_that_writes_another_table(database: str, cache: QueryCache) -> None:
    with made(
        database,
        "CREATE RULE qc_rule AS ON UPDATE TO library_genre DO ALSO"
        " UPDATE library_publisher SET name = NEW.name WHERE OLD.name = 'crime'",
        "DROP RULE qc_rule ON library_genre",
    ):
        watch = Watch.seeded(database)
        Genre.objects.using(database).filter(name="crime").update(name="law")
        watch.check("library_genre", "library_publisher")
        assert Publisher.objects.using(database).get().name == "law"
        Genre.objects.using(database).create(name="more")
        watch.check("library_genre")


def test_a_rule_that_puts_another_write_in_its_place(database: str, cache: QueryCache) -> None:
    with made(
        database,
        "CREATE RULE qc_rule AS ON DELETE TO library_thing DO INSTEAD"
        " INSERT INTO library_genre (name) VALUES (OLD.code)",
        "DROP RULE qc_rule ON library_thing",
    ):
        watch = Watch.seeded(database)
        execute(database, "DELETE FROM library_thing")
        watch.check("library_genre", "library_thing")


POLICY = [
    "CREATE TABLE qc_secret (id int, name text)",
    "INSERT INTO qc_secret VALUES (1, 'crime'), (2, 'poetry')",
    "ALTER TABLE qc_secret ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE qc_secret FORCE ROW LEVEL SECURITY",
    "DROP ROLE IF EXISTS qc_reader",
    "DROP ROLE IF EXISTS qc_other",
    "CREATE ROLE qc_reader LOGIN",
    "CREATE ROLE qc_other LOGIN",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO qc_reader, qc_other",
]
NO_POLICY = ["DROP TABLE qc_secret", "DROP OWNED BY qc_reader, qc_other"]


def test_a_policy_that_reads_another_table(database: str, cache: QueryCache) -> None:
    seed(database)
    policy = (
        "CREATE POLICY qc_policy ON qc_secret USING"
        " (EXISTS (SELECT 1 FROM library_genre g WHERE g.name = qc_secret.name))"
    )
    with (
        made(database, [*POLICY, policy], NO_POLICY),
        alias_of(database, USER="qc_reader") as reader,
    ):
        secrets = rows_of(reader, "qc_secret")
        assert is_cached(secrets)
        assert dependencies(secrets) == {"qc_secret", "library_genre"}
        Genre.objects.using(database).filter(name="crime").update(name="law")
        assert true_rows(secrets) == [("poetry",)]


def test_a_policy_that_asks_who_is_there(database: str, cache: QueryCache) -> None:
    """Each user, and each role that a session takes on, has entries of its own."""
    policy = "CREATE POLICY qc_policy ON qc_secret USING (name = current_user OR id = 1)"
    rename = "UPDATE qc_secret SET name = 'qc_other' WHERE id = 2"
    with made(database, [*POLICY, rename, policy], NO_POLICY):
        with alias_of(database, USER="qc_reader") as reader:
            assert is_cached(rows_of(reader, "qc_secret"))
            assert true_rows(rows_of(reader, "qc_secret")) == [("crime",)]
        with alias_of(database, USER="qc_other") as other:
            assert true_rows(rows_of(other, "qc_secret")) == [("crime",), ("qc_other",)]
        with transaction.atomic(database):
            for role, rows in (("qc_reader", 1), ("qc_other", 2), ("qc_reader", 1)):
                execute(database, f"SET LOCAL ROLE {role}")
                for _ in range(2):
                    assert len(rows_of(database, "qc_secret").all()) == rows


def test_a_policy_that_asks_the_time(database: str, cache: QueryCache) -> None:
    policy = "CREATE POLICY qc_policy ON qc_secret USING (extract(second FROM now()) < 61)"
    with made(database, [*POLICY, policy], NO_POLICY):
        assert not querycache.explain(rows_of(database, "qc_secret")).cacheable


FOREIGN = [
    "CREATE EXTENSION postgres_fdw",
    (
        "CREATE SERVER qc_server FOREIGN DATA WRAPPER postgres_fdw"
        " OPTIONS (dbname 'library', host '{HOST}', port '{PORT}')"
    ),
    "CREATE USER MAPPING FOR PUBLIC SERVER qc_server OPTIONS (user 'postgres')",
    (
        "CREATE FOREIGN TABLE qc_far (id bigint, name text) SERVER qc_server"
        " OPTIONS (schema_name 'public', table_name 'library_genre')"
    ),
    "CREATE VIEW qc_farther AS SELECT id, name FROM qc_far",
]


@pytest.mark.parametrize("declared", [False, True])
def test_foreign_tables(database: str, store_url: str, declared: bool) -> None:
    settings = connections[database].settings_dict
    depends: dict[str, Any] = {"DEPENDS": {"qc_far": ["library_genre"]}} if declared else {}
    configure(STORE=store_url, **depends)
    seed(database)
    make = [sql.format(**settings) if "HOST" in sql else sql for sql in FOREIGN]
    with made(database, make, "DROP EXTENSION postgres_fdw CASCADE"):
        for name in ("qc_far", "qc_farther"):
            explanation = querycache.explain(rows_of(database, name))
            assert explanation.cacheable is declared
            assert declared or "qc_far is a foreign table" in explanation.reason
        if declared:
            assert is_cached(rows_of(database, "qc_farther"))
        # Its rows are this very database's, by another way.
        genres = Genre.objects.using(database).order_by("pk").values_list("name")
        assert is_cached(genres)
        execute(database, "UPDATE qc_far SET name = 'from afar'")
        assert true_rows(genres) == [("from afar",), ("from afar",)]
        if declared:
            assert true_rows(rows_of(database, "qc_farther")) == [("from afar",)] * 2


def test_sequences_are_not_cached(database: str, cache: QueryCache) -> None:
    """They change without a statement that writes them."""
    with made(database, "CREATE SEQUENCE qc_numbers", "DROP SEQUENCE qc_numbers"):
        numbers = rows_of(database, "qc_numbers", last_value=models.IntegerField(primary_key=True))
        for number in (1, 2, 3):
            execute(database, "SELECT nextval('qc_numbers')")
            assert list(numbers.all()) == [(number,)]

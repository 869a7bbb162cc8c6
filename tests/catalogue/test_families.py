"""PostgreSQL: a partition's or heir's rows are its parents', and the other way round."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import querycache
from querycache.cache import QueryCache
from tests.catalogue.helpers import is_cached, made, on_postgresql, rows_of, true_rows
from tests.library.models import Author
from tests.watching import execute

pytestmark = on_postgresql

PARTITIONED = [
    "CREATE TABLE qc_log (id int, name text) PARTITION BY RANGE (id)",
    "CREATE TABLE qc_log_1 PARTITION OF qc_log FOR VALUES FROM (0) TO (10)",
    (
        "CREATE TABLE qc_log_2 PARTITION OF qc_log FOR VALUES FROM (10) TO (30)"
        " PARTITION BY RANGE (id)"
    ),
    "CREATE TABLE qc_log_21 PARTITION OF qc_log_2 FOR VALUES FROM (10) TO (20)",
    "INSERT INTO qc_log VALUES (1, 'one'), (11, 'eleven')",
]
INHERITED = [
    "CREATE TABLE qc_log (id int, name text)",
    "CREATE TABLE qc_log_1 () INHERITS (qc_log)",
    "CREATE TABLE qc_log_2 () INHERITS (qc_log)",
    "CREATE TABLE qc_log_21 () INHERITS (qc_log_2)",
    "INSERT INTO qc_log_1 VALUES (1, 'one')",
    "INSERT INTO qc_log_21 VALUES (11, 'eleven')",
]


@pytest.fixture(params=[PARTITIONED, INHERITED], ids=["partitions", "heirs"])
def family(request: pytest.FixtureRequest, database: str, cache: QueryCache) -> Iterator[None]:
    with made(database, request.param, "DROP TABLE qc_log CASCADE"):
        yield


def test_a_write_to_a_child_is_seen_in_its_ancestors(database: str, family: None) -> None:
    tables = [rows_of(database, name) for name in ("qc_log", "qc_log_2", "qc_log_21")]
    assert all(map(is_cached, tables))
    execute(database, "UPDATE qc_log_21 SET name = 'changed'")
    log, two, leaf = map(true_rows, tables)
    assert log == [("one",), ("changed",)]
    assert two == leaf == [("changed",)]


def test_a_write_to_a_parent_is_seen_in_its_descendants(database: str, family: None) -> None:
    tables = [rows_of(database, name) for name in ("qc_log_1", "qc_log_21")]
    assert all(map(is_cached, tables))
    execute(database, "UPDATE qc_log SET name = name || '!'")
    assert [true_rows(table) for table in tables] == [[("one!",)], [("eleven!",)]]


def test_a_write_to_one_child_leaves_another_alone(database: str, family: None) -> None:
    other = rows_of(database, "qc_log_1")
    assert querycache.explain(other).dependencies == ("qc_log", "qc_log_1")
    author = Author.objects.using(database).order_by("pk").values_list("name")
    assert is_cached(author)
    execute(database, "DELETE FROM qc_log_21")
    assert querycache.explain(author.all()).hit


def test_a_trigger_on_a_child_counts_for_its_parent(database: str, family: None) -> None:
    Author.objects.using(database).create(name="Ann")
    with made(
        database,
        [
            (
                "CREATE FUNCTION qc_child() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " UPDATE library_author SET name = 'by a child'; RETURN NULL; END $$"
            ),
            "CREATE TRIGGER qc_t AFTER UPDATE ON qc_log_1 FOR EACH ROW EXECUTE FUNCTION qc_child()",
        ],
        "DROP FUNCTION qc_child() CASCADE",
    ):
        authors = Author.objects.using(database).order_by("pk").values_list("name")
        assert is_cached(authors)
        execute(database, "UPDATE qc_log SET name = 'x'")
        assert true_rows(authors) == [("by a child",)]


def test_a_partition_that_comes_later(database: str, cache: QueryCache) -> None:
    with made(database, PARTITIONED, "DROP TABLE qc_log CASCADE"):
        log = rows_of(database, "qc_log")
        assert is_cached(log)
        execute(database, "CREATE TABLE qc_log_3 (id int, name text)")
        execute(database, "INSERT INTO qc_log_3 VALUES (31, 'late')")
        attach = "ALTER TABLE qc_log ATTACH PARTITION qc_log_3 FOR VALUES FROM (30) TO (40)"
        execute(database, attach)
        assert ("late",) in true_rows(log)
        assert is_cached(log)
        execute(database, "UPDATE qc_log_3 SET name = 'later'")
        assert ("later",) in true_rows(log)

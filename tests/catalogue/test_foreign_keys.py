"""Foreign keys whose actions the database carries out, and no model says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, models

import querycache
from querycache.cache import QueryCache
from tests.catalogue.helpers import every, is_cached, made, rows_of, true_rows
from tests.watching import execute


@pytest.fixture
def family(database: str, cache: QueryCache) -> Iterator[None]:
    """Grandparents, parents and children, each with a row, and labels of the children."""
    engine = " ENGINE=InnoDB" if connections[database].vendor == "mysql" else ""
    key = "bigint PRIMARY KEY" if engine else "integer PRIMARY KEY"
    kind = "bigint" if engine else "integer"

    def table(name: str, parent: str = "", rules: str = "") -> str:
        up = (
            f", up_id {kind}, CONSTRAINT qc_{name}_up FOREIGN KEY (up_id)"
            f" REFERENCES qc_{parent} (id) {rules}"
            if parent
            else ""
        )
        return f"CREATE TABLE qc_{name} (id {key}, name varchar(100){up}){engine}"

    make = [
        table("grand"),
        table("parent", "grand", "ON DELETE CASCADE ON UPDATE CASCADE"),
        table("child", "parent", "ON DELETE CASCADE"),
        table("label", "child", "ON DELETE SET NULL"),
        "INSERT INTO qc_grand (id, name) VALUES (1, 'g')",
        "INSERT INTO qc_parent (id, name, up_id) VALUES (1, 'p', 1)",
        "INSERT INTO qc_child (id, name, up_id) VALUES (1, 'c', 1)",
        "INSERT INTO qc_label (id, name, up_id) VALUES (1, 'l', 1)",
    ]
    drop = [f"DROP TABLE IF EXISTS qc_{name}" for name in ("label", "child", "parent", "grand")]
    with made(database, make, drop):
        yield


@every
def test_deletes_in_several_steps(database: str, family: None) -> None:
    child = rows_of(database, "qc_child")
    label = rows_of(database, "qc_label", up_id=models.IntegerField(null=True))
    assert is_cached(child)
    assert is_cached(label)
    execute(database, "DELETE FROM qc_grand WHERE id = 1")
    assert true_rows(child) == []
    assert true_rows(label) == [(None,)]


@every
def test_updates_of_keys(database: str, family: None) -> None:
    parent = rows_of(database, "qc_parent", up_id=models.IntegerField())
    child = rows_of(database, "qc_child")
    assert is_cached(parent)
    assert is_cached(child)
    execute(database, "UPDATE qc_grand SET id = 2 WHERE id = 1")
    assert true_rows(parent) == [(2,)]
    # Its own rule speaks of deletes only.
    assert querycache.explain(child.all()).hit


@every
def test_an_insert_changes_no_child(database: str, family: None) -> None:
    child = rows_of(database, "qc_child")
    assert is_cached(child)
    execute(database, "INSERT INTO qc_parent (id, name) VALUES (5, 'more')")
    assert querycache.explain(child.all()).hit

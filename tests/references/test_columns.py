"""Which columns refer to other rows, and how many of them are told apart."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connections
from django.db.models import UUIDField

from querycache.changes import MOST_REFERENCES
from querycache.state import transaction_of
from tests.catalogue.helpers import made, rows_of
from tests.library.models import Author, Book, Publisher
from tests.references.helpers import TABLE, every, hit
from tests.watching import execute


@every
def test_columns_that_refer(reviews: str) -> None:
    state = transaction_of(connections[reviews])
    knowledge = state.database.known(state)
    assert knowledge is not None
    found = knowledge.catalogue.facts.references
    columns = {table: {one.column for one in found.get(table, ())} for table in (
        TABLE, Book._meta.db_table, Author._meta.db_table, Publisher._meta.db_table
    )}  # fmt: skip
    assert columns == {
        TABLE: {"book_id"},
        Book._meta.db_table: {"author_id", "publisher_id"},
        Author._meta.db_table: {"mentor_id"},
        Publisher._meta.db_table: set(),
    }


@every
@pytest.mark.parametrize("count", [MOST_REFERENCES, MOST_REFERENCES + 1])
def test_tables_with_many_references(reviews: str, count: int) -> None:
    author = Author._meta.db_table
    table = f"qc_{uuid.uuid4().hex[:8]}"
    execute(reviews, f"CREATE TABLE {table} (id integer PRIMARY KEY, number integer)")
    quote = connections[reviews].ops.quote_name
    try:
        for number in range(count):
            add = f"ADD c{number} bigint REFERENCES {author} (id)"
            execute(reviews, f"ALTER TABLE {table} {add}")
        columns = [quote(f"c{number}") for number in range(count)]
        sql = f"INSERT INTO {quote(table)} ({', '.join([quote('id'), *columns])})"
        sql += f" VALUES ({', '.join(['%s'] * (count + 1))})"
        state = transaction_of(connections[reviews])
        effect = state.database.effect(state, sql)
        assert effect is not None
        changes = effect.changes([1] * (count + 1))
        told = sum("=" in change for change in changes)
        assert told == (count if count <= MOST_REFERENCES else 0)
    finally:
        execute(reviews, f"DROP TABLE {table}")


@every
def test_references_that_are_uuids(reviews: str) -> None:
    connection = connections[reviews]
    kind = "uuid" if connection.features.has_native_uuid_field else "char(32)"
    insert = "INSERT INTO qc_child ({}, {}) VALUES (%s, %s)".format(
        *map(connection.ops.quote_name, ("id", "parent_id"))
    )
    make = [
        f"CREATE TABLE qc_parent (id {kind} PRIMARY KEY)",
        (
            "CREATE TABLE qc_child (id integer PRIMARY KEY,"
            f" parent_id {kind}, FOREIGN KEY (parent_id) REFERENCES qc_parent (id))"
        ),
    ]
    with made(reviews, make, ["DROP TABLE qc_child", "DROP TABLE qc_parent"]):
        fields: dict[str, Any] = {"parent": UUIDField(db_column="parent_id")}
        children = rows_of(reviews, "qc_child", **fields)
        parents = [uuid.UUID(int=number) for number in (1, 2)]
        written = [UUIDField().get_db_prep_value(one, connection) for one in parents]
        for number, value in enumerate(written):
            execute(reviews, "INSERT INTO qc_parent (id) VALUES (%s)", [value])
            execute(reviews, insert, [number, value])
        mine = [children.filter(parent=parent) for parent in parents]
        assert [len(each.all()) for each in mine] == [1, 1]
        execute(reviews, insert, [5, written[1]])
        assert hit(mine[0])
        assert [len(each.all()) for each in mine] == [1, 2]

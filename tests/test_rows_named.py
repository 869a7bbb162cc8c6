"""Which statements are about certain rows, and which rows their parameters name."""

from __future__ import annotations

import uuid

import pytest

from querycache.rawsql.keyed import keyed_by
from querycache.rows import (
    BUCKETS,
    INTEGER,
    MOST_ROWS,
    NEW,
    UUID,
    Keyed,
    Refined,
    bucket_of,
    merged,
    row_of,
)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('SELECT "t"."a" FROM "t" WHERE "t"."id" = %s', (0, 1, 1)),
        ('SELECT "t"."a" FROM "t" WHERE ("t"."id" = %s AND "t"."a" = %s) LIMIT 21', (0, 1, 2)),
        ('SELECT "t"."a" FROM "t" WHERE ("t"."a" = %s AND "t"."id" IN (%s, %s))', (1, 2, 3)),
        ('UPDATE "t" SET "a" = %s, "b" = "b" + %s WHERE "id" = %s', (2, 1, 3)),
        ('DELETE FROM "t" WHERE "id" IN (%s, %s)', (0, 2, 2)),
        ('DELETE FROM "t" WHERE "t"."id" IN (%s) RETURNING "a"', (0, 1, 1)),
        ('SELECT "a" FROM "t" WHERE id = %s', None),
        ('SELECT "a" FROM "t" WHERE "id" = %s OR "a" = %s', None),
        ('SELECT "a" FROM "t" WHERE ("id" = %s OR "a" = %s) AND "b" = %s', None),
        ('SELECT "a" FROM "t" WHERE NOT "id" = %s', None),
        ('SELECT "a" FROM "t" WHERE NOT ("id" = %s)', None),
        ('SELECT "a" FROM "t" WHERE "id" = %s = %s', None),
        ('SELECT "a" FROM "t" WHERE "id" = %s + 1', None),
        ('SELECT "a" FROM "t" WHERE "id" NOT IN (%s)', None),
        ('SELECT "a" FROM "t" WHERE "id" IN (SELECT %s)', None),
        ('SELECT "a" FROM "t" WHERE "id" IN (%s, "a")', None),
        ('SELECT "a" FROM "t" WHERE "id" = 1', None),
        ('SELECT "a" FROM "t" WHERE "id" > %s', None),
        ('SELECT "a" FROM "t" WHERE "u"."id" = %s', None),
        ('SELECT COUNT(*) FROM "t" WHERE "id" = %s', None),
        ('SELECT DISTINCT "a" FROM "t" WHERE "id" = %s', None),
        ('SELECT "a" FROM "t" WHERE "id" = %s UNION SELECT "a" FROM "t"', None),
        ('SELECT "a" FROM "t", "u" WHERE "id" = %s', None),
        ('SELECT "a" FROM "t" "u" WHERE "id" = %s', None),
        ('UPDATE "t" SET "id" = %s WHERE "id" = %s', None),
        ('UPDATE "t" SET "ID" = %s WHERE "id" = %s', None),
        ('UPDATE "t" SET "a" = %s, "rowid" = 3 WHERE "id" = %s', None),
        ('UPDATE OR REPLACE "t" SET "a" = %s WHERE "id" = %s', None),
        ('UPDATE "t" SET "a" = "u"."a" FROM "u" WHERE "t"."id" = %s', None),
        ('UPDATE "t" SET ("a", "id") = (%s, 1) WHERE "id" = %s', None),
        ('UPDATE "t" SET "a" = %s', None),
        ("""DELETE FROM "t" WHERE "id" = %s AND "a" LIKE 'x%%'""", None),
        ('DELETE FROM "t" WHERE "id" = %s; DELETE FROM "t"', None),
        ('DELETE FROM "u" WHERE "id" = %s', None),
    ],
)
def test_texts(sql: str, found: tuple[int, int, int] | None) -> None:
    assert keyed_by(sql, "sqlite", "t", "id", MOST_ROWS) == found


def test_values_that_every_database_reads_alike() -> None:
    key = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    assert bucket_of(BUCKETS + 3, INTEGER) == 3
    assert 0 <= (bucket_of(-1, INTEGER) or 0) < BUCKETS
    buckets = {bucket_of(value, UUID) for value in (key, str(key), key.hex, key.hex.upper())}
    assert buckets == {key.int % BUCKETS}
    for value in (True, 1.0, "1", None, b"1", (1,)):
        assert bucket_of(value, INTEGER) is None
    for value in (1, "not one", f"{key.hex} ", None):
        assert bucket_of(value, UUID) is None


def test_parameters_that_name_no_rows() -> None:
    keyed = Keyed("t", INTEGER, 1, 1, 2)
    writes = frozenset({"t", "u"})
    assert Refined("t", keyed).changes(writes, ["a", 5]) == {row_of("t", 5), "u"}
    for params in (None, [], ["a"], ["a", "5"], {"a": 1, "b": 5}, [("a", 5), ("b", 6)]):
        assert Refined("t", keyed).changes(writes, params) == writes
    assert Refined("t", None).changes(writes, None) == {f"t{NEW}", "u"}


def test_changes_of_a_transaction_are_few() -> None:
    def after(count: int) -> frozenset[str]:
        rows = frozenset(row_of("a", number) for number in range(count))
        return merged(merged(frozenset({"b"}), rows), frozenset({row_of("b", 1)}))

    assert after(2) == {row_of("a", 0), row_of("a", 1), "b", row_of("b", 1)}
    assert after(MOST_ROWS + 1) == {"a", "b", row_of("b", 1)}

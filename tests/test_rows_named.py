"""Which statements are about certain rows, and which rows their parameters name."""

from __future__ import annotations

import uuid

import pytest

from querycache import stamps
from querycache.cache import QueryCache
from querycache.changes import (
    ALL,
    ANY,
    MOST_COLUMNS,
    MOST_ROWS,
    NEW,
    REFERRED,
    column_of,
    companion_of,
    dependencies_of,
    dependencies_on,
    described,
    merged,
    reference_of,
    row_of,
    table_of,
)
from querycache.keys import ELSEWHERE, EVERYTHING
from querycache.rawsql.inserted import inserted
from querycache.rawsql.keyed import keyed_by
from querycache.rows import BUCKETS, INTEGER, UUID, Keyed, Reference, Refined, RowKeys, bucket_of
from querycache.schema import Schema


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
    column = column_of("t", "A")
    refined = Refined("t", keyed, columns=frozenset({column}))
    assert refined.changes(writes, ["a", 5]) == {row_of("t", 5), column, "u"}
    for params in (None, [], ["a"], ["a", "5"], {"a": 1, "b": 5}, [("a", 5), ("b", 6)]):
        assert Refined("t", keyed).changes(writes, params) == writes
    assert Refined("t", None).changes(writes, None) == {f"t{NEW}", "u"}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('INSERT INTO "t" ("a", "b") VALUES (%s, %s)', ((1,),)),
        ('INSERT INTO "t" ("b") VALUES (%s) RETURNING "t"."id"', ((0,),)),
        ('INSERT INTO "t" ("a", "b") VALUES (%s, %s), (%s, %s)', ((1, 3),)),
        ("INSERT INTO t (a, B) VALUES (%s, %s)", ((1,),)),
        ('INSERT INTO "t" ("a", "b") VALUES ' + ", ".join(["(%s, %s)"] * (MOST_ROWS + 1)), None),
        ('INSERT INTO "t" ("a", "b") VALUES (%s, %s), (%s)', None),
        ('INSERT INTO "t" ("a") VALUES (%s)', None),
        ('INSERT INTO "t" ("b", "b") VALUES (%s, %s)', None),
        ('INSERT INTO "t" ("a", "b") VALUES (%s, 1)', None),
        ('INSERT INTO "t" ("a", "b") VALUES (DEFAULT, %s)', None),
        ('INSERT INTO "t" ("a", "b") VALUES (%s, %s + 1)', None),
        ('INSERT INTO "t" ("b") VALUES (-%s)', None),
        ('INSERT INTO "t" ("b") VALUES ((SELECT %s))', None),
        ('INSERT INTO "t" ("b") SELECT %s', None),
        ('INSERT INTO "t" VALUES (%s)', None),
        ('INSERT INTO "t" DEFAULT VALUES', None),
        ('INSERT INTO "t" ("b") VALUES (%s) ON CONFLICT DO NOTHING', None),
        ('INSERT INTO "t" ("b") VALUES (%s) ON CONFLICT ("a") DO UPDATE SET "b" = 2', None),
        ('INSERT OR REPLACE INTO "t" ("b") VALUES (%s)', None),
        ('REPLACE INTO "t" ("b") VALUES (%s)', None),
        ('INSERT INTO "u" ("b") VALUES (%s)', None),
        ('INSERT INTO "t" AS "x" ("b") VALUES (%s)', None),
        ("""INSERT INTO "t" ("a", "b") VALUES ('%%', %s)""", None),
        ('INSERT INTO "t" ("b",) VALUES (%s)', None),
        ('INSERT INTO "t" ("b") VALUES (%s', None),
        ('INSERT INTO "t" ("b") VALUES', None),
        ("INSERT INTO", None),
        ("INSERT INTO \"t\" ('b') VALUES (%s)", None),
        ("", None),
    ],
)
def test_texts_that_make_rows(sql: str, found: tuple[tuple[int, ...], ...] | None) -> None:
    places = inserted(sql, "sqlite", "t", ["b"], MOST_ROWS)
    assert places == (None if found is None else (found, sql.count("%s")))


def test_columns_are_spelled_as_the_database_does() -> None:
    sql = 'INSERT INTO "t" ("a", "B") VALUES (%s, %s)'
    assert inserted(sql, "sqlite", "t", ["b"], 1) == (((1,),), 2)
    assert inserted(sql, "postgresql", "t", ["b"], 1) is None
    assert inserted(sql.replace('"', "`"), "mysql", "t", ["b"], 1) == (((1,),), 2)
    # That may be text.
    assert inserted(sql, "mysql", "t", ["b"], 1) is None
    assert inserted(sql, "sqlite", "t", ["b", "a"], 1) == (((1,), (0,)), 2)


def test_references_of_new_rows() -> None:
    key = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    references = (Reference("a", INTEGER, (0, 2)), Reference("b", UUID, (1, 3)))
    refined = Refined("t", None, references, 4, frozenset({f"t{ANY}"}))
    unknown = {f"t{NEW}", f"t{ANY}", "u"}
    new = f"t{REFERRED}"

    def changes(*params: object) -> frozenset[str]:
        return refined.changes(frozenset({"t", "u"}), params)

    of_b = reference_of("t", "b", key.int % BUCKETS)
    one, two = reference_of("t", "a", 1), reference_of("t", "a", 2)
    assert changes(1, key, 2, str(key)) == {new, one, two, of_b, "u"}
    for bad in (None, True, "1", 1.0, -1, 2**31, (1,)):
        assert changes(bad, key, 2, key) == unknown
    for params in ((), (1, key, 2), (1, key, 2, key, 3)):
        assert changes(*params) == unknown
    single = Refined("t", None, (Reference("a", INTEGER, (0,)), Reference("b", UUID, (1,))), 2)
    assert single.changes(frozenset({"t"}), (1, None)) == {new, one}
    assert single.changes(frozenset({"t"}), (None, None)) == {new}
    assert refined.changes(frozenset({"t"}), None) == unknown - {"u"}
    assert refined.changes(frozenset({"t"}), {"a": 1}) == unknown - {"u"}


def test_what_changes_with_what() -> None:
    one = reference_of("t", "a", 1)
    assert dependencies_of("t") == ("t", f"t{ALL}")
    assert dependencies_of(row_of("t", 1)) == ("t", row_of("t", 1))
    assert dependencies_of(f"t{NEW}") == ("t", f"t{NEW}")
    assert dependencies_of(f"t{REFERRED}") == (f"t{NEW}",)
    assert dependencies_of(one) == (f"t{NEW}", one)
    # Columns may be called like anything.
    column, odd = column_of("t", "A"), column_of("t", "a=1")
    for change in (column, odd, f"t{ANY}"):
        assert dependencies_of(change) == ("t", change)
        assert companion_of(change) == "t"
    assert column == column_of("t", "a")
    assert len({column, odd, f"t{ANY}", one, row_of("t", 1)}) == 5
    changes = (one, f"t{REFERRED}", f"t{NEW}", "t", column, odd, f"t{ANY}")
    assert {table_of(change) for change in changes} == {"t"}
    # Tables of other databases, whatever they are called.
    other = f"{ELSEWHERE}db{ELSEWHERE}t=1"
    assert dependencies_of(other) == (other, f"{other}{ALL}")
    assert dependencies_of("a=b") == ("a=b", f"a=b{ALL}")
    assert dependencies_of(row_of("a=b", 1)) == ("a=b", row_of("a=b", 1))
    assert dependencies_on(EVERYTHING) == (EVERYTHING,)
    assert dependencies_on("t", ["b", "A"]) == (
        *(f"t{kind}" for kind in (ALL, NEW, ANY)),
        *(column_of("t", name) for name in "ab"),
    )
    # Each change changes something that whatever is made of any rows depends on.
    for change in ("t", row_of("t", 1), f"t{NEW}", f"t{REFERRED}", f"t{ANY}", odd):
        assert set(dependencies_of(change)) & set(dependencies_on("t"))


@pytest.mark.parametrize(
    "change",
    [
        *("t", f"t{NEW}", f"t{REFERRED}", row_of("t", 250), reference_of("t", "a = b", 7)),
        *(f"{ELSEWHERE}other{ELSEWHERE}t", f"t{ANY}", column_of("t", "a"), column_of("t", "a=1")),
    ],
)
def test_whoever_writes_a_stamp_writes_its_companion_first(cache: QueryCache, change: str) -> None:
    """Stores conclude from a companion who may be in flight; they may take stamps in parts."""
    database = Schema("mysql:localhost:3306::db", "mysql", "db", cache)
    keys = database.stamp_keys([change, "a", "z"])
    companions = [stamps.companion_of(key) for key in keys]
    for place, companion in enumerate(companions):
        assert companion is None or companion in keys[:place]
    assert any(companions)


def test_stamps_have_the_same_names_elsewhere(cache: QueryCache) -> None:
    here = Schema("mysql:localhost:3306::db", "mysql", "db", cache)
    there = Schema("mysql:localhost:3306::other", "mysql", "other", cache)
    assert here.stamp_keys([f"{ELSEWHERE}other{ELSEWHERE}t"]) == there.stamp_keys(["t"])
    assert here.stamp_keys(["t"]) != there.stamp_keys(["t"])


def test_new_rows_of_a_transaction_are_few() -> None:
    def after(count: int, *more: str) -> frozenset[str]:
        made = {reference_of("t", "a", number) for number in range(count)}
        return merged(frozenset({f"t{REFERRED}", *more}), frozenset(made))

    assert len(after(MOST_ROWS - 1)) == MOST_ROWS
    # Lists of those that refer to certain rows hear of it by `ANY`.
    new = {f"t{NEW}", f"t{ANY}"}
    assert after(MOST_ROWS + 1) == new
    assert after(MOST_ROWS + 1, row_of("t", 1)) == new | {row_of("t", 1)}
    assert after(MOST_ROWS + 1, "t") == {"t"}
    assert after(MOST_ROWS + 1, "b", row_of("b", 1)) == new | {"b", row_of("b", 1)}


def test_changes_of_a_transaction_are_few() -> None:
    def after(count: int) -> frozenset[str]:
        rows = frozenset(row_of("a", number) for number in range(count))
        return merged(merged(frozenset({"b"}), rows), frozenset({row_of("b", 1)}))

    assert after(2) == {row_of("a", 0), row_of("a", 1), "b", row_of("b", 1)}
    assert after(MOST_ROWS + 1) == {"a", "b", row_of("b", 1)}


def test_columns_of_a_transaction_are_few() -> None:
    rows = frozenset(row_of("t", number) for number in range(MOST_ROWS))

    def after(count: int, rows: frozenset[str] = rows) -> frozenset[str]:
        columns = frozenset(column_of("t", f"c{number}") for number in range(count))
        return merged(rows, columns) - rows

    assert after(MOST_COLUMNS) == {column_of("t", f"c{number}") for number in range(MOST_COLUMNS)}
    assert after(MOST_COLUMNS + 1) == {f"t{ANY}"}
    assert after(1, rows | {row_of("t", MOST_ROWS)}) == {"t"}


@pytest.mark.parametrize(
    ("dependency", "text"),
    [
        (EVERYTHING, "the database as a whole"),
        ("t", "t"),
        (f"t{ALL}", "t as a whole"),
        (f"t{NEW}", "new rows of t"),
        (f"t{ANY}", "any row of t"),
        (column_of("t", "a=1"), "the column a=1 of t"),
        (reference_of("t", "a=1", 7), "new rows of t by a=1"),
        (row_of("t", 7), "the row of t"),
    ],
)
def test_what_people_are_told(dependency: str, text: str) -> None:
    assert described(dependency) == text


def test_a_process_remembers_some_buckets() -> None:
    """A table may be read row by row."""
    rows = RowKeys("t", str.encode)
    keyed = Keyed("t", INTEGER, 0, 1, 1)
    refined = Refined("t", keyed, columns=frozenset({"t\0\0c"}))
    writes = frozenset({"t"})
    for key in range(3 * BUCKETS):
        found = rows.of(keyed, (key,))
        assert found == rows.of(keyed, (key,))
        changes = refined.changes(writes, (key,))
        assert changes == {"t\0\0c", f"t\0{key % BUCKETS}"}
    assert 0 < len(rows._known) < BUCKETS
    assert 0 < len(refined._known) < BUCKETS

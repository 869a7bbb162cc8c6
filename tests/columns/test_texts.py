"""Which columns a text names, and which texts depend on more than that."""

from __future__ import annotations

import pytest

from querycache.rawsql.columns import columns_set
from querycache.rawsql.outlines import Rows, outline

KEYS = {"t": "id", "u": "id"}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('SELECT COUNT(*) FROM "t"', {"t": ""}),
        ('SELECT COUNT(*) AS "__count" FROM "t" WHERE "t"."a" = %s', {"t": "a"}),
        ('SELECT 1 AS "a" FROM "t" WHERE ("t"."a" = %s AND "t"."b" > 5) LIMIT 1', {"t": "a b"}),
        ('SELECT "t"."a" FROM "t" WHERE NOT ("t"."B" IN (%s, %s) OR "t"."a" < 1)', {"t": "a b"}),
        ('SELECT "t"."a" FROM "t" ORDER BY "t"."b" DESC, "t"."id" ASC LIMIT 5', {"t": "a b id"}),
        ('SELECT "t"."a" FROM "t" ORDER BY "t"."id" DESC NULLS LAST', {"t": "a id"}),
        ('SELECT "t"."a", "t"."id" AS "k" FROM "t" ORDER BY "t"."b" + 1, 2 DESC', {"t": "a b id"}),
        ('SELECT "t"."a", COUNT("t"."b") FROM "t" GROUP BY "t"."a" ORDER BY NULL', {"t": "a b"}),
        ('SELECT MAX("t"."a"), COUNT(DISTINCT "t"."b") FROM "t"', {"t": "a b"}),
        ('SELECT "t"."a" AS "x" FROM "t" GROUP BY 1 HAVING COUNT("t"."b") > %s', {"t": "a b"}),
        ('SELECT DISTINCT "t"."a" FROM "t" WHERE "t"."b" IS NULL', {"t": "a b"}),
        ('SELECT CASE WHEN "t"."a" = %s THEN %s ELSE ABS("t"."b") END FROM "t"', {"t": "a b"}),
        ('SELECT "t"."a" FROM "t" WHERE UPPER("t"."b"::text) LIKE UPPER(%s)', {"t": "a b"}),
        (
            (
                'SELECT "t"."a", "u"."b" FROM "t" INNER JOIN "u" ON ("t"."x" = "u"."id")'
                ' ORDER BY "t"."id" ASC LIMIT 3'
            ),
            {"t": "a x id", "u": "b id"},
        ),
        (
            'SELECT COUNT(*) FROM "t" LEFT JOIN "u" U1 ON ("t"."x" = U1."id" AND U1."b" = 1)',
            {"t": "x", "u": "id b"},
        ),
        ('SELECT "t"."a" FROM "t" INNER JOIN "t" T2 ON ("t"."x" = T2."id")', {"t": "a x id"}),
    ],
)  # fmt: skip
def test_named(sql: str, found: dict[str, str]) -> None:
    expected = {table: frozenset(columns.split()) for table, columns in found.items()}
    made = outline(sql, "postgresql", KEYS)
    assert made is not None
    assert made.certain
    assert made.columns == expected


@pytest.mark.parametrize(
    "sql",
    [
        # Names that are not a column's with its table.
        'SELECT "a" FROM "t"',
        'SELECT a FROM "t"',
        'SELECT t.a FROM "t"',
        'SELECT "t" FROM "t"',
        'SELECT COUNT("t") FROM "t"',
        'SELECT * FROM "t"',
        'SELECT "t".* FROM "t"',
        'SELECT "s"."t"."a" FROM "t"',
        'SELECT "u"."a" FROM "t"',
        'SELECT "t"."a" FROM "s"."t"',
        'SELECT "t"."a" FROM t',
        'SELECT "t"."a" "b" FROM "t"',
        # Rows that come from more than the tables, or in another way.
        'SELECT "t"."a" FROM "t" WHERE EXISTS(SELECT 1 FROM "u")',
        'SELECT "t"."a" FROM "t" UNION SELECT "u"."a" FROM "u"',
        'SELECT "t"."a" FROM "t", "u"',
        'SELECT "t"."a" FROM "t" CROSS JOIN "u"',
        'SELECT "t"."a" FROM "t" NATURAL JOIN "u"',
        'SELECT "t"."a" FROM "t" RIGHT JOIN "u" ON ("t"."x" = "u"."id")',
        'SELECT "t"."a" FROM "t" FULL JOIN "u" ON ("t"."x" = "u"."id")',
        'SELECT "t"."a" FROM "t" INNER JOIN "u" USING ("id")',
        'SELECT "t"."a" FROM "t" INNER JOIN "u" ON ("t"."x" = "u"."id") LEFT "v"',
        'SELECT "t"."a" FROM "t" INNER JOIN "t" ON ("t"."x" = "t"."id")',
        'SELECT "t"."a" FROM "t" TABLESAMPLE SYSTEM (1)',
        'SELECT "t"."a" FROM "t" FOR UPDATE',
        'SELECT "x"."a" FROM (SELECT 1 AS "a") "x"',
        'SELECT "x"."a" FROM "f"(1) "x"',
        'SELECT "t"."a" FROM "t" WINDOW "w" AS (ORDER BY "t"."a")',
        'SELECT ROW_NUMBER() OVER (ORDER BY "t"."a") FROM "t"',
        # Words that are columns where no such word is expected.
        *(
            f'SELECT "t"."a" FROM "t" WHERE {condition}'
            for condition in (
                *("length > 3", "(first > 3)", "desc", "end > 3", "NOT last", "count"),
                *("like > 3", "between BETWEEN 1 AND 2", '"t"."a" = escape', "is IS NULL"),
                *("CASE WHEN end > 3 THEN 1 END = 1", '"t"."a" IN (first)', '"t"."a" = -desc'),
                *("offset > 3", "(offset > 3)", "coalesce + 1 > 3", "distinct", "binary > 3"),
                *('"t"."a" LIKE binary', "in IN (1)", '"t"."a" = (abs)', "case", "as AS 1"),
                *('"t"."a" AND', '"t"."a" "t"."b"', "()", "1 2", "", '"t"."a" ( 1 )', "= 1 ="),
            )
        ),
        'SELECT first AS "x" FROM "t"',
        'SELECT "t"."id" FROM "t" ORDER BY first, "t"."id"',
        'SELECT "t"."id" FROM "t" ORDER BY "t"."id", desc DESC',
        'SELECT COUNT("t"."a") FROM "t" GROUP BY last',
        'SELECT MAX(length) FROM "t"',
        # What may be anything.
        'SELECT F("t"."a") FROM "t"',
        'SELECT "t"."a" * 2 FROM "t"',
        'SELECT %s, %s, "t"."id" FROM "t"',
        'SELECT "t"."a" ~ %s FROM "t"',
        'SELECT "t"."a"::regclass FROM "t"',
        'SELECT EXTRACT(year FROM "t"."a") FROM "t"',
        'SELECT CURRENT_DATE FROM "t"',
        'SELECT "t"."a" FROM "t" WHERE "t"."b" = %(b)s',
        """SELECT "t"."a" FROM "t" WHERE "t"."b" LIKE 'x%%'""",
        # Not one plain SELECT.
        'WITH "x" AS (SELECT 1) SELECT "t"."a" FROM "t"',
        'SELECT DISTINCT ON ("t"."a") "t"."a" FROM "t"',
        'SELECT "t"."a" FROM "t" LIMIT 1 OFFSET 1; SELECT 1',
        'SELECT "t"."a" FROM "t" OFFSET 1 LIMIT 1',
        'SELECT "t"."a" FROM "t" LIMIT (1)',
        'SELECT ("t"."a" FROM "t"',
        'SELECT "t"."a") FROM "t"',
        "SELECT 1",
        "",
        'UPDATE "t" SET "a" = %s',
    ],
)
def test_texts_that_may_depend_on_more(sql: str) -> None:
    assert outline(sql, "postgresql", KEYS) is None


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "t"."a" FROM "t" LIMIT 3',
        'SELECT "t"."a" FROM "t" ORDER BY "t"."a" ASC',
        'SELECT "t"."a" FROM "t" ORDER BY "t"."id" + 1',
        'SELECT "t"."a" FROM "t" ORDER BY COALESCE("t"."id", 1)',
        'SELECT "t"."a" FROM "t" ORDER BY -"t"."id"',
        'SELECT "t"."a" FROM "t" ORDER BY 1',
        'SELECT "t"."a", "t"."id" FROM "t" ORDER BY 1',
        'SELECT "t"."a", "t"."id" + 1 FROM "t" ORDER BY 2',
        'SELECT "t"."id" FROM "t" ORDER BY 2',
        'SELECT "t"."id" FROM "t" ORDER BY 0',
        'SELECT "t"."id" FROM "t" ORDER BY 1.5',
        'SELECT "t"."a" FROM "t" GROUP BY 1 ORDER BY "t"."id" ASC',
        'SELECT MIN("t"."a") FROM "t" GROUP BY "t"."b" LIMIT 3',
        'SELECT 1 AS "a" FROM "t" GROUP BY "t"."b" LIMIT 3',
        'SELECT "t"."a" FROM "t" INNER JOIN "u" ON ("t"."id" = "u"."x") ORDER BY "t"."id" ASC',
        'SELECT "t"."a" FROM "t" INNER JOIN "u" ON ("u"."x" = "u"."id") ORDER BY "t"."id" ASC',
        'SELECT "t"."a" FROM "t" INNER JOIN "u" ON ("t"."x" > "u"."id") ORDER BY "t"."id" ASC',
        'SELECT "t"."a" FROM "t" INNER JOIN "v" ON ("t"."x" = "v"."id") ORDER BY "t"."id" ASC',
        'SELECT "v"."a" FROM "v" ORDER BY "v"."id" ASC',
    ],
)
def test_rows_of_which_the_database_may_give_any(sql: str) -> None:
    found = outline(sql, "postgresql", KEYS)
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize(
    ("sql", "place", "columns", "most"),
    [
        ('SELECT "t"."id", "t"."a" FROM "t"', 0, "", None),
        ('SELECT "t"."a", "t"."id" AS "x" FROM "t" WHERE "t"."b" = %s', 1, "b", None),
        ('SELECT "t"."id", "t"."a" FROM "t" WHERE "t"."b" = %s LIMIT 21', 0, "b", 21),
        ('SELECT "t"."id", "t"."a" FROM "t" ORDER BY "t"."b", "t"."id" LIMIT 2', 0, "b id", None),
        ('SELECT "t"."id", "t"."a" FROM "t" ORDER BY 2, 1 LIMIT 2', 0, "a id", None),
        ('SELECT "t"."id" FROM "t" ORDER BY COALESCE("t"."b", 0), "t"."id"', 0, "b id", None),
        ('SELECT "t"."a" + 1, "t"."id" FROM "t" WHERE NOT "t"."c"', 1, "c", None),
        (
            (
                'SELECT "t"."id", "u"."b" FROM "t" INNER JOIN "u" ON ("t"."x" = "u"."id")'
                ' WHERE "u"."c" = %s'
            ),
            0, "x", None,
        ),
    ],
)  # fmt: skip
def test_rows_that_a_result_names(sql: str, place: int, columns: str, most: int | None) -> None:
    found = outline(sql, "postgresql", KEYS)
    assert found is not None
    assert found.rows == Rows("t", place, frozenset(columns.split()), most)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "t"."a" FROM "t"',
        'SELECT "t"."id" + 1 FROM "t"',
        'SELECT "u"."id" FROM "t" INNER JOIN "u" ON ("t"."x" = "u"."id")',
        'SELECT "v"."id" FROM "v"',
        # A row that says nothing of the rows it is made of.
        'SELECT "t"."id", MAX("t"."a") FROM "t"',
        'SELECT "t"."id", COUNT("t"."a") FROM "t" GROUP BY 1',
        'SELECT "t"."id" FROM "t" GROUP BY "t"."id"',
        # Rows that could be others.
        'SELECT "t"."id" FROM "t" ORDER BY "t"."a"',
        'SELECT "t"."id" FROM "t" ORDER BY "t"."a" LIMIT 3',
        'SELECT "t"."id" FROM "t" LIMIT 3 OFFSET 1',
        'SELECT "t"."id" FROM "t" OFFSET 1',
        'SELECT "t"."id" FROM "t" LIMIT %s',
        # What decides is not named.
        'SELECT "t"."id", "t"."a" + 1 FROM "t" ORDER BY 2, 1',
        'SELECT "t"."id" FROM "t" ORDER BY 3, 1',
        # Other rows of the table matter as well.
        'SELECT "t"."id", T2."a" FROM "t" INNER JOIN "t" T2 ON ("t"."x" = T2."id")',
    ],
)
def test_rows_that_nobody_knows(sql: str) -> None:
    found = outline(sql, "postgresql", KEYS)
    assert found is not None
    assert found.rows is None


def test_words_of_one_database() -> None:
    sql = 'SELECT COUNT(*) FROM "t" WHERE "t"."a" = true'
    assert outline(sql, "postgresql", KEYS) is not None
    # There a column may have that name.
    assert outline(sql, "sqlite", KEYS) is None
    sql = "SELECT COUNT(*) FROM `t` WHERE `t`.`a` LIKE BINARY %s"
    assert outline(sql, "mysql", KEYS) is not None
    assert outline(sql, "sqlite", KEYS) is None


def test_databases_whose_words_nobody_has_listed() -> None:
    sql = 'SELECT COUNT(*) FROM "t"'
    assert outline(sql, "oracle", KEYS) is None
    # There it may be a text.
    assert outline(sql, "mysql", KEYS) is None
    found = outline("SELECT COUNT(*) FROM `t`", "mysql", KEYS)
    assert found is not None
    assert found.columns == {"t": frozenset()}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ('UPDATE "t" SET "a" = %s WHERE "id" = %s', "a"),
        ('UPDATE "t" SET "a" = %s, "b" = COALESCE("b", %s) + 1 WHERE "id" = %s', "a b"),
        ('UPDATE "t" SET "a" = CASE WHEN "x" = %s THEN 1 END, b = 2 WHERE "id" = %s', "a b"),
        ('UPDATE "t" SET ("a", "b") = (%s, %s) WHERE "id" = %s', None),
        ('UPDATE "t" SET "t"."a" = %s WHERE "id" = %s', None),
        ('UPDATE "t" SET "a"[1] = %s WHERE "id" = %s', None),
        ('UPDATE "t" SET "a" = %s', None),
        ('UPDATE "t" WHERE "id" = %s', None),
        ('UPDATE "t" SET', None),
        ('DELETE FROM "t" WHERE "id" = %s', None),
    ],
)  # fmt: skip
def test_columns_that_an_update_changes(sql: str, found: str | None) -> None:
    expected = None if found is None else frozenset(found.split())
    assert columns_set(sql, "postgresql") == expected

"""What bodies of triggers and routines write, told from their text."""

from __future__ import annotations

import pytest

from querycache.catalogue.bodies import read_body

POSTGRESQL: dict[str, tuple[str, set[str]]] = {
    "branches": (
        (
            "DECLARE r t%ROWTYPE; n int := 0; BEGIN IF TG_OP = 'DELETE' THEN DELETE FROM a;"
            " ELSIF n > 1 THEN INSERT INTO b VALUES (1); ELSE UPDATE c SET x = 1; END IF;"
            " RETURN NEW; END"
        ),
        {"a delete", "b insert", "c update"},
    ),
    "loops": (
        (
            "BEGIN <<lab>> FOR r IN SELECT * FROM z LOOP UPDATE ONLY s.a SET x = r.x; END LOOP lab;"
            " END"
        ),
        {"a update"},
    ),
    "quoted": ('BEGIN INSERT INTO "App"."My Table" VALUES (1); END', {"my table insert"}),
    "with": (
        "BEGIN WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone; END",
        {"a delete", "b insert"},
    ),
    "conflict": (
        "BEGIN INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1; END",
        {"a insert", "a update"},
    ),
    "locks": ("BEGIN PERFORM 1 FROM a FOR UPDATE; PERFORM 1 FROM b FOR NO KEY UPDATE; END", set()),
    "merge": (
        (
            "BEGIN MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE"
            " WHEN NOT MATCHED THEN INSERT VALUES (1); END"
        ),
        {"a insert", "a update", "a delete"},
    ),
    "truncate": ("BEGIN TRUNCATE TABLE ONLY a, b; END", {"a delete", "b delete"}),
    "refresh": (
        "BEGIN REFRESH MATERIALIZED VIEW CONCURRENTLY a; REFRESH MATERIALIZED VIEW s.b; END",
        {"a stamp", "b stamp"},
    ),
    "in strings and comments": (
        "BEGIN RAISE NOTICE 'DELETE FROM a'; -- UPDATE b SET x\n /* INSERT INTO c */ END",
        set(),
    ),
    "of exceptions": (
        "BEGIN NULL; EXCEPTION WHEN OTHERS THEN INSERT INTO a VALUES (SQLERRM); END",
        {"a insert"},
    ),
}

MYSQL: dict[str, tuple[str, set[str]]] = {
    "one statement": ("INSERT a SET x = NEW.x", {"a insert"}),
    "block": (
        (
            "BEGIN DECLARE x INT; IF NEW.x > 1 THEN REPLACE INTO `a` VALUES (1);"
            " ELSE DELETE FROM b; END IF; SET NEW.y = INSERT('abc', 1, 1, 'x'); END"
        ),
        {"a insert", "a update", "a delete", "b delete"},
    ),
    "upsert": ("INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE x = 1", {"a insert", "a update"}),
    "two tables": (
        "UPDATE a JOIN b SET a.x = 1",
        {"a update", "b update"},
    ),
    "alias": ("DELETE x FROM a x WHERE x.id = 1", {"x delete", "a delete"}),
    "another database": (
        "INSERT INTO other.a VALUES (1); INSERT INTO own.b VALUES (1)",
        {"a insert", "\0other\0a insert", "b insert"},
    ),
}

SQLITE: dict[str, tuple[str, set[str]]] = {
    "several": (
        (
            "BEGIN UPDATE a SET x = 1; DELETE FROM [b]; INSERT INTO 'c' VALUES (1);"
            " SELECT RAISE(ABORT, 'no'); END"
        ),
        {"a update", "b delete", "c insert"},
    ),
    "replacing": (
        (
            "BEGIN INSERT OR REPLACE INTO a VALUES (1); REPLACE INTO b VALUES (1);"
            " UPDATE OR REPLACE c SET x = 1; END"
        ),
        {
            *("a insert", "a update", "a delete"),
            *("b insert", "b update", "b delete"),
            *("c update", "c delete"),
        },
    ),
}

CASES = [
    pytest.param(vendor, body, changes, id=f"{vendor}-{name}")
    for vendor, cases in (("postgresql", POSTGRESQL), ("mysql", MYSQL), ("sqlite", SQLITE))
    for name, (body, changes) in cases.items()
]


@pytest.mark.parametrize(("vendor", "body", "changes"), CASES)
def test_what_is_written(vendor: str, body: str, changes: set[str]) -> None:
    code = read_body(body, vendor, "own")
    assert code.unknown is None
    assert {" ".join(change) for change in code.changes} == changes


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("postgresql", "BEGIN EXECUTE 'DELETE FROM ' || tg_table_name; END"),
        ("postgresql", "BEGIN RETURN QUERY EXECUTE x; END"),
        ("postgresql", "BEGIN CREATE TABLE a (id int); END"),
        ("postgresql", "BEGIN IF true THEN ALTER TABLE a ADD b int; END IF; END"),
        ("postgresql", "BEGIN TRUNCATE a CASCADE; END"),
        ("postgresql", "BEGIN COPY a FROM '/tmp/a'; END"),
        ("postgresql", "BEGIN RAISE 'unfinished"),
        ("mysql", "BEGIN PREPARE s FROM @x; EXECUTE s; END"),
        ("mysql", r"UPDATE a SET x = 'it\'s'"),
    ],
)
def test_what_cannot_be_told(vendor: str, body: str) -> None:
    assert read_body(body, vendor).unknown is not None


def test_calls() -> None:
    code = read_body('BEGIN PERFORM s.f(1), "G" (2); CALL h; x := k(3); END', "postgresql")
    assert {"f", "g", "h", "k"} <= code.calls

"""What single statements read, write and call, for each database."""

from __future__ import annotations

from typing import Any

import pytest

from querycache.rawsql import UNKNOWN, Kind, Statement, analyse

ALL = ("postgresql", "mysql", "sqlite", "other")
NOT_MY = ("postgresql", "sqlite", "other")
PG, MY, LITE, OTHER = ("postgresql",), ("mysql",), ("sqlite",), ("other",)
SETS = ("reads", "writes", "deletes", "updates", "temporary", "functions", "qualifiers")


def expected(kind: Kind, **fields: Any) -> Statement:
    """Return a statement with its sets written as words."""
    values: dict[str, Any] = {
        name: frozenset(value.split()) if name in SETS else value for name, value in fields.items()
    }
    return Statement(kind, **values)


def read(reads: str = "", functions: str = "", **fields: Any) -> Statement:
    return expected(Kind.READ, reads=reads, functions=functions, **fields)


def write(writes: str = "", **fields: Any) -> Statement:
    return expected(Kind.WRITE, writes=writes, **fields)


QUERIES: list[tuple[tuple[str, ...], str, Statement]] = [
    (ALL, "SELECT 1", read()),
    (ALL, "select * From T", read("t")),
    (ALL, 'SELECT * FROM "T"', read("t")),
    (("mysql", "sqlite", "other"), "SELECT * FROM `T`", read("t")),
    (ALL, 'SELECT * FROM "Main"."T" "x"', read("t", qualifiers="main")),
    (ALL, "SELECT * FROM a.b.C d", read("c", qualifiers="a b")),
    (ALL, "SELECT * FROM a x, b AS y, c", read("a b c")),
    (ALL, "SELECT * FROM/**/a/* , x */,b -- , y\n, c", read("a b c")),
    (ALL, "SELECT 'FROM x', \"from\" FROM a WHERE b = ' FROM y, z'", read("a")),
    (ALL, "SELECT * FROM a JOIN b ON a.x = b.x, c", read("a b c")),
    (ALL, "SELECT * FROM a JOIN b ON f(a.x, b.y), c", read("a b c", "f")),
    (ALL, "SELECT * FROM a JOIN b USING (x, y), c", read("a b c")),
    (ALL, "SELECT * FROM a NATURAL LEFT OUTER JOIN b CROSS JOIN c", read("a b c")),
    (ALL, "SELECT * FROM (a JOIN b ON a.x = b.x) JOIN c ON 1=1", read("a b c")),
    (ALL, "SELECT * FROM ((a x JOIN (b y JOIN c ON 1=1) ON 2=2)), d", read("a b c d")),
    (ALL, "SELECT * FROM (SELECT * FROM a, b) s, c", read("a b c")),
    (ALL, "SELECT * FROM ((SELECT 1 FROM a) UNION (SELECT 2 FROM b)) AS s", read("a b")),
    (ALL, "SELECT a, b FROM t ORDER BY c, d", read("t")),
    (ALL, "SELECT a FROM t GROUP BY b, c HAVING count(*) > 1", read("t", "count")),
    (ALL, "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE EXISTS(SELECT 1 FROM v))",
     read("t u v")),
    (ALL, ("SELECT a FROM t UNION ALL SELECT b FROM u EXCEPT SELECT c FROM v INTERSECT"
     " SELECT d FROM w"), read("t u v w")),
    (ALL, "(SELECT a FROM t) UNION (SELECT b FROM u) ORDER BY 1", read("t u")),
    (ALL, "SELECT (SELECT max(x) FROM u), y FROM t", read("t u", "max")),
    (ALL, "SELECT CASE WHEN x IN (1) THEN (SELECT 1 FROM u) ELSE 2 END FROM t", read("t u")),
    (ALL, "SELECT x IS DISTINCT FROM y, z IS NOT DISTINCT FROM q FROM t", read("t")),
    (ALL, "SELECT EXTRACT(YEAR FROM x), TRIM(BOTH 'a' FROM y), SUBSTRING(z FROM 2 FOR 3) FROM t",
     read("t", "extract trim substring")),
    (ALL, "SELECT OVERLAY(a PLACING b FROM (SELECT 1 FROM u) FOR 2) FROM t",
     read("t u", "overlay")),
    (ALL, "SELECT sum(x) FILTER (WHERE y > 1) OVER (PARTITION BY a, b ORDER BY c) FROM t",
     read("t", "sum")),
    (ALL, "SELECT sum(x) OVER w FROM t WINDOW w AS (PARTITION BY a), v AS (ORDER BY b)",
     read("t", "sum")),
    (ALL, "SELECT CAST(x AS varchar(10)), CAST(f(y) AS decimal(10, 2)) FROM t", read("t", "f")),
    (ALL, 'SELECT "F"(x), g (y), a.b.h(z) FROM t', read("t", "f g h", qualifiers="a b")),
    (ALL, "SELECT a AS f, b AS \"g\" FROM t AS s (c, d)", read("t")),
    (ALL, "SELECT CURRENT_TIMESTAMP, t.current_date, CURRENT_TIME(3) FROM t",
     read("t", "current_timestamp current_time")),
    (ALL, "SELECT x FROM t WHERE y = %s AND z IN (%s, %s) LIMIT 3", read("t")),
    (ALL, "SELECT x FROM t WHERE y = %(a)s", read("t")),
    (ALL, "SELECT 10 %s(1) FROM t", read("t", "%s")),
    (ALL, "SELECT 1;", read()),
    (ALL, "WITH a AS (SELECT 1 FROM t) SELECT * FROM a JOIN u ON 1=1", read("t u")),
    (ALL, "WITH a (x, y) AS (SELECT 1 FROM t), b AS (SELECT * FROM a, v) SELECT * FROM b, c",
     read("t v c")),
    (ALL, "WITH a AS (SELECT * FROM a) SELECT * FROM a", read("a")),
    (ALL, "WITH RECURSIVE a AS (SELECT 1 UNION SELECT x FROM a, t) SELECT * FROM a", read("t")),
    (ALL, "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", read("b")),
    (ALL, "WITH a AS (SELECT 1) SELECT * FROM s.a, a", read("a", qualifiers="s")),
    (ALL, "SELECT * FROM (WITH a AS (SELECT 1 FROM t) SELECT * FROM a) x, a", read("t a")),
    (ALL, "WITH a AS (WITH b AS (SELECT 1 FROM t) SELECT * FROM b) SELECT * FROM a, b",
     read("t b")),
    (ALL, "WITH recursive AS (SELECT 1 FROM t) SELECT * FROM recursive", read("t")),
    (ALL, "VALUES (1, 2), (3, (SELECT 4 FROM t))", read("t")),
    (ALL, "SELECT * FROM (VALUES (1), (2)) AS v (x), t", read("t")),
    (("postgresql", "mysql"), "TABLE t", read("t")),
    (("postgresql", "mysql"), "SELECT 1 FROM u UNION TABLE t", read("t u")),
    (("postgresql", "mysql", "other"), "SELECT * FROM t, LATERAL (SELECT * FROM u) x",
     read("t u")),
    (("postgresql", "mysql", "other"), "SELECT 1 FROM t FOR UPDATE", read("t", locking=True)),
    (PG, "SELECT 1 FROM t, u FOR NO KEY UPDATE OF t, u SKIP LOCKED", read("t u", locking=True)),
    (PG, "SELECT * FROM ONLY t, LATERAL f(t.x) AS g (a, b), ONLY (u), v *",
     read("t u v", "f")),
    (PG, "SELECT * FROM ROWS FROM (f(1), g(2)) AS x (a, b), t", read("t", "f g")),
    (PG, "SELECT * FROM f(1) WITH ORDINALITY AS x (a, b), t", read("t", "f")),
    (PG, "SELECT * FROM f(1) AS x (a int, b varchar(3)), t", read("t", "f")),
    (PG, "SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (1), u",
     read("t u", "bernoulli")),
    (PG, "SELECT DISTINCT ON (a) f(b) FROM t", read("t", "f")),
    (PG, "SELECT x::numeric(10, 2), f(y)::s.u, z::date IN (g(1)) FROM t", read("t", "f g")),
    (PG, "SELECT array_agg(x ORDER BY y), ARRAY(SELECT 1 FROM u), '{}'::int[] FROM t",
     read("t u", "array_agg")),
    (PG, "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
     read("t", "percentile_cont")),
    (PG, "SELECT x FROM t WHERE y @> %s AND z ? 'k' AND q ? f(1)", read("t", "f")),
    (PG, "SELECT x AT TIME ZONE (f(1)), row(1, 2) FROM t", read("t", "f")),
    (PG, "SELECT x FROM t WHERE (a, b) OVERLAPS (c, d) AND e = ANY(f(1))",
     read("t", "overlaps f")),
    (PG, "SELECT $$ FROM x $$, E'\\' FROM y', U&\"t\" FROM U&\"d\\0061t\"", read("dat")),
    (PG, "SELECT /* a /* b */ FROM x */ 1 FROM t", read("t")),
    (PG, "SELECT x FROM t WHERE y > 'today'::date OR z < ' NOW '", read("t", "now")),
    (PG, "SELECT user, session_user, t.user, \"user\" FROM t", read("t", "user session_user")),
    (PG, "SELECT * FROM current_date", read("current_date", "current_date")),
    (PG, "SELECT x FROM t WHERE y LIKE 'a' ESCAPE '\\' AND z = 'b'", read("t")),
    (PG, ("WITH a AS MATERIALIZED (SELECT 1 FROM t), b AS NOT MATERIALIZED (SELECT 2 FROM a)"
     " SELECT * FROM b"), read("t")),
    (PG, ("WITH RECURSIVE a AS (SELECT 1 FROM t) SEARCH DEPTH FIRST BY x, y SET z,"
     " b AS (SELECT * FROM a) SELECT * FROM b"), read("t")),
    (PG, "DECLARE c NO SCROLL CURSOR FOR SELECT * FROM t", read("t")),
    (PG, "COPY t TO STDOUT", read("t")),
    (PG, "COPY (SELECT * FROM t, u) TO STDOUT WITH (FORMAT csv)", read("t u")),
    (PG, "EXPLAIN (ANALYZE, BUFFERS off) SELECT * FROM t", read("t")),
    (MY, 'SELECT "x FROM y", `t`.`a` FROM `d`.`T` USE INDEX (i, j) FOR JOIN (k), u',
     read("t u", qualifiers="d")),
    (MY, "SELECT * FROM t FORCE INDEX FOR JOIN (i), u", read("t u")),
    (MY, "SELECT * FROM t PARTITION (p0, p1) x, u", read("t u")),
    (MY, "SELECT STRAIGHT_JOIN * FROM t STRAIGHT_JOIN u ON 1", read("t u")),
    (MY, "SELECT 1 # FROM x\nFROM t -- , u", read("t")),
    (MY, "SELECT 'a\\' FROM x' FROM t", read("t")),
    (MY, "SELECT 1 FROM t /*! , u */ /* , v */", read("t u")),
    (MY, "SELECT 1 FROM t LOCK IN SHARE MODE", read("t", locking=True)),
    (MY, "SELECT @a, @@session.sql_mode, @`b` := 1 FROM 2023_sales",
     read("2023_sales", "@a @@sql_mode @b")),
    (MY, "SELECT NEXT VALUE FOR s FROM t", read("t", "nextval")),
    (MY, "SELECT x DIV (2), y RLIKE ('a'), IF(a, b, c), INSERT(a, 1, 2, b) FROM t",
     read("t", "if insert")),
    (MY, "SELECT user FROM t WHERE x > UTC_DATE", read("t", "utc_date")),
    (MY, "SELECT * FROM t, JSON_TABLE(t.x, '$[*]' COLUMNS (a DECIMAL(3, 1) PATH '$.a')) AS j",
     read("t", "json_table")),
    (MY, "SELECT * FROM t FOR SYSTEM_TIME FROM '2020' TO '2021', u", read("t u")),
    (MY, "SELECT a INTO @x FROM t", read("t", "@x")),
    (MY, "SELECT a FROM t INTO OUTFILE '/x'", read("t")),
    (MY, "ANALYZE FORMAT=JSON SELECT * FROM t", read("t")),
    (LITE, "SELECT [a], `b` FROM [T] x, 'U', main.\"V\"", read("t u v", qualifiers="main")),
    (LITE, "SELECT * FROM t, json_each(t.x) j, pragma_table_info('y')",
     read("t", "json_each pragma_table_info")),
    (LITE, "SELECT * FROM docs('word')", read("docs", "docs")),
    (LITE, "SELECT any(x), filter(y), x GLOB ('a*') FROM t", read("t", "any filter")),
    (LITE, "SELECT date('now', '-1 day'), user FROM t INDEXED BY i, u", read("t u", "date now")),
    (LITE, "SELECT x FROM t WHERE y LIKE %s ESCAPE '\\' AND z = 'b'", read("t")),
    (LITE, "SELECT ?, ?1, :a, @b, $c FROM t", read("t")),
    (LITE, "SELECT CAST(x AS LONG NAME(10)) FROM t", read("t", "name")),
    (OTHER, "SELECT TOP (10) x, SYSDATE FROM db..t CROSS APPLY f(t.x) y",
     read("t", "sysdate f", qualifiers="db")),
]  # fmt: skip


MODIFICATIONS: list[tuple[tuple[str, ...], str, Statement]] = [
    (ALL, "INSERT INTO t VALUES (1)", write("t")),
    (ALL, "INSERT INTO \"T\" (\"a\", b) VALUES (%s, f(%s)), (%s, (SELECT 1 FROM u))",
     write("t", functions="f", reads="u")),
    (ALL, "INSERT INTO s.t (a) SELECT x FROM u, v", write("t", reads="u v", qualifiers="s")),
    (ALL, "INSERT INTO t (SELECT x FROM t)", write("t", reads="t")),
    (ALL, "INSERT INTO t WITH a AS (SELECT 1 FROM u) SELECT * FROM a", write("t", reads="u")),
    (ALL, "WITH a AS (SELECT 1 FROM u) INSERT INTO t SELECT * FROM a", write("t", reads="u")),
    (ALL, "INSERT INTO t DEFAULT VALUES RETURNING id", write("t")),
    (ALL, "INSERT INTO t (a) VALUES (%s) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b",
     write("t", updates="t")),
    (ALL, "INSERT INTO t (a) SELECT b FROM u WHERE true ON CONFLICT DO NOTHING",
     write("t", reads="u", updates="t")),
    (ALL, "DELETE FROM t WHERE x IN (SELECT y FROM u)", write("t", deletes="t", reads="u")),
    (NOT_MY, ("MERGE INTO t AS x USING (SELECT * FROM u) y ON (x.a = y.a) WHEN MATCHED THEN"
     " UPDATE SET b = 1, c = 2 WHEN NOT MATCHED THEN INSERT (a) VALUES (1)"),
     write("t", reads="u", deletes="t", updates="t")),
    (ALL, "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
     write("t", reads="u", deletes="t", updates="t")),
    (ALL, "UPDATE t SET a = %s, b = (SELECT max(x) FROM u) WHERE c = 1",
     write("t", updates="t", reads="u", functions="max")),
    (ALL, "UPDATE t AS x SET a = 1", write("t", updates="t")),
    (ALL, "UPDATE s.t SET (a, b) = (1, 2)", write("t", updates="t", qualifiers="s")),
    (ALL, "TRUNCATE t", write("t", deletes="t")),
    (ALL, "TRUNCATE TABLE s.t", write("t", deletes="t", qualifiers="s")),
    (("postgresql", "sqlite"), "UPDATE t SET a = 1 FROM u, v WHERE t.x = u.x RETURNING t.a, t.b",
     write("t", updates="t", reads="u v")),
    (OTHER, "UPDATE x SET a = 1 FROM t x, v",
     write("x t v", updates="x t v", reads="t v")),
    (OTHER, "DELETE x FROM t x JOIN v ON 1=1", write("x t v", deletes="x t v", reads="t v")),
    (OTHER, "WITH a AS (SELECT * FROM t) DELETE FROM a",
     write("a", deletes="a", reads="t", everything=True)),
    (OTHER, "INSERT ALL INTO t VALUES (1) INTO u VALUES (2) SELECT 1 FROM dual",
     write("t u all", reads="dual", everything=True)),
    (PG, "UPDATE ONLY t * SET a = 1", write("t", updates="t")),
    (PG, "DELETE FROM ONLY t x USING u, v JOIN w USING (id) WHERE x.a = u.a RETURNING x.a, x.b",
     write("t", deletes="t", reads="u v w")),
    (PG, ("WITH d AS (DELETE FROM t RETURNING *), i AS (INSERT INTO u SELECT * FROM d"
     " RETURNING *), c AS (UPDATE v SET a = 1) SELECT * FROM i, w"),
     write("t u v", deletes="t", updates="v", reads="w")),
    (PG, "WITH d AS (SELECT 1 FROM t) UPDATE u SET a = 1 FROM d",
     write("u", updates="u", reads="t")),
    (PG, "SELECT a, b INTO TEMP x FROM t", write("x", temporary="x", reads="t")),
    (PG, "SELECT a INTO UNLOGGED TABLE s.x FROM t", write("x", reads="t", qualifiers="s")),
    (PG, "INSERT INTO t AS x (a) OVERRIDING SYSTEM VALUE SELECT 1", write("t")),
    (PG, "TRUNCATE ONLY t *, s.u RESTART IDENTITY", write("t u", deletes="t u", qualifiers="s")),
    (PG, "TRUNCATE t CASCADE", write("t", deletes="t", everything=True)),
    (PG, "COPY t (a, b) FROM STDIN", write("t")),
    (PG, "COPY (DELETE FROM t RETURNING *) TO STDOUT", write("t", deletes="t")),
    (PG, "REFRESH MATERIALIZED VIEW CONCURRENTLY s.v",
     write("v", deletes="v", updates="v", qualifiers="s")),
    (PG, "EXPLAIN ANALYZE VERBOSE DELETE FROM t", write("t", deletes="t")),
    (PG, "EXPLAIN (VERBOSE, ANALYZE) UPDATE t SET a = 1", write("t", updates="t")),
    (PG, "EXPLAIN ANALYZE EXECUTE p(1)", write(everything=True)),
    (PG, "DO $$ BEGIN DELETE FROM t; END $$", write(everything=True)),
    (PG, "COMMIT PREPARED 'x'", write(everything=True)),
    (("postgresql", "mysql"), "CALL s.p(1, f(2))",
     write(everything=True, calls="p", functions="f", qualifiers="s")),
    (("postgresql", "mysql"), "EXECUTE p", write(everything=True, calls="p")),
    (MY, "INSERT IGNORE t SET a = (SELECT 1 FROM u)", write("t", reads="u")),
    (MY, ("INSERT INTO t PARTITION (p0) (a) VALUES (1) AS n (x) ON DUPLICATE KEY UPDATE"
     " a = VALUES(a), b = n.x"), write("t", updates="t")),
    (MY, "INSERT INTO t SELECT * FROM u ON DUPLICATE KEY UPDATE a = 1, b = 2",
     write("t", updates="t", reads="u")),
    (MY, "REPLACE t (a) VALUES (REPLACE(%s, 'a', 'b'))",
     write("t", deletes="t", functions="replace")),
    (MY, "UPDATE LOW_PRIORITY IGNORE t x JOIN u ON 1, v SET x.a = 1, b = 2 WHERE c = 3",
     write("t u v", updates="t u v", reads="t u v")),
    (MY, "UPDATE (t x JOIN u ON 1), v SET x.a = 1",
     write("t u v", updates="t u v", reads="t u v")),
    (MY, "WITH a AS (SELECT 1 FROM w) UPDATE (t JOIN u ON 1) JOIN a SET t.a = 1",
     write("t u", updates="t u", reads="t u w")),
    (OTHER, "DELETE (SELECT 1 FROM t)", UNKNOWN),
    (MY, "UPDATE t, (SELECT * FROM u) s SET t.a = s.a", write("t", updates="t", reads="u")),
    (MY, "DELETE QUICK x, s.y.* FROM t x JOIN s.u y USING (id) WHERE a = (SELECT 1 FROM v)",
     write("x y t u", deletes="x y t u", reads="t u v", qualifiers="s")),
    (MY, "DELETE FROM x, y USING t x JOIN u y", write("x y t u", deletes="x y t u", reads="t u")),
    (MY, "LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE s.t (a, @b) SET c = f(@b)",
     write("t", deletes="t", functions="@b f", qualifiers="s")),
    (MY, "ANALYZE UPDATE t SET a = 1", write("t", updates="t")),
    (MY, "EXPLAIN ANALYZE DELETE FROM t", write("t", deletes="t")),
    (LITE, "INSERT OR REPLACE INTO t VALUES (1)", write("t", deletes="t")),
    (LITE, "INSERT OR IGNORE INTO t VALUES (1)", write("t")),
    (LITE, "REPLACE INTO t VALUES (1)", write("t", deletes="t")),
    (LITE, "UPDATE OR REPLACE t SET a = 1", write("t", updates="t", deletes="t")),
    (LITE, "INSERT INTO t SELECT a FROM u WHERE 1 RETURNING \"t\".\"a\", \"t\".\"b\"",
     write("t", reads="u")),
]  # fmt: skip


def ids(case: object) -> str | None:
    return case if isinstance(case, str) else None


@pytest.mark.parametrize(
    ("vendor", "sql", "statement"),
    [(v, sql, statement) for vendors, sql, statement in QUERIES for v in vendors],
    ids=ids,
)
def test_queries(vendor: str, sql: str, statement: Statement) -> None:
    assert analyse(sql, vendor) == (statement,)


@pytest.mark.parametrize(
    ("vendor", "sql", "statement"),
    [(v, sql, statement) for vendors, sql, statement in MODIFICATIONS for v in vendors],
    ids=ids,
)
def test_modifications(vendor: str, sql: str, statement: Statement) -> None:
    found = analyse(sql, vendor)
    # Which of them commit is told in test_rawsql_control.py.
    assert [(s.kind, *(getattr(s, name) for name in COMPARED)) for s in found] == [
        (statement.kind, *(getattr(statement, name) for name in COMPARED))
    ]


COMPARED = (*SETS, "everything", "calls", "locking")

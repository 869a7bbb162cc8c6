"""Transactions, sessions, schema changes and scripts of several statements."""

from __future__ import annotations

from typing import Any

import pytest

from querycache.rawsql import UNKNOWN, Kind, Setting, Statement, analyse
from tests.test_rawsql import ALL, LITE, MY, OTHER, PG, expected

HARMLESS = Statement(Kind.HARMLESS)


def ddl(writes: str = "", **fields: Any) -> Statement:
    return expected(Kind.DDL, writes=writes, **fields)


def session(scope: Any, name: str, text: str, **fields: Any) -> Statement:
    return expected(Kind.SESSION, setting=Setting(scope, name, text), **fields)


def point(kind: Kind, name: str) -> Statement:
    return Statement(kind, savepoint=name)


BEGIN, COMMIT, ROLLBACK = (Statement(k) for k in (Kind.BEGIN, Kind.COMMIT, Kind.ROLLBACK))
NOT_MY = tuple(v for v in ALL if v != "mysql")

CONTROL: list[tuple[tuple[str, ...], str, Statement]] = [
    (NOT_MY, "BEGIN", BEGIN),
    (NOT_MY, "begin /* x */ TRANSACTION", BEGIN),
    (MY, "BEGIN WORK", Statement(Kind.BEGIN, commits=True)),
    (MY, "START TRANSACTION WITH CONSISTENT SNAPSHOT", Statement(Kind.BEGIN, commits=True)),
    (PG, "START TRANSACTION", BEGIN),
    (PG, "BEGIN NOT DEFERRABLE", BEGIN),
    (PG, "BEGIN ISOLATION LEVEL REPEATABLE READ", Statement(Kind.BEGIN, isolation=True)),
    (LITE, "BEGIN IMMEDIATE", BEGIN),
    (LITE, "BEGIN EXCLUSIVE TRANSACTION", BEGIN),
    (ALL, "COMMIT", COMMIT),
    (ALL, "END WORK", COMMIT),
    (ALL, "COMMIT AND NO CHAIN", COMMIT),
    (ALL, "COMMIT WORK AND CHAIN", Statement(Kind.COMMIT, chain=True)),
    (ALL, "ROLLBACK", ROLLBACK),
    (ALL, "ROLLBACK TRANSACTION", ROLLBACK),
    (PG, "ABORT WORK AND CHAIN", Statement(Kind.ROLLBACK, chain=True)),
    (ALL, 'SAVEPOINT "S1"', point(Kind.SAVEPOINT, "s1")),
    (ALL, "ROLLBACK TO S1", point(Kind.ROLLBACK_TO, "s1")),
    (ALL, "ROLLBACK TRANSACTION TO SAVEPOINT s1", point(Kind.ROLLBACK_TO, "s1")),
    (ALL, "RELEASE s1", point(Kind.RELEASE, "s1")),
    (ALL, "RELEASE SAVEPOINT s1", point(Kind.RELEASE, "s1")),
    (ALL, "RELEASE savepoint", point(Kind.RELEASE, "savepoint")),
    (OTHER, "SAVE TRANSACTION s1", point(Kind.SAVEPOINT, "s1")),
    (OTHER, "ROLLBACK TRANSACTION s1", UNKNOWN),  # all of it or to a savepoint
    (OTHER, "BEGIN TRY", UNKNOWN),
    (PG, "PREPARE TRANSACTION 'x'", UNKNOWN),
    (MY, "XA COMMIT 'x'", UNKNOWN),
    (PG, "SET search_path TO a, 'B'",
     session("session", "search_path", "set search_path to a , 'B'")),
    (PG, "SET  LOCAL  app.Tenant = %s",
     session("local", "app.tenant", "set local app . tenant = %s")),
    (PG, "SET TIME ZONE 'UTC'", session("session", "timezone", "set time zone 'UTC'")),
    (PG, 'SET ROLE "A"', session("session", "role", 'set role "A"')),
    (PG, "SET TRANSACTION READ ONLY", session(
        "transaction", "transaction isolation", "set transaction read only", isolation=True)),
    (PG, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", session(
        "session", "transaction isolation",
        "set session characteristics as transaction isolation level serializable",
        isolation=True)),
    (PG, "SET SESSION AUTHORIZATION a",
     session("session", "session authorization", "set session authorization a")),
    (PG, "SET default_transaction_isolation = 'serializable'", session(
        "session", "default_transaction_isolation",
        "set default_transaction_isolation = 'serializable'", isolation=True)),
    (PG, "RESET ALL", session("session", "all", "reset all", isolation=True)),
    (PG, "DISCARD ALL", session("session", "discard", "discard all", isolation=True)),
    (PG, "SET LOCAL statement_timeout = 5", HARMLESS),
    (PG, "SET CONSTRAINTS ALL IMMEDIATE", Statement(Kind.CONSTRAINTS)),
    (MY, "SET NAMES utf8mb4", session("session", "names", "set names utf8mb4")),
    (MY, "SET SQL_AUTO_IS_NULL = 0", session(
        "session", "sql_auto_is_null", "set sql_auto_is_null = 0")),
    (MY, "SET SESSION sql_mode = 'A', @@time_zone = f((SELECT 1 FROM t)), @x := 2", session(
        "session", "sql_mode,time_zone,@x",
        "set session sql_mode = 'A' , @@time_zone = f ( ( select 1 from t ) ) , @x := 2",
        reads="t", functions="f")),
    (MY, "SET foreign_key_checks = 0, unique_checks = 0", HARMLESS),
    (MY, "SET autocommit = 0", session(
        "session", "autocommit", "set autocommit = 0", autocommit=False)),
    (MY, "SET @@session.autocommit := ON", session(
        "session", "autocommit", "set @@session.autocommit := on", autocommit=True,
        commits=True)),
    (MY, "SET autocommit = @x", UNKNOWN),
    (MY, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", session(
        "session", "transaction isolation",
        "set session transaction isolation level read committed", isolation=True)),
    (MY, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", session(
        "transaction", "transaction isolation",
        "set transaction isolation level read committed", isolation=True)),
    (MY, "SET tx_isolation = 'SERIALIZABLE'", session(
        "session", "tx_isolation", "set tx_isolation = 'SERIALIZABLE'", isolation=True)),
    (MY, "SET STATEMENT max_statement_time=1 FOR DELETE FROM t", UNKNOWN),
    (MY, "USE `db`", session("session", "use", 'use "db"')),
    (LITE, "PRAGMA case_sensitive_like = 1", session(
        "session", "case_sensitive_like", "pragma case_sensitive_like = 1")),
    (LITE, "PRAGMA read_uncommitted(1)", session(
        "session", "read_uncommitted", "pragma read_uncommitted ( 1 )", isolation=True)),
    (LITE, "PRAGMA foreign_keys = ON", HARMLESS),
    (LITE, "PRAGMA main.table_info('x')", expected(Kind.HARMLESS, qualifiers="main")),
    (LITE, "PRAGMA writable_schema = 1", UNKNOWN),
    (LITE, "ATTACH 'x' AS y", session("session", "attach", "attach 'x' as y", everything=True)),
    (LITE, "DETACH DATABASE y", session(
        "session", "detach", "detach database y", everything=True)),
    (OTHER, "ALTER SESSION SET isolation_level = serializable", session(
        "session", "alter", "alter session set isolation_level = serializable",
        isolation=True)),
    *((ALL, sql, HARMLESS) for sql in (
        "SHOW x", "EXPLAIN DELETE FROM t", "EXPLAIN (COSTS off) UPDATE t SET a = 1",
        "DESCRIBE t", "VACUUM")),
    *((PG, sql, HARMLESS) for sql in (
        "LISTEN x", "NOTIFY x, 'DELETE FROM t'", "LOCK TABLE t", "GRANT SELECT ON t TO x",
        "COMMENT ON TABLE t IS 'x'", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (f(x))",
        "DROP INDEX i", "ANALYZE t", "REINDEX TABLE t", "CLUSTER t USING i",
        "PREPARE p AS DELETE FROM t", "FETCH ALL FROM c", "CREATE ROLE x", "ALTER USER x RESET y",
        "CREATE FOREIGN DATA WRAPPER x")[:-1]),
    (MY, "CREATE INDEX i ON t (a)", Statement(Kind.HARMLESS, commits=True)),
    (MY, "ANALYZE TABLE t", Statement(Kind.HARMLESS, commits=True)),
    (MY, "LOCK TABLES t READ", Statement(Kind.HARMLESS, commits=True)),
    (MY, "TRUNCATE t", expected(Kind.WRITE, writes="t", deletes="t", commits=True)),
    (NOT_MY, "CREATE TABLE t (id int PRIMARY KEY, a varchar(10) DEFAULT f(1) REFERENCES u (b))",
     ddl("t")),
    (MY, "CREATE TABLE t (id int)", ddl("t", commits=True)),
    (MY, "CREATE OR REPLACE TABLE t (id int) SELECT * FROM u",
     ddl("t", deletes="t", reads="u", commits=True)),
    (MY, "CREATE TABLE t (SELECT f(a) FROM u)",
     ddl("t", reads="u", functions="f", commits=True)),
    (MY, "CREATE TEMPORARY TABLE IF NOT EXISTS d.t LIKE u",
     ddl("t", temporary="t", qualifiers="d")),
    (MY, "DROP TEMPORARY TABLE t", ddl("t", deletes="t")),
    (MY, "DROP TABLE t", ddl("t", deletes="t", commits=True)),
    (PG, "CREATE UNLOGGED TABLE t AS SELECT f(a) FROM u WITH NO DATA",
     ddl("t", reads="u", functions="f")),
    (PG, "CREATE TEMP TABLE t ON COMMIT DROP AS TABLE u", ddl("t", temporary="t", reads="u")),
    (PG, "CREATE TABLE pg_temp.t (a int)", ddl("t", temporary="t", qualifiers="pg_temp")),
    (PG, "CREATE TABLE t AS EXECUTE p(1)", ddl("t", everything=True)),
    (PG, "CREATE MATERIALIZED VIEW v AS WITH x AS (SELECT 1 FROM t) SELECT * FROM x",
     ddl("v", reads="t")),
    (NOT_MY, "CREATE VIEW v (a, b) AS SELECT 1, 2 FROM t", ddl("v", reads="t")),
    (MY, "CREATE ALGORITHM=MERGE DEFINER=`a`@`%%` SQL SECURITY INVOKER VIEW v AS (SELECT 1 FROM t)",
     ddl("v", reads="t", commits=True)),
    (LITE, "CREATE VIRTUAL TABLE t USING fts5(a, b)", ddl("t")),
    (LITE, "CREATE TEMP VIEW v AS SELECT 1 FROM t", ddl("v", temporary="v", reads="t")),
    (NOT_MY, 'DROP TABLE IF EXISTS "S"."T", u', ddl("t u", deletes="t u", qualifiers="s")),
    (NOT_MY, "DROP VIEW v CASCADE", ddl("v", deletes="v", everything=True)),
    (NOT_MY, "ALTER TABLE t ADD COLUMN a int DEFAULT 1", ddl("t", deletes="t")),
    (NOT_MY, "ALTER TABLE IF EXISTS t RENAME TO U", ddl("t u", deletes="t u")),
    (NOT_MY, "ALTER TABLE t RENAME COLUMN a TO b", ddl("t", deletes="t")),
    (NOT_MY, "ALTER TABLE t RENAME a TO b", ddl("t", deletes="t")),
    (PG, "ALTER TABLE ONLY s.t INHERIT u", ddl("t u", deletes="t u", qualifiers="s")),
    (PG, "ALTER TABLE t ATTACH PARTITION u FOR VALUES IN (1)", ddl("t u", deletes="t u")),
    (PG, "ALTER TABLE t DROP COLUMN a CASCADE", ddl("t", deletes="t", everything=True)),
    (MY, "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
     ddl("t u", deletes="t u", commits=True)),
    (MY, "ALTER TABLE t RENAME u, ADD INDEX (a)", ddl("t u", deletes="t u", commits=True)),
    (MY, "RENAME TABLE t TO u, s.v TO w",
     ddl("t u v w", deletes="t u v w", qualifiers="s", commits=True)),
    *((NOT_MY, sql, ddl(everything=True)) for sql in (
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION f()",
        "DROP FUNCTION f", "DROP TRIGGER x ON t", "DROP SCHEMA s", "DROP DATABASE d",
        "ALTER TYPE x ADD VALUE 'y'", "CREATE EXTENSION x")),
    (PG, "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; DELETE FROM v)",
     ddl(everything=True)),
    (PG, "CREATE SCHEMA IF NOT EXISTS s", ddl()),
    *((v, sql, UNKNOWN) for v in [ALL] for sql in (
        "FOO BAR", "SELECT 'x", "SELECT * FROM %s", "SELECT * FROM t, %s", "SELECT (1",
        "SELECT 1)",
        "SELECT * FROM (t, )", "SELECT * FROM t, ", "INSERT INTO %s VALUES (1)",
        "DELETE FROM", "DROP TABLE %s", "1",
        "SELECT * FROM t JOIN", "ROLLBACK TO", "SAVEPOINT %s")),
    (MY, "DELETE FROM .t", UNKNOWN),
    (MY, "SELECT * FROM .t", UNKNOWN),
    (MY, "SELECT /*!99999 1 */ 2", UNKNOWN),
    (MY, "SELECT * FROM t WHERE a = '\\' OR b = ' OR 1 IN (SELECT 1 FROM u) -- '", UNKNOWN),
    (OTHER, "SELECT 1 DELETE FROM t", UNKNOWN),
    (OTHER, "SELECT 1 FROM t EXEC p", UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(
    ("vendor", "sql", "statement"),
    [(v, sql, statement) for vendors, sql, statement in CONTROL for v in vendors],
    ids=lambda case: case if isinstance(case, str) else None,
)
def test_control(vendor: str, sql: str, statement: Statement) -> None:
    assert analyse(sql, vendor) == (statement,)


def test_the_setting_of_a_backslash_only_matters_where_both_readings_are_sql() -> None:
    assert analyse(r"SELECT 'it\'s' FROM t", "mysql")[0].reads == {"t"}
    assert analyse(r"SELECT x FROM t WHERE y LIKE 'a' ESCAPE '\'", "mysql") == (UNKNOWN,)
    assert analyse(r"SELECT x FROM t WHERE y LIKE 'a' ESCAPE '\'", "postgresql")[0].reads == {"t"}
    assert analyse(r"SELECT '\', x FROM u WHERE a = '\'", "sqlite")[0].reads == {"u"}


def test_oracle_commits_with_its_ddl() -> None:
    assert analyse("CREATE TABLE t (a int)", "oracle")[0].commits
    assert not analyse("CREATE TABLE t (a int)", "microsoft")[0].commits


BODY = "CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE u SET a = CASE WHEN 1 THEN 2 END; END"
ROUTINE = (
    "CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN IF 1 THEN BEGIN COMMIT; END; END IF;"
    " CASE 1 WHEN 1 THEN SELECT 1; END CASE; SET @x = CASE 1 WHEN 1 THEN 2 END; END"
)
ATOMIC = (
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE 1 WHEN 1 THEN 2 END; END"
)


@pytest.mark.parametrize(
    ("vendor", "sql", "kinds"),
    [
        *((v, "", []) for v in ALL),
        *((v, " ; -- x\n;/* y */ ", []) for v in ALL),
        *((v, "SELECT ';' FROM t; COMMIT;", [Kind.READ, Kind.COMMIT]) for v in ALL),
        *((v, "COMMIT; SELECT 'x", [Kind.COMMIT, Kind.UNKNOWN]) for v in ALL),
        *((v, "COMMIT; 'x", [Kind.COMMIT, Kind.UNKNOWN]) for v in ALL),
        *((v, "SELECT (1; COMMIT", [Kind.UNKNOWN]) for v in ALL),
        *((v, "VACUUM (x; COMMIT", [Kind.UNKNOWN]) for v in ALL),
        *((v, f"{BODY}; COMMIT", [Kind.DDL, Kind.COMMIT]) for v in ("sqlite", "mysql", "other")),
        *((v, f"{ROUTINE}; COMMIT", [Kind.DDL, Kind.COMMIT]) for v in ("mysql",)),
        ("mysql", "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW SET @a = 1; COMMIT",
         [Kind.DDL, Kind.COMMIT]),
        ("mysql", "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; COMMIT", [Kind.UNKNOWN]),
        ("mysql", "BEGIN NOT ATOMIC DELETE FROM t; COMMIT; END; COMMIT",
         [Kind.UNKNOWN, Kind.COMMIT]),
        ("postgresql", f"{ATOMIC}; COMMIT", [Kind.DDL, Kind.COMMIT]),
        ("postgresql", "CREATE FUNCTION f() RETURNS int AS $$ BEGIN; COMMIT; $$ LANGUAGE x; COMMIT",
         [Kind.DDL, Kind.COMMIT]),
        ("postgresql", "CREATE FUNCTION f() RETURNS int RETURN 1; BEGIN; COMMIT",
         [Kind.DDL, Kind.BEGIN, Kind.COMMIT]),
        ("postgresql", "CREATE TABLE t (event int); BEGIN; COMMIT",
         [Kind.DDL, Kind.BEGIN, Kind.COMMIT]),
        ("sqlite", "BEGIN; DELETE FROM t; END", [Kind.BEGIN, Kind.WRITE, Kind.COMMIT]),
        ("other", "DECLARE x; BEGIN COMMIT; END; COMMIT", [Kind.UNKNOWN]),
        ("other", "BEGIN p(1); COMMIT; END; COMMIT", [Kind.UNKNOWN, Kind.COMMIT]),
    ],
)  # fmt: skip
def test_scripts(vendor: str, sql: str, kinds: list[Kind]) -> None:
    assert [s.kind for s in analyse(sql, vendor)] == kinds

"""What holds for every statement, and the text of what is executed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from querycache.rawsql import UNKNOWN, Kind, analyse, text_of
from tests.test_rawsql import ALL, QUERIES

# -- The text of what is executed ---------------------------------------------------------------


def test_text_of_what_drivers_take() -> None:
    sql = pytest.importorskip("psycopg.sql")

    composed = sql.SQL("SELECT {} FROM {}").format(sql.Literal("a'b"), sql.Identifier("s", 'T"x'))
    assert text_of("SELECT 1") == "SELECT 1"
    assert text_of(b"SELECT '\xc3\xa9'") == "SELECT 'é'"
    assert text_of(bytearray(b"SELECT 1")) == "SELECT 1"
    assert text_of(sql.SQL("SELECT 1")) == "SELECT 1"
    assert text_of(composed) == """SELECT 'a''b' FROM "s"."T""x\""""
    assert text_of(b"\x83\x5c") is None
    assert text_of(object()) is None
    assert text_of(None) is None
    assert text_of(sql.Literal(object())) is None


class Composable:
    """What psycopg 2 does: it needs a driver's connection or cursor."""

    def as_string(self, context: Any) -> str:
        assert type(context) is Driver
        return "SELECT 1"


class Driver:
    def cursor(self) -> None: ...


class CursorWrapper:
    def __init__(self) -> None:
        self.cursor = Driver()


class DatabaseWrapper:
    def __init__(self, connection: Driver | None) -> None:
        self.connection = connection
        self.settings_dict: dict[str, str] = {}

    def cursor(self) -> None: ...


@pytest.mark.parametrize("context", [Driver(), CursorWrapper(), DatabaseWrapper(Driver())])
def test_composed_text_is_made_by_the_driver(context: object) -> None:
    assert text_of(Composable(), context) == "SELECT 1"


def test_text_that_cannot_be_composed_is_none() -> None:
    assert text_of(Composable(), DatabaseWrapper(None)) is None


# -- What holds for every text ------------------------------------------------------------------


def split(words: str) -> list[str]:
    return words.split(" ")


SOUP = st.lists(
    st.sampled_from(
        split(
            "select from join using with recursive as table values insert into update delete"
            " merge set where on conflict do truncate copy create or replace temp view trigger"
            " begin end case alter drop rename to for only lateral rows union distinct is not cast"
            " explain analyze commit rollback savepoint pragma call a b t . , ; ( ) * = :: 'x'"
            ' "q" `r` [s] %s ? @v 1 -- /* */ /*! \' " $$ \\ \n # : ( ) ( ) , . a b'
        )
    ),
    max_size=60,
).map(" ".join)


@given(SOUP, st.sampled_from(ALL))
def test_nothing_raises(sql: str, vendor: str) -> None:
    for statement in analyse(sql, vendor):
        assert statement.deletes | statement.updates | statement.temporary <= statement.writes
        assert (statement.setting is not None) == (statement.kind is Kind.SESSION)
        assert statement.kind is not Kind.UNKNOWN or statement == UNKNOWN
        assert statement.kind is not Kind.READ or not (statement.writes or statement.everything)


@given(st.text(max_size=40), st.sampled_from(ALL))
def test_nothing_raises_for_any_text(sql: str, vendor: str) -> None:
    assert isinstance(analyse(sql, vendor), tuple)


VERBS = split("INSERT REPLACE UPDATE DELETE MERGE TRUNCATE DROP ALTER CREATE CALL COPY")


@given(SOUP, st.sampled_from(VERBS), st.sampled_from(ALL))
@example("t select", "UPDATE", "mysql")
@example("t from t select", "DELETE", "mysql")
@example("a", "UPDATE", "mysql")
@example("t ( ) a", "UPDATE", "mysql")
def test_a_modifying_verb_is_never_a_read(sql: str, verb: str, vendor: str) -> None:
    for prefix in ("", "/* */ ", "WITH a AS (SELECT 1) ", "EXPLAIN ANALYZE "):
        if verb in VERBS[:5] or prefix in ("", "/* */ "):
            statements = analyse(f"{prefix}{verb} {sql}", vendor)
            assert statements[0].kind is not Kind.READ or verb == "COPY"


PLAIN = [
    (vendors, sql, statement)
    for vendors, sql, statement in QUERIES
    if not any(mark in sql for mark in "'\"`#[$/-%")
]


@given(st.data())
def test_space_comments_and_case_change_nothing(data: st.DataObject) -> None:
    vendors, sql, statement = data.draw(st.sampled_from(PLAIN))
    spaces = st.sampled_from([" ", "\n", "\t", " /* FROM x */ ", " -- , y '\n", "\r\n  "])
    words = [
        data.draw(st.sampled_from([str.upper, str.lower, str.title]))(word)
        for word in sql.split(" ")
    ]
    varied = "".join(data.draw(spaces) + word for word in words)
    for vendor in vendors:
        assert analyse(varied, vendor) == (statement,)


@pytest.mark.parametrize("vendor", ALL)
@pytest.mark.parametrize(
    "piece",
    ["(", "(select", "with a as (", "from (", "%s,", "%s, %sx", "/*", "/* /*", "'", "a.", "a,",
     "from a,", ", b as (select 1)", "insert into t partition (", "with a (", "create or", "$a$",
     "%(", "%(a", "end", "create trigger begin", "1_", "--", "::", "as (", "explain", "@", "a$",
     "E'", "E'a'\n", "(%s), ", "rename to"],
)  # fmt: skip
def test_work_grows_with_the_length_only(vendor: str, piece: str) -> None:
    """Counted in tokens and calls, not in time: the profiler sees every call of the analysis."""

    def calls(times: int) -> int:
        count = 0

        def profile(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += 1

        text = "with x as (select 1) " + (piece + " ") * times
        sys.setprofile(profile)
        try:
            analyse(text, vendor)
        finally:
            sys.setprofile(None)
        return count

    # The first text of a database makes its patterns.
    analyse("select 1", vendor)
    assert calls(4000) <= 4.5 * calls(1000) + 200


# -- Bulk inserts -------------------------------------------------------------------------------

HEAD = 'INSERT INTO "t" ("a", "b") VALUES '


@pytest.mark.parametrize("vendor", ["postgresql", "sqlite", "other"])
@pytest.mark.parametrize("row", ["(%s, %s)", "(DEFAULT, %s)", "(%s, f(%s))", "(%s::jsonb, 1.5)"])
@pytest.mark.parametrize(
    "tail",
    ["", ' RETURNING "t"."id"', ", (%s, g(%s))", ", (%s, (SELECT 1 FROM u))",
     ' ON CONFLICT("a") DO UPDATE SET "b" = h(EXCLUDED."b")', "; DELETE FROM v", ", (%s, 'x",
     ", ((%s)) , (%s, g(1))", " , (%s, f(%s)), (%s, (SELECT 1 FROM w))"],
)  # fmt: skip
def test_many_rows_say_what_one_says(vendor: str, row: str, tail: str) -> None:
    many = HEAD + ", ".join([row] * 50) + tail
    # A comment in front keeps the short cut out.
    assert analyse(many, vendor) == analyse("/* */" + many, vendor)
    assert analyse(many, vendor) == analyse(HEAD + row + tail, vendor)

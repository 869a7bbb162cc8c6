"""Where tokens begin and end, in the dialect of each database."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querycache.sqltokens import (
    NUMBER,
    OPERATOR,
    PARAM,
    QUOTED,
    STRING,
    VARIABLE,
    WORD,
    table_name,
    tokenise,
)

ALL = ("postgresql", "mysql", "sqlite", "other")


def tokens(sql: str, vendor: str) -> list[tuple[int, str]]:
    found = tokenise(sql, vendor)
    assert not found.odd
    return list(zip(found.kinds, found.texts, strict=True))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("shop_order", "shop_order"),
        ("Shop_Order", "shop_order"),
        ('"Shop_Order"', "shop_order"),
        ("`Shop_Order`", "shop_order"),
        ("[Shop Order]", "shop order"),
        ('"sales"."order"', "order"),
        ('sales"."order', "order"),
        ("sales`.`order", "order"),
        ("db.sales.order", "order"),
        ('"a.b"', "b"),
        ('"with""quote"', "withquote"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("a%%b", "a%b"),
        ("", ""),
    ],
)
def test_one_table_has_one_name_however_it_is_written(raw: str, name: str) -> None:
    assert table_name(raw) == name


@given(st.text())
def test_the_name_of_a_name_is_itself(raw: str) -> None:
    assert table_name(table_name(raw)) == table_name(raw)


@given(st.text(alphabet=st.characters(exclude_characters='."`[]%\x00', exclude_categories=["Cs"])))
def test_words_in_lower_case_keep_their_name(raw: str) -> None:
    assert table_name(raw.lower()) == table_name(raw)


@pytest.mark.parametrize(
    ("vendor", "sql", "expected"),
    [
        *((v, "SELECT a", [(WORD, "select"), (WORD, "a")]) for v in ALL),
        *((v, "a -- x 'y\nb", [(WORD, "a"), (WORD, "b")]) for v in ALL),
        *((v, "a /* x 'y -- \n */ b", [(WORD, "a"), (WORD, "b")]) for v in ALL),
        *((v, "a/***/b/*/ */c", [(WORD, "a"), (WORD, "b"), (WORD, "c")]) for v in ALL),
        *((v, "'it''s' x", [(STRING, "'it''s'"), (WORD, "x")]) for v in ALL),
        *((v, '"A ""b" x', [(QUOTED, 'A "b'), (WORD, "x")]) for v in ALL),
        *((v, "'a'; 'b'", [(STRING, "'a'"), (OPERATOR, ";"), (STRING, "'b'")]) for v in ALL),
        *((v, "%s, %s,%s", [(PARAM, "%s, %s,%s")]) for v in ALL),
        *((v, "%(n)s", [(PARAM, "%(n)s")]) for v in ALL),
        *((v, "%%s", [(OPERATOR, "%"), (PARAM, "%s")]) for v in ALL),
        *((v, "%sleep", [(OPERATOR, "%"), (WORD, "sleep")]) for v in ALL),
        *(
            (v, "1.5e-3 .5 7 0x1F", [(NUMBER, t) for t in ("1.5e-3", ".5", "7", "0x1F")])
            for v in ALL
        ),
        *((v, "a$b", [(WORD, "a$b")]) for v in ALL),
        *((v, "ÀB", [(WORD, "àb")]) for v in ALL),
        ("postgresql", "a /* /* x */ b */ c", [(WORD, "a"), (WORD, "c")]),
        ("postgresql", r"E'a\'b' c", [(STRING, r"E'a\'b'"), (WORD, "c")]),
        ("postgresql", "E'a'\n'b\\'c' d", [(STRING, "E'a'\n'b\\'c'"), (WORD, "d")]),
        ("postgresql", r"'a\' b", [(STRING, r"'a\'"), (WORD, "b")]),
        ("postgresql", "$$ a ' $x$ $$ b", [(STRING, "$$ a ' $x$ $$"), (WORD, "b")]),
        ("postgresql", "$x$ $$ ' $x$ b", [(STRING, "$x$ $$ ' $x$"), (WORD, "b")]),
        ("postgresql", "$1 a$$b", [(PARAM, "$1"), (WORD, "a$$b")]),
        ("postgresql", r'U&"d\0061t\+000061" x', [(QUOTED, "data"), (WORD, "x")]),
        ("postgresql", "U&'a' x", [(STRING, "U&'a'"), (WORD, "x")]),
        ("postgresql", "a -- x\rb", [(WORD, "a"), (WORD, "b")]),
        ("postgresql", "a ? b", [(WORD, "a"), (OPERATOR, "?"), (WORD, "b")]),
        ("postgresql", "a::b", [(WORD, "a"), (OPERATOR, "::"), (WORD, "b")]),
        ("postgresql", "a @@ b", [(WORD, "a"), *[(OPERATOR, "@")] * 2, (WORD, "b")]),
        ("postgresql", "a\u00a0b", [(WORD, "a\u00a0b")]),
        ("mysql", r"'a\'b' c", [(STRING, r"'a\'b'"), (WORD, "c")]),
        ("mysql", r'"a\"b" c', [(QUOTED, r"a\"b"), (WORD, "c")]),
        ("mysql", "`a``b` c", [(QUOTED, "a`b"), (WORD, "c")]),
        ("mysql", "a # x '\nb", [(WORD, "a"), (WORD, "b")]),
        ("mysql", "5--3", [(NUMBER, "5"), *[(OPERATOR, "-")] * 2, (NUMBER, "3")]),
        ("mysql", "a --\nb", [(WORD, "a"), (WORD, "b")]),
        ("mysql", "a /*! b */ c", [(WORD, "a"), (WORD, "b"), (WORD, "c")]),
        ("mysql", "a /*!40101 b */ c", [(WORD, "a"), (WORD, "b"), (WORD, "c")]),
        ("mysql", "a /*! b /* x */ c */ d", [(WORD, t) for t in "abcd"]),
        ("mysql", "2*/* x */3", [(NUMBER, "2"), (OPERATOR, "*"), (NUMBER, "3")]),
        ("mysql", "@a @@b.c @`d e`", [(VARIABLE, t) for t in ("@a", "@@b.c", "@`d e`")]),
        ("mysql", "2023_sales", [(NUMBER, "2023_sales")]),
        ("sqlite", "[a b] `c``d`", [(QUOTED, "a b"), (QUOTED, "c`d")]),
        ("sqlite", r"'a\' b", [(STRING, r"'a\'"), (WORD, "b")]),
        ("sqlite", "? ?12 :a @b $c", [(PARAM, t) for t in ("?", "?12", ":a", "@b", "$c")]),
        ("sqlite", "a -- x\rb\nc", [(WORD, "a"), (WORD, "c")]),
        ("sqlite", "a /* /* x */ b", [(WORD, "a"), (WORD, "b")]),
        ("other", ":a x::b", [(PARAM, ":a"), (WORD, "x"), (OPERATOR, "::"), (WORD, "b")]),
        ("other", "[a b]", [(QUOTED, "a b")]),
        ("other", "a[1]", [(WORD, "a"), (QUOTED, "1")]),
    ],
)
def test_tokens(vendor: str, sql: str, expected: list[tuple[int, str]] | None) -> None:
    if expected is None:
        assert tokenise(sql, vendor).odd
    else:
        assert tokens(sql, vendor) == expected


@pytest.mark.parametrize(
    ("vendor", "sql"),
    [
        *((v, "a 'b") for v in ALL),
        *((v, 'a "b') for v in ALL),
        *((v, "a /* b") for v in ALL),
        *((v, "a \x00 b") for v in ALL),
        *((v, "a \x1c b") for v in ALL),
        ("postgresql", "a /* /* x */ b"),
        ("postgresql", "a $$ b"),
        ("postgresql", "a $x$ b $y$"),
        ("postgresql", "a `b`"),
        ("postgresql", r"a \ b"),
        ("postgresql", "1a"),
        ("mysql", "a /*! b"),
        ("mysql", "a /*!80000 b */"),  # code or comment, by the server's version
        ("mysql", "a /*M!100000 b */"),
        ("mysql", "a /*! 2*/*b*/3 */"),
        ("sqlite", "a \ufeff b"),  # white space for SQLite
        ("sqlite", "from\ufefft"),
        ("sqlite", "a [b"),
        ("sqlite", "a ` b"),
        ("other", "a # b"),
        ("other", "a --b\n"),
        ("other", "a -- b\rc"),
        ("other", "q'[a]'"),
        ("other", "$$a$$"),
        ("other", "/* /* */ */"),
        ("other", "a /*! b */"),
        ("other", "a\u00a0b"),
    ],
)
def test_what_cannot_be_told_is_odd(vendor: str, sql: str) -> None:
    assert tokenise(sql, vendor).odd


PIECES = st.sampled_from(
    ["'", '"', "`", "[", "]", "/*", "*/", "--", "\n", "a", " ", ";", "\\", "''", "x'", "1", "é"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_sqlite_agrees_where_a_statement_ends(sql: str) -> None:
    """`complete_statement` knows quotes and comments as SQLite does, but not stray characters."""
    found = tokenise(sql + "\n;", "sqlite")
    ends_in_code = not found.odd and found.texts[-1:] == [";"] and found.kinds[-1] == OPERATOR
    if ends_in_code:
        assert sqlite3.complete_statement(sql + "\n;")
    elif not any(character in sql for character in "\\]"):
        closed = sqlite3.complete_statement(sql + "\n;")
        # What is odd though complete is only what SQLite would refuse (1a).
        assert not closed or "1" in sql or "é" in sql

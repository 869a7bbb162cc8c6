"""Tell a script's statements apart and hand each to who knows its kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from querycache.rawsql import ddl, session
from querycache.rawsql.model import UNKNOWN, Kind, Statement
from querycache.rawsql.reader import Reader
from querycache.rawsql.scan import Scanner
from querycache.rawsql.split import statements
from querycache.rawsql.words import DIALECTS, words
from querycache.sqltokens import (
    ambiguous,
    family_of,
    tokenise,
)

_HARMLESS = Statement(Kind.HARMLESS)
_RUNS_ANYTHING = Statement(Kind.WRITE, everything=True)
_NO_NAMES: frozenset[str] = frozenset()

_QUERIES = words("select with values table insert replace update delete merge")
_COMMIT_UNASKED = words(
    "create drop alter rename truncate grant revoke analyze optimize repair check"
    " checksum cache flush lock unlock import install uninstall"
)

#: An ORM's INSERT up to its first row. It only decides whether rows may be left out.
_INSERT = re.compile(
    r"""INSERT\ (?:IGNORE\ |OR\ IGNORE\ )?INTO\ (?:"[^"\\]*+"|`[^`\\]*+`)
    \ \((?:"[^"\\]*+"|`[^`\\]*+`|,\ )++\)\ VALUES\ """,
    re.VERBOSE,
)
#: A row of placeholders and plain words, with calls at most one level deep.
_ROW = re.compile(r"\((?:[\w%:., ]++|\([\w%:., ]*+\))*+\)")


def analyse(sql: str, vendor: str) -> tuple[Statement, ...]:
    """Tell what each statement of an SQL text does, in linear time and without raising.

    Args:
        sql: one statement or several with semicolons, with placeholders as they are.
        vendor: Django's `connection.vendor`; one that is not known is read most carefully.
    """
    sql = _without_equal_rows(sql)
    found = _analyse(sql, vendor, False)
    if ambiguous(sql, vendor):
        other = _analyse(sql, vendor, True)
        # An unusual reading that is no SQL is not how the server reads it.
        if other != found and not any(s.kind is Kind.UNKNOWN for s in other):
            return (UNKNOWN,)
    return found


def _without_equal_rows(sql: str) -> str:
    """Leave out the rows of a bulk INSERT that repeat the text of its first row."""
    head = _INSERT.match(sql)
    row = _ROW.match(sql, head.end()) if head else None
    if row is None:
        return sql
    another = ", " + row[0]
    start = row.end()
    # Counted from the right place on, but maybe too many: elsewhere, or not in a run.
    count = sql.count(another, start)
    if count == 0 or not sql.startswith(another * count, start):
        return sql
    return sql[:start] + sql[start + len(another) * count :]


def _analyse(sql: str, vendor: str, unusual: bool) -> tuple[Statement, ...]:
    tokens = tokenise(sql, vendor, unusual=unusual)
    family = family_of(vendor)
    found: list[Statement] = []
    end = 0
    for start, end, certain in statements(tokens, family):
        if (tokens.odd and end == len(tokens.kinds)) or not certain:
            found.append(UNKNOWN)
        else:
            found.append(_one(Reader(tokens, start, end, DIALECTS[family]), vendor))
    if tokens.odd and (not found or end < len(tokens.kinds)):
        found.append(UNKNOWN)
    return tuple(found)


def _one(r: Reader, vendor: str) -> Statement:
    first = r.word(r.start)
    if first in _QUERIES or r.is_op(r.start, "("):
        return _query(r, r.start)
    if first == "alter" and r.word(r.start + 1) == "session":
        return session.use(r, r.start + 1)
    handler = _STATEMENTS.get(first)
    if handler is None:
        return UNKNOWN
    statement = handler(r, r.start + 1)
    if statement.kind is not Kind.UNKNOWN and _commits(r, first, vendor):
        return replace(statement, commits=True)
    return statement


def _commits(r: Reader, first: str, vendor: str) -> bool:
    if first not in _COMMIT_UNASKED:
        return False
    if family_of(vendor) == "mysql":
        if first == "analyze" and r.word(r.start + 1) not in (
            "table", "tables", "local", "no_write_to_binlog",
        ):  # fmt: skip
            return False
        near = (r.word(k) for k in range(r.start + 1, min(r.start + 4, r.end)))
        return not (first in ("create", "drop") and "temporary" in near)
    return vendor == "oracle"


def _query(r: Reader, start: int) -> Statement:
    s = Scanner(r.tokens, start, r.end, r.dialect).run()
    if s.odd:
        return UNKNOWN
    # What modifies and names nothing that can be modified was not understood.
    everything = s.everything or (s.modifies and not s.writes)
    writes = bool(s.writes) or everything
    return Statement(
        Kind.WRITE if writes else Kind.READ,
        reads=frozenset(s.reads),
        writes=frozenset(s.writes) if writes else _NO_NAMES,
        everything=everything,
        inserts=frozenset(s.inserts) if writes else _NO_NAMES,
        deletes=frozenset(s.deletes) if writes else _NO_NAMES,
        updates=frozenset(s.updates) if writes else _NO_NAMES,
        temporary=frozenset(s.temporary) if writes else _NO_NAMES,
        functions=frozenset(s.functions),
        qualifiers=frozenset(s.qualifiers),
        locking=s.locking,
    )


def _explain(r: Reader, i: int) -> Statement:
    """EXPLAIN, DESCRIBE, MariaDB's ANALYZE: only with ANALYZE does the statement run."""
    runs = r.word(r.start) == "analyze"
    depth = 0
    while i < r.end:
        word = r.word(i)
        if word in ("analyze", "analyse"):
            runs = True
        elif r.is_op(i, "("):
            if r.word(i + 1) in _QUERIES:
                break
            depth += 1
        elif r.is_op(i, ")"):
            depth -= 1
        elif depth == 0 and (word in _QUERIES or word in ("create", "execute", "declare", "call")):
            break
        i += 1
    if not runs:
        return _HARMLESS
    if i >= r.end:
        # ANALYZE of a table, or of something that cannot be seen.
        return _HARMLESS if r.word(r.start) == "analyze" else UNKNOWN
    word = r.word(i)
    if word in _QUERIES or r.is_op(i, "("):
        # MariaDB: ANALYZE TABLE t names a table like any other.
        return _query(r, i) if word != "table" or r.word(r.start) != "analyze" else _HARMLESS
    if word == "create":
        return ddl.create(Reader(r.tokens, i, r.end, r.dialect), i + 1)
    return _RUNS_ANYTHING


def _copy(r: Reader, i: int) -> Statement:
    """PostgreSQL's COPY."""
    if r.is_op(i, "("):
        k, depth = i, 0
        while k < r.end:
            depth += r.is_op(k, "(") - r.is_op(k, ")")
            k += 1
            if depth == 0:
                break
        return _query(Reader(r.tokens, i + 1, k - 1, r.dialect), i + 1)
    if r.word(i) == "binary" and r.is_name(i + 1):
        i += 1
    name, qualifiers, i = r.path(i)
    if r.is_op(i, "("):
        while i < r.end and not r.is_op(i, ")"):
            i += 1
        i += 1
    if r.odd or r.word(i) not in ("from", "to"):
        return UNKNOWN
    names, spaces = frozenset((name,)), frozenset(qualifiers)
    if r.word(i) == "to":
        return Statement(Kind.READ, reads=names, qualifiers=spaces)
    return Statement(Kind.WRITE, writes=names, inserts=names, qualifiers=spaces)


def _load(r: Reader, i: int) -> Statement:
    """MySQL's LOAD DATA and LOAD XML."""
    if r.word(i) not in ("data", "xml") or r.family not in ("mysql", "other"):
        return UNKNOWN
    replaces = False
    while i < r.end and r.word(i) != "into":
        replaces = replaces or r.word(i) == "replace"
        i += 1
    if r.word(i + 1) != "table":
        return UNKNOWN
    name, qualifiers, i = r.path(i + 2)
    values = Scanner(r.tokens, i, r.end, r.dialect).run()
    if r.odd or values.odd:
        return UNKNOWN
    names = frozenset((name,))
    return Statement(
        Kind.WRITE,
        reads=frozenset(values.reads),
        writes=names,
        inserts=names,
        deletes=names if replaces else _NO_NAMES,
        functions=frozenset(values.functions),
        qualifiers=frozenset(qualifiers),
    )


def _call(r: Reader, i: int) -> Statement:
    """CALL, EXECUTE: what the procedure does is not seen here."""
    if not r.is_name(i):
        return _RUNS_ANYTHING
    name, qualifiers, k = r.path(i)
    arguments = Scanner(r.tokens, k, r.end, r.dialect).run()
    if arguments.odd:
        return UNKNOWN
    return Statement(
        Kind.WRITE,
        everything=True,
        reads=frozenset(arguments.reads),
        functions=frozenset(arguments.functions),
        qualifiers=frozenset(qualifiers),
        calls=name,
    )


def _runs_anything(r: Reader, i: int) -> Statement:
    return _RUNS_ANYTHING


def _prepare(r: Reader, i: int) -> Statement:
    return UNKNOWN if r.word(i) == "transaction" else _HARMLESS


def _declare(r: Reader, i: int) -> Statement:
    """PostgreSQL's DECLARE … CURSOR … FOR query."""
    if r.family != "postgresql":
        return UNKNOWN
    while i < r.end and r.word(i) != "for":
        i += 1
    return _query(r, i + 1) if i + 1 < r.end else UNKNOWN


def _harmless(r: Reader, i: int) -> Statement:
    return _HARMLESS


_STATEMENTS: dict[str, Callable[[Reader, int], Statement]] = {
    **dict.fromkeys(
        [
            "show",
            "vacuum",
            "listen",
            "unlisten",
            "notify",
            "lock",
            "unlock",
            "grant",
            "revoke",
            "comment",
            "reindex",
            "cluster",
            "checkpoint",
            "fetch",
            "move",
            "close",
            "deallocate",
            "optimize",
            "check",
            "checksum",
            "cache",
            "flush",
            "kill",
            "handler",
            "reassign",
            "help",
        ],
        _harmless,
    ),
    **session.STATEMENTS,
    **ddl.STATEMENTS,
    **dict.fromkeys(["explain", "describe", "desc", "analyze", "analyse"], _explain),
    **dict.fromkeys(["call", "execute", "exec"], _call),
    "do": _runs_anything,
    "repair": _runs_anything,
    "copy": _copy,
    "load": _load,
    "prepare": _prepare,
    "declare": _declare,
}

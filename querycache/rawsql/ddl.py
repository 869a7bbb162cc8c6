"""Statements that create, change or drop what tables are."""

from __future__ import annotations

from collections.abc import Callable

from querycache.rawsql.model import UNKNOWN, Kind, Statement
from querycache.rawsql.reader import Reader
from querycache.rawsql.scan import Scanner
from querycache.rawsql.targets import TEMPORARY_SCHEMAS
from querycache.rawsql.words import words
from querycache.sqltokens import OPERATOR, WORD

_HARMLESS = Statement(Kind.HARMLESS)
#: What changes what other statements do, in ways that only the database knows.
_EVERYTHING = Statement(Kind.DDL, everything=True)

#: Objects whose names stand in table positions.
_RELATIONS = frozenset(("table", "view", "sequence"))
#: Objects that change no result.
_INERT = words(
    "index role user group database tablespace publication statistics server login"
    " profile subscription resource directory credential logfile system default"
)
#: What an ALTER TABLE may rename besides the table; without such a word it is a column.
_PARTS = words("column index key constraint partition attribute")
_BEFORE_THE_OBJECT = words(
    "or replace alter global local temp temporary unlogged unique fulltext spatial"
    " clustered virtual materialized recursive foreign constraint external private"
    " public editionable noneditionable force no algorithm definer sql security"
    " undefined merge temptable invoker current_user current_role online offline"
    " ignore trusted procedural dynamic transient concurrently definer columnstore"
    " nonclustered bitmap shared"
)


def create(r: Reader, i: int) -> Statement:
    """CREATE."""
    i, passed = _object(r, i)
    what = r.word(i)
    if what in _INERT and "foreign" not in passed:
        return _HARMLESS
    if what == "schema" and not any(r.word(k) == "create" for k in range(i, r.end)):
        return Statement(Kind.DDL)
    if what not in _RELATIONS:
        return _EVERYTHING
    i = _behind_if_exists(r, i + 1)
    name, qualifiers, i = r.path(i)
    if r.odd:
        return UNKNOWN
    temporary = not {"temp", "temporary"}.isdisjoint(passed)
    temporary = temporary or not TEMPORARY_SCHEMAS.isdisjoint(qualifiers)
    query = _query(r, i)
    if query is not None and query.odd:
        return UNKNOWN
    target = frozenset((name,))
    return Statement(
        Kind.DDL,
        reads=frozenset(query.reads) if query else frozenset(),
        writes=target | query.writes if query else target,
        everything=_runs_prepared(r, i) or (query is not None and query.everything),
        deletes=target if "replace" in passed else frozenset(),
        temporary=target if temporary else frozenset(),
        functions=frozenset(query.functions) if query else frozenset(),
        qualifiers=frozenset(qualifiers) | (query.qualifiers if query else frozenset()),
    )


def drop(r: Reader, i: int) -> Statement:
    """DROP."""
    i, passed = _object(r, i)
    what = r.word(i)
    if what in _INERT and what != "database" and "foreign" not in passed:
        return _HARMLESS
    if what == "prepare":
        return _HARMLESS
    if what not in _RELATIONS:
        return _EVERYTHING
    names, qualifiers, i = _names(r, _behind_if_exists(r, i + 1))
    if r.odd:
        return UNKNOWN
    return Statement(
        Kind.DDL,
        writes=names,
        everything=any(r.word(k) == "cascade" for k in range(i, r.end)),
        deletes=names,
        qualifiers=qualifiers,
    )


def alter(r: Reader, i: int) -> Statement:
    """ALTER."""
    i, passed = _object(r, i)
    what = r.word(i)
    if what in _INERT and "foreign" not in passed:
        return _HARMLESS
    if what not in _RELATIONS:
        return _EVERYTHING
    i = _behind_if_exists(r, i + 1)
    if r.word(i) == "only" and r.is_name(i + 1):
        i += 1
    name, spaces, i = r.path(i)
    names, qualifiers = {name}, set(spaces)
    depth = 0
    while i < r.end:
        if r.kinds[i] == OPERATOR:
            depth += (r.texts[i] == "(") - (r.texts[i] == ")")
        elif depth == 0 and r.kinds[i] == WORD:
            k = _other_table(r, i)
            if k:
                name, spaces, i = r.path(k)
                names.add(name)
                qualifiers.update(spaces)
                continue
        i += 1
    if r.odd:
        return UNKNOWN
    # A partition or a column may go, and rows with it.
    written = frozenset(names)
    return Statement(
        Kind.DDL,
        writes=written,
        deletes=written,
        everything=any(r.word(k) == "cascade" for k in range(r.start, r.end)),
        qualifiers=frozenset(qualifiers),
    )


def _other_table(r: Reader, i: int) -> int:
    """Return where another table's name stands behind the word at `i` of an ALTER TABLE, or 0."""
    word, k = r.texts[i], i + 1
    if word == "rename":
        if r.word(k) in ("to", "as"):
            k += 1
        elif r.word(k) in _PARTS or r.word(k + 1) == "to":
            return 0
    elif word in ("attach", "detach", "exchange"):
        k = k + 1 if r.word(k) == "partition" else k
        if word == "exchange":
            return 0  # its WITH TABLE follows
    elif word not in ("inherit", "table"):
        return 0
    return k if r.is_name(k) else 0


def rename(r: Reader, i: int) -> Statement:
    """MySQL's RENAME TABLE."""
    if r.word(i) == "user":
        return _HARMLESS
    if r.word(i) not in ("table", "tables"):
        return UNKNOWN
    names: set[str] = set()
    qualifiers: set[str] = set()
    i = _behind_if_exists(r, i + 1)
    while i < r.end and not r.odd:
        if r.word(i) in ("wait", "nowait"):
            i += 2
            continue
        name, spaces, i = r.path(i)
        names.add(name)
        qualifiers.update(spaces)
        if r.word(i) == "to" or r.is_op(i, ","):
            i += 1
    if r.odd:
        return UNKNOWN
    written = frozenset(names)
    return Statement(Kind.DDL, writes=written, deletes=written, qualifiers=frozenset(qualifiers))


def truncate(r: Reader, i: int) -> Statement:
    """TRUNCATE."""
    if r.word(i) == "table":
        i += 1
    names, qualifiers, i = _names(r, i)
    if r.odd:
        return UNKNOWN
    return Statement(
        Kind.WRITE,
        writes=names,
        everything=any(r.word(k) == "cascade" for k in range(i, r.end)),
        deletes=names,
        qualifiers=qualifiers,
    )


def refresh(r: Reader, i: int) -> Statement:
    """PostgreSQL's REFRESH MATERIALIZED VIEW."""
    if (r.word(i), r.word(i + 1)) != ("materialized", "view"):
        return _EVERYTHING
    i += 2
    if r.word(i) == "concurrently":
        i += 1
    name, qualifiers, _ = r.path(i)
    if r.odd:
        return UNKNOWN
    names = frozenset((name,))
    return Statement(
        Kind.WRITE,
        writes=names,
        deletes=names,
        updates=names,
        qualifiers=frozenset(qualifiers),
        refreshes=True,
    )


def everything(r: Reader, i: int) -> Statement:
    """Answer for what changes more than can be told."""
    return _EVERYTHING


def _object(r: Reader, i: int) -> tuple[int, frozenset[str]]:
    """Return where the word for the kind of object stands, and the words before it."""
    passed: set[str] = set()
    while i < r.end:
        word = r.word(i)
        if word in _RELATIONS or word in _INERT:
            break
        # Other words are the value of an option (ALGORITHM = x) or something unheard of.
        if word and word not in _BEFORE_THE_OBJECT and not r.is_op(i - 1, "="):
            break
        passed.add(word)
        i += 1
    return i, frozenset(passed)


def _behind_if_exists(r: Reader, i: int) -> int:
    if r.word(i) == "concurrently":
        i += 1
    if r.word(i) == "if":
        i += 1
        if r.word(i) == "not":
            i += 1
        i += 1
    return i


def _names(r: Reader, i: int) -> tuple[frozenset[str], frozenset[str], int]:
    names: set[str] = set()
    qualifiers: set[str] = set()
    while True:
        if r.word(i) == "only" and r.is_name(i + 1):
            i += 1
        name, spaces, i = r.path(i)
        names.add(name)
        qualifiers.update(spaces)
        if r.is_op(i, "*"):
            i += 1
        if r.odd or not r.is_op(i, ","):
            return frozenset(names), frozenset(qualifiers), i
        i += 1


def _query(r: Reader, i: int) -> Scanner | None:
    """Read the query that fills or defines the new relation, if there is one."""
    depth = 0
    for k in range(i, r.end):
        if r.kinds[k] == OPERATOR:
            if depth == 0 and r.texts[k] == "(" and r.word(k + 1) in ("select", "with", "values"):
                return Scanner(r.tokens, k, r.end, r.dialect).run()
            depth += (r.texts[k] == "(") - (r.texts[k] == ")")
        elif depth == 0 and r.kinds[k] == WORD:
            word, behind_as = r.texts[k], r.word(k - 1) == "as"
            if word == "select" or (behind_as and word in ("with", "values", "table")):
                return Scanner(r.tokens, k, r.end, r.dialect).run()
            if word == "as" and r.is_op(k + 1, "("):
                return Scanner(r.tokens, k + 1, r.end, r.dialect).run()
    return None


def _runs_prepared(r: Reader, i: int) -> bool:
    return any(r.word(k) == "execute" and r.word(k - 1) == "as" for k in range(i + 1, r.end))


#: By first word.
STATEMENTS: dict[str, Callable[[Reader, int], Statement]] = {
    "create": create,
    "drop": drop,
    "alter": alter,
    "rename": rename,
    "truncate": truncate,
    "refresh": refresh,
    "import": everything,
    "install": everything,
    "uninstall": everything,
}

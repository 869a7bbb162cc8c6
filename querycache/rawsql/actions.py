"""What the keywords do to the frame that they stand in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from querycache.rawsql import targets
from querycache.rawsql.reader import TABLE
from querycache.rawsql.words import STARTERS
from querycache.sqltokens import QUOTED, STRING, WORD

if TYPE_CHECKING:
    from querycache.rawsql.scan import Scanner

_NOT_AN_ALIAS = STARTERS | {"not", "materialized", "execute", "of"}


def _on_from(s: Scanner, i: int) -> int:
    frame = s.frame
    if not frame.verb or _is_distinct_from(s, i):
        return i + 1
    frame.in_from = True
    frame.join_open = False
    frame.expect = TABLE
    if frame.multiple and frame.collect is None:
        frame.collect = []
    return i + 1


def _is_distinct_from(s: Scanner, i: int) -> bool:
    if s.word(i - 1) != "distinct":
        return False
    return s.word(i - 2) == "is" or (s.word(i - 2) == "not" and s.word(i - 3) == "is")


def _on_join(s: Scanner, i: int) -> int:
    s.frame.in_from = True
    s.frame.join_open = True
    s.frame.expect = TABLE
    return i + 1


def _on_straight_join(s: Scanner, i: int) -> int:
    return _on_join(s, i) if s.frame.in_from else i + 1


def _on_using(s: Scanner, i: int) -> int:
    frame = s.frame
    if frame.verb not in ("delete", "merge") or frame.join_open:
        frame.join_open = False
        return s.push(i + 1) if s.is_op(i + 1, "(") else i + 1
    return _on_from(s, i)


def _on_on(s: Scanner, i: int) -> int:
    frame = s.frame
    frame.join_open = False
    if s.word(i + 1) in ("conflict", "duplicate"):
        frame.in_from = False
        if frame.target:
            s.updates.add(frame.target)
    return s.push(i + 1) if s.is_op(i + 1, "(") else i + 1


def _on_select(s: Scanner, i: int) -> int:
    frame = s.frame
    frame.verb = "select"
    frame.in_from = False
    frame.collect = None
    frame.multiple = False
    return i + 1


def _on_modification(s: Scanner, i: int) -> int:
    if s.frame.verb == "with":
        return targets.begin(s, i)
    if s.is_op(i + 1, "(") and s.texts[i] not in s.dialect.not_called:
        s.functions.add(s.texts[i])
        return s.push(i + 1)
    allowed = ("then", "do", "key", "for", "on")
    if s.family == "other" and s.texts[i] != "replace" and s.word(i - 1) not in allowed:
        s.odd = True
    return i + 1


def _on_into(s: Scanner, i: int) -> int:
    frame = s.frame
    if not frame.verb:
        return i + 1
    frame.in_from = False
    return targets.into(s, i + 1)


def _on_in(s: Scanner, i: int) -> int:
    # SQLite: `x IN table`, short for `x IN (SELECT * FROM table)`.
    if s.family == "sqlite" and i + 1 < s.end and s.kinds[i + 1] in (WORD, QUOTED, STRING):
        name, qualifiers, i = s.path(i + 1)
        s.qualifiers.update(qualifiers)
        if s.is_op(i, "("):
            s.functions.add(name)
        s.read(name, qualifiers)
        return i
    return i + 1


def _on_set(s: Scanner, i: int) -> int:
    frame = s.frame
    if frame.verb == "update" and frame.collect is not None:
        targets.flush(s, frame)
    if "set" in s.dialect.ends or frame.verb == "update":
        frame.in_from = False
    return s.push(i + 1) if s.is_op(i + 1, "(") else i + 1


def _on_as(s: Scanner, i: int) -> int:
    if s.frame.cast:
        return s.type_name(i + 1)
    if i + 1 >= s.end or s.kinds[i + 1] not in (WORD, QUOTED, STRING):
        return i + 1
    if s.word(i + 1) in _NOT_AN_ALIAS:
        return i + 1
    return s.push(i + 2) if s.is_op(i + 2, "(") else i + 2


def _on_for(s: Scanner, i: int) -> int:
    following = s.word(i + 1)
    if following in ("update", "share", "no", "key"):
        s.locking = True
        s.frame.in_from = False
        while s.word(i + 1) in ("update", "share", "no", "key"):
            i += 1
        return i + 1
    if following in ("join", "order", "group"):  # MySQL: USE INDEX FOR JOIN (…)
        return i + 2
    if following == "portion" and s.word(i + 4) == "from":
        return i + 5
    if following == "system_time":
        return i + (3 if s.word(i + 2) == "from" else 2)
    if "for" in s.dialect.ends:
        s.frame.in_from = False
    return i + 1


def _on_lock(s: Scanner, i: int) -> int:
    if s.word(i + 1) == "in" and s.word(i + 2) == "share":
        s.locking = True
        s.frame.in_from = False
    return i + 1


def _on_window(s: Scanner, i: int) -> int:
    if s.is_name(i + 1) and s.word(i + 2) == "as" and s.is_op(i + 3, "("):
        s.frame.in_from = False
    return i + 1


def _on_sequence(s: Scanner, i: int) -> int:
    if s.word(i + 1) == "value" and s.word(i + 2) == "for":
        s.functions.add("nextval" if s.texts[i] == "next" else "lastval")
        return s.path(i + 3)[2]
    return i + 1


#: By keyword: reads it at an index, returns the index to go on from.
ACTIONS: dict[str, Callable[[Scanner, int], int]] = {
    "from": _on_from,
    "join": _on_join,
    "straight_join": _on_straight_join,
    "using": _on_using,
    "on": _on_on,
    "select": _on_select,
    "with": lambda s, i: s.with_clause(i),
    "table": lambda s, i: s.table_statement(i),
    "insert": _on_modification,
    "update": _on_modification,
    "delete": _on_modification,
    "merge": _on_modification,
    "replace": _on_modification,
    "in": _on_in,
    "into": _on_into,
    "set": _on_set,
    "as": _on_as,
    "for": _on_for,
    "lock": _on_lock,
    "window": _on_window,
    "next": _on_sequence,
    "previous": _on_sequence,
}

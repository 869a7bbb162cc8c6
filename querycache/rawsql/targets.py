"""What a data-modifying statement modifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querycache.rawsql.reader import ALIAS, TABLE, Frame
from querycache.sqltokens import VARIABLE

if TYPE_CHECKING:
    from querycache.rawsql.scan import Scanner

_TEMPORARY = frozenset(("temp", "temporary"))
_INSERT_MODIFIERS = frozenset(["low_priority", "delayed", "high_priority", "ignore"])
_UPDATE_MODIFIERS = frozenset(("low_priority", "ignore"))
_DELETE_MODIFIERS = frozenset(["low_priority", "quick", "ignore", "history"])
_CONFLICTS = frozenset(["replace", "rollback", "abort", "fail", "ignore"])
#: Schemas whose tables nobody else sees.
TEMPORARY_SCHEMAS = frozenset(("pg_temp", "temp"))


def begin(s: Scanner, i: int) -> int:
    """Read a data-modifying verb at `i` and its target; returns the index to go on from."""
    verb = s.texts[i]
    s.modifies = True
    s.frame.in_from = False
    s.frame.collect = None
    if verb in ("insert", "replace"):
        return _insert(s, i, verb)
    if verb == "update":
        return _update(s, i + 1)
    if verb == "delete":
        return _delete(s, i + 1)
    return _merge(s, i + 1)


def into(s: Scanner, i: int) -> int:
    """Read what stands behind the INTO of a SELECT (or behind OUTPUT … INTO)."""
    if i < s.end and s.kinds[i] == VARIABLE:
        return i
    if s.family == "mysql" and s.word(i) in ("outfile", "dumpfile"):
        return i + 1
    temporary = False
    while s.word(i) in ("temp", "temporary", "unlogged", "local", "global", "table", "strict"):
        if not (s.is_name(i + 1) or s.word(i) in _TEMPORARY):
            break
        temporary = temporary or s.word(i) in _TEMPORARY
        i += 1
    name, qualifiers, i = s.path(i)
    s.qualifiers.update(qualifiers)
    s.writes.add(name)
    s.inserts.add(name)
    if temporary or not TEMPORARY_SCHEMAS.isdisjoint(qualifiers):
        s.temporary.add(name)
    return i


def flush(s: Scanner, frame: Frame) -> None:
    """Note the tables of a statement that may modify each table it names."""
    names = set(frame.collect or ())
    s.writes |= names
    if frame.verb == "update":
        s.updates |= names
    else:
        s.deletes |= names
    # A single one is only the target.
    if len(names) > 1 or frame.verb != "update":
        s.reads |= names
    frame.collect = None


def _target(s: Scanner, i: int) -> int:
    name, qualifiers, i = s.path(i)
    s.qualifiers.update(qualifiers)
    s.writes.add(name)
    s.frame.target = name
    if s.family == "other" and s.visible[name] > 0:
        s.everything = True  # a CTE that can be written through
    return i


def _insert(s: Scanner, i: int, verb: str) -> int:
    i += 1
    replaces = verb == "replace"
    if s.family == "other" and s.word(i) in ("all", "first", "top", "overwrite"):
        s.everything = True
    while s.word(i) in _INSERT_MODIFIERS or (s.word(i) == "or" and s.word(i + 1) in _CONFLICTS):
        if s.word(i) == "or":
            i += 1
            replaces = replaces or s.word(i) == "replace"
        i += 1
    if s.word(i) == "into":
        i += 1
    s.frame.verb = "insert"
    i = _target(s, i)
    s.inserts.add(s.frame.target)
    if replaces:
        s.deletes.add(s.frame.target)
    if s.word(i) == "partition" and s.is_op(i + 1, "("):
        while i < s.end and not s.is_op(i, ")"):
            i += 1
        i += 1
    if s.word(i) == "as" and s.is_name(i + 1):
        i += 2
    if s.is_op(i, "("):
        return s.push(i)
    return i


def _update(s: Scanner, i: int) -> int:
    frame = s.frame
    frame.verb = "update"
    while s.word(i) in _UPDATE_MODIFIERS and s.is_name(i + 1) and s.word(i + 1) != "set":
        i += 1
    replaces = False
    if s.word(i) == "or" and s.word(i + 1) in _CONFLICTS:
        replaces = s.word(i + 1) == "replace"
        i += 2
    if s.family == "mysql":
        frame.collect = []
        frame.in_from = True
        frame.expect = TABLE
        return i
    if s.word(i) == "only" and s.family in ("postgresql", "other") and s.is_name(i + 1):
        i += 1
    i = _target(s, i)
    s.updates.add(frame.target)
    if replaces:
        s.deletes.add(frame.target)
    # Elsewhere the target may be an alias of a table of FROM.
    frame.multiple = s.family == "other"
    frame.expect = ALIAS
    return i


def _delete(s: Scanner, i: int) -> int:
    frame = s.frame
    frame.verb = "delete"
    while s.word(i) in _DELETE_MODIFIERS and s.is_name(i + 1):
        i += 1
    if s.word(i) == "from":
        i += 1
    if s.word(i) == "only" and s.family in ("postgresql", "other") and s.is_name(i + 1):
        i += 1
    frame.multiple = s.family in ("mysql", "other")
    while True:
        i = _target(s, i)
        s.deletes.add(frame.target)
        if s.is_op(i, ".") and s.is_op(i + 1, "*"):
            i += 2
        if not (frame.multiple and s.is_op(i, ",")):
            break
        i += 1
    frame.expect = ALIAS
    return i


def _merge(s: Scanner, i: int) -> int:
    frame = s.frame
    frame.verb = "merge"
    if s.word(i) == "into":
        i += 1
    if s.word(i) == "only" and s.is_name(i + 1):
        i += 1
    i = _target(s, i)
    s.inserts.add(frame.target)
    s.updates.add(frame.target)
    s.deletes.add(frame.target)
    frame.expect = ALIAS
    return i

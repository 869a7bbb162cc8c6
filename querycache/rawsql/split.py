"""Cut a script into statements, without cutting the bodies of routines and triggers."""

from __future__ import annotations

from collections.abc import Iterator

from querycache.rawsql.words import words
from querycache.sqltokens import OPERATOR, WORD, Tokens

#: What may stand behind a BEGIN that begins a transaction, and not a block of statements.
BEGINS = words(
    "work transaction tran deferred immediate exclusive concurrent isolation read not"
    " deferrable with"
)
_BODIES = frozenset(["trigger", "procedure", "function", "event", "package"])
#: How far behind CREATE the kind of object stands at most.
_MODIFIERS = 24


def statements(tokens: Tokens, family: str) -> Iterator[tuple[int, int, bool]]:
    """Yield each statement's start, end and whether its end is certain; empty ones are left out."""
    kinds, texts = tokens.kinds, tokens.texts
    total = len(kinds)
    start = 0
    while start < total:
        if kinds[start] == OPERATOR and texts[start] == ";":
            start += 1
            continue
        if family == "other" and kinds[start] == WORD and texts[start] == "declare":
            yield start, total, False  # a block of unknown length
            return
        end, certain = _end(kinds, texts, start, total, _has_body(kinds, texts, start, family))
        yield start, end, certain
        start = end + 1


def _end(
    kinds: list[int], texts: list[str], start: int, total: int, body: bool
) -> tuple[int, bool]:
    if not body:
        depth = 0
        for i in range(start, total):
            if kinds[i] == OPERATOR:
                text = texts[i]
                if text == ";" and depth <= 0:
                    return i, True
                if text == "(":
                    depth += 1
                elif text == ")":
                    depth -= 1
        return total, depth == 0
    nesting = 0
    i = start
    while i < total:
        kind, text = kinds[i], texts[i]
        if kind == OPERATOR and text == ";" and nesting <= 0:
            return i, True
        if kind == WORD and not (i and kinds[i - 1] == OPERATOR and texts[i - 1] == "."):
            following = texts[i + 1] if i + 1 < total and kinds[i + 1] == WORD else ""
            if text in ("begin", "case"):
                nesting += 1
            elif text == "end":
                if following not in ("if", "loop", "while", "repeat", "for"):
                    nesting -= 1
                if following in ("if", "loop", "while", "repeat", "for", "case"):
                    i += 1
        i += 1
    return total, nesting == 0


def _has_body(kinds: list[int], texts: list[str], start: int, family: str) -> bool:
    """Tell whether semicolons inside this statement may belong to it."""
    if kinds[start] != WORD:
        return False
    first = texts[start]
    near: list[str] = []
    for i in range(start + 1, min(start + _MODIFIERS, len(kinds))):
        if kinds[i] == OPERATOR and texts[i] == ";":
            break
        near.append(texts[i] if kinds[i] == WORD else "")
    if first == "begin":
        return family != "postgresql" and bool(near and near[0]) and not begins(near[:2], family)
    if first not in ("create", "alter"):
        return False
    if _BODIES.isdisjoint(near):
        return False
    # PostgreSQL's bodies are strings, unless they are BEGIN ATOMIC.
    return family != "postgresql" or _is_atomic(kinds, texts, start)


def begins(following: list[str], family: str) -> bool:
    """Tell whether the words behind BEGIN belong to a BEGIN that begins a transaction."""
    if not following or not following[0]:
        return True
    if following[0] == "not":  # NOT DEFERRABLE in PostgreSQL, NOT ATOMIC in MariaDB
        return following[1:2] == ["deferrable"]
    return following[0] in BEGINS


def _is_atomic(kinds: list[int], texts: list[str], start: int) -> bool:
    for i in range(start, len(kinds) - 1):
        if kinds[i] == OPERATOR and texts[i] == ";":
            return False
        if kinds[i] == WORD and texts[i] == "begin":
            return kinds[i + 1] == WORD and texts[i + 1] == "atomic"
    return False

"""Asking questions: how long the answer took, where it came from, whether it is right."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from django.db import connection

import querycache
from querycache.demo.messages import Difference, Tally
from querycache.demo.page import Question, frozen

#: Characters of an answer that a difference shows.
_SHOWN: Final = 300

#: Commits of others may come between an answer and its check; so many times in a row they do not.
_ATTEMPTS: Final = 1000


def timed(tally: Tally, question: Question, *, cached: bool) -> Any:
    """Ask a question, note how long the answer took and where it came from, and return it.

    Args:
        tally: where to note it.
        question: to ask.
        cached: whether querycache is installed.
    """
    before = querycache.stats()
    start = perf_counter()
    answer = question.ask()
    seconds = perf_counter() - start
    after = querycache.stats()
    hits = after.hits - before.hits
    misses = after.misses - before.misses
    bypassed = after.bypassed - before.bypassed
    if not cached:
        tally.took(question.name, "plain", seconds)
    elif not bypassed and bool(hits) != bool(misses):
        # With prefetches, one part can be a hit and another a miss; that is neither.
        tally.took(question.name, "hit" if hits else "miss", seconds)
    return answer


def ask_and_check(tally: Tally, questions: tuple[Question, ...], *, timing: bool) -> None:
    """Ask questions one after the other, then compare every answer with the database.

    When another process commits between an answer and its check, neither is wrong and nothing can
    be told; then they are asked again.

    Args:
        tally: where to note what was found.
        questions: to ask.
        timing: whether to note times.
    """
    for _ in range(_ATTEMPTS):
        before = _version()
        answers = [
            timed(tally, question, cached=True) if timing else question.ask()
            for question in questions
        ]
        with querycache.disabled():
            expected = [question.ask() for question in questions]
        if _version() == before:
            break
        tally.repeated += len(questions)
    else:
        raise RuntimeError("other processes write so fast that no answer could be checked")
    for question, answer, right in zip(questions, answers, expected, strict=True):
        tally.checked += 1
        cached, database = repr(frozen(answer)), repr(frozen(right))
        if cached != database:
            tally.differences.append(Difference(question.name, *_excerpts(cached, database)))


def _version() -> int:
    """Return a number that changes when another connection commits to the database."""
    connection.ensure_connection()
    # Past Django and so past querycache, which has nothing to do with it.
    (version,) = connection.connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _excerpts(one: str, other: str) -> tuple[str, str]:
    """Return both texts from shortly before they part."""
    parting = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    start = max(0, parting - _SHOWN // 3)
    return tuple(  # type: ignore[return-value]
        ("..." if start else "") + text[start : start + _SHOWN] for text in (one, other)
    )

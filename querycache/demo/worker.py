"""What one process of the demo does when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

import querycache
from querycache.demo.changes import Editor, changes
from querycache.demo.checking import ask_and_check, timed
from querycache.demo.messages import Edit, Order, Page, Plain, Tally
from querycache.demo.page import HOW_MANY, PARIS_ALONE, QUESTIONS, TOTALS, Question

#: A write comes after so many questions.
_QUESTIONS_PER_WRITE: Final = 6

#: What is asked within transactions, which see what nobody else sees.
_IN_TRANSACTIONS: Final = (PARIS_ALONE, HOW_MANY, TOTALS)


class Worker:
    """Carries out orders in a process that is set up.

    Args:
        index: of the process, from 0.
    """

    def __init__(self, index: int) -> None:
        self._tally: Tally | None = None
        self._editor = Editor(index, self._check_in_transaction)
        self._changes = changes(index * 2)

    def obey(self, order: Order) -> Tally:
        """Carry out an order and return what was found."""
        self._tally = tally = Tally()
        with _counted(tally):
            if isinstance(order, Plain):
                for question in _from(order.start):
                    timed(tally, question, cached=False)
            elif isinstance(order, Page):
                ask_and_check(tally, _from(order.start), timing=True)
            else:
                self._edit(order, tally)
        return tally

    def _edit(self, order: Edit, tally: Tally) -> None:
        for _ in range(order.rounds):
            for number, question in enumerate(QUESTIONS):
                if number % _QUESTIONS_PER_WRITE == 0:
                    name, change = next(self._changes)
                    change(self._editor)
                    tally.writes[name] = tally.writes.get(name, 0) + 1
                ask_and_check(tally, (question,), timing=False)

    def _check_in_transaction(self) -> None:
        assert self._tally is not None
        # Twice, since the first answer may be kept for the rest of the transaction.
        for _ in range(2):
            ask_and_check(self._tally, _IN_TRANSACTIONS, timing=False)


def _from(start: int) -> tuple[Question, ...]:
    start %= len(QUESTIONS)
    return QUESTIONS[start:] + QUESTIONS[:start]


@contextmanager
def _counted(tally: Tally) -> Iterator[None]:
    """Put what `querycache.stats` counts within the block into the tally."""
    before = asdict(querycache.stats())
    yield
    tally.counts = {name: now - before[name] for name, now in asdict(querycache.stats()).items()}

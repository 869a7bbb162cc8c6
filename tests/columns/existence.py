"""Books that there are in the cache, and which row says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from querycache.lists import LISTED, Lists
from tests.columns.books import books, update
from tests.columns.helpers import asked

Query = Callable[[str], bool]


def of_author(alias: str) -> bool:
    found: bool = books(alias).filter(author=1, in_print=True).exists()
    return found


def of_few_columns(alias: str) -> bool:
    found: bool = books(alias).filter(pages__gt=1, in_print=True).exists()
    return found


def of_many_columns(alias: str) -> bool:
    found: bool = (
        books(alias)
        .filter(pages__gt=1, in_print=True, price__lt=50, publisher=None, published=None)
        .filter(author__gt=0, title__gt="")
        .exists()
    )
    return found


def joined(alias: str) -> bool:
    found: bool = books(alias).filter(author__name="1", in_print=True).exists()
    return found


QUERIES = (of_author, of_few_columns, of_many_columns, joined)
every_query = pytest.mark.parametrize("query", QUERIES)


def elsewhere(alias: str, turn: int) -> None:
    """Write what each result may depend on, in a book that is in none."""
    update(alias, 8, in_print=False, pages=turn + 2, price=turn)


class Witnesses:
    """Which row each `exists()` was last kept for."""

    def __init__(self, alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alias = alias
        self._last = 0
        note = Lists.note

        def noted(lists: Lists, fingerprint: bytes, listed: Any, seal: bytes) -> None:
            self._last = int.from_bytes(seal[2:4], "big") if seal.startswith(LISTED) else 0
            note(lists, fingerprint, listed, seal)

        monkeypatch.setattr(Lists, "note", noted)

    def of(self, query: Query) -> int:
        """Ask until it is known; returns the row's key."""
        for turn in range(3):
            elsewhere(self.alias, turn)
            assert query(self.alias)
        assert self._last
        assert asked(partial(query, self.alias))[1]
        return self._last


def others(query: Query, witness: int) -> list[int]:
    """Return the keys of all that a query asks for, but for one: odd ones are the author's."""
    start = 1 if query in (of_author, joined) else 2
    step = 2 if query in (of_author, joined) else 1
    return [pk for pk in range(start, 8, step) if pk != witness]

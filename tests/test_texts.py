"""Queries whose text cannot be made a second time, to tell what they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Value

from querycache.cache import QueryCache
from tests.explaining import assert_left_alone
from tests.shapes.dataset import Library, populate

on_sqlite = pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


class _Counting(Value):
    """A constant that names itself otherwise each time that it is made."""

    made = 0

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        type(self).made += 1
        return f"(1 + {self.made} - {self.made})", ()


class _Once(Value):
    """A constant that can be made once only."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.made = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        if self.made:
            raise LookupError("made already")
        self.made = True
        return "(1)", ()


@on_sqlite
@pytest.mark.parametrize("constant", [_Counting, _Once])
def test_text_that_cannot_be_made_again(m: Library, constant: Callable[[int], Value]) -> None:
    def ask() -> list[Any]:
        return list(m.Author.annotate(one=constant(1)).order_by("pk").values_list("pk", "one"))

    assert {one for _, one in assert_left_alone(ask)} == {1}

"""Any lookup with any values: the text and parameters that Django makes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from django.db.models import (
    Count,
    Exists,
    OuterRef,
    Q,
    QuerySet,
)
from hypothesis import HealthCheck, given, settings, strategies

from querycache.compiled import Texts
from tests.compiled.asking import Choice, compiler_of, everywhere, fresh, outcome
from tests.shapes.dataset import Library

_TEXT = strategies.text(max_size=4) | strategies.sampled_from(["", "%", "_", "\\", "a'b", "%s"])
_NUMBER = strategies.integers() | strategies.sampled_from([0, 2**31, 2**63, -(2**63) - 1])
_FIELDS: dict[str, Any] = {
    "pages": _NUMBER | strategies.booleans() | strategies.floats(allow_nan=False),
    "price": strategies.decimals(allow_nan=False, allow_infinity=False, places=2)
    | strategies.integers(0, 99),
    "in_print": strategies.booleans() | strategies.sampled_from([0, 1]),
    "published": strategies.datetimes(timezones=strategies.just(datetime.UTC)),
    "isbn": strategies.uuids() | strategies.uuids().map(str),
    "author": strategies.integers(1, 99),
    "author__name": _TEXT | strategies.sampled_from(list(Choice)),
    "reviews__length": strategies.timedeltas(),
    "reviews__at": strategies.times(),
    "author__born": strategies.dates(),
}
_ONE = ("exact", "gt", "gte", "lt", "lte")
_OF_TEXTS = (
    *_ONE,
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "regex",
    "iregex",
)


@strategies.composite
def conditions(draw: Any) -> tuple[Q, Q]:
    """Two conditions that say the same of other values, and mostly are of one shape."""
    first, second = Q(), Q()
    for _ in range(draw(strategies.integers(1, 3))):
        field = draw(strategies.sampled_from(sorted(_FIELDS)))
        values = _FIELDS[field]
        texts = field == "author__name"
        kinds = [*(_OF_TEXTS if texts else _ONE), "in", "isnull"]
        if field != "author":
            kinds.append("range")
        kind = draw(strategies.sampled_from(kinds))
        if kind == "isnull":
            made: Any = strategies.booleans()
        elif kind == "in":
            size = draw(strategies.integers(1, 3))
            made = strategies.lists(values | strategies.none(), min_size=size, max_size=size)
        elif kind == "range":
            made = strategies.tuples(values, values)
        else:
            made = values
        negated, joined = draw(strategies.booleans()), draw(strategies.sampled_from(["AND", "OR"]))
        pair = []
        for whole in (first, second):
            part = Q(**{f"{field}__{kind}": draw(made)})
            part = ~part if negated else part
            pair.append(whole & part if joined == "AND" else whole | part)
        first, second = pair
    return first, second


#: Ways to ask for what a condition says, and for a number besides.
_ASKED: dict[str, Callable[[Library, Q, int], QuerySet[Any]]] = {
    "plain": lambda m, c, n: m.Book.filter(c, pages=n),
    "excluded": lambda m, c, n: m.Book.filter(pages=n).exclude(c),
    "within": lambda m, c, n: m.Review.filter(book__in=m.Book.filter(c), stars=n),
    "exists": lambda m, c, n: m.Author.filter(
        Exists(m.Book.filter(c, author=OuterRef("pk"))), mentor=n
    ),
    "column": lambda m, c, n: m.Author.annotate(
        any=Exists(m.Book.filter(c, author=OuterRef("pk")))
    ).filter(mentor=n),
    "counted": lambda m, c, n: m.Book.filter(c, pages=n).annotate(n=Count("genres")),
    "having": lambda m, c, n: m.Book.annotate(n=Count("genres")).filter(n=n).filter(c),
    "aggregated": lambda m, c, n: m.Book.annotate(
        n=Count("genres", filter=Q(genres__gt=n), distinct=True)
    ).filter(c),
}


@everywhere
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pair=conditions(),
    way=strategies.sampled_from(sorted(_ASKED)),
    numbers=strategies.tuples(strategies.integers(0, 3), strategies.integers(0, 3)),
)
def test_any_condition(
    database: str, pair: tuple[Q, Q], way: str, numbers: tuple[int, int]
) -> None:
    m = Library(database)
    texts = Texts()
    for condition, number in [*zip(pair, numbers, strict=True)] * 2:
        try:
            asked = _ASKED[way](m, condition, number)
        except (TypeError, ValueError, OverflowError, ArithmeticError):
            return
        found = outcome(texts.compile, compiler_of(asked, database))
        assert found == outcome(fresh, compiler_of(asked, database))

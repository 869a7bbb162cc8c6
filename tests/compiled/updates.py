"""Pairs of UPDATEs: those of one text, and those of two."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Func, Q, QuerySet, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Upper

from tests.compiled.asking import Choice
from tests.shapes.dataset import UTC, Library

Build = Callable[[Library], tuple["QuerySet[Any]", dict[str, Any]]]

ONE_DAY = datetime.timedelta(days=1)
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=UTC)


def _sum(**options: Any) -> CombinedExpression:
    return CombinedExpression(F("pages"), "+", Value(1), **options)


SAME: dict[str, tuple[Build, Build]] = {
    "every_row": (
        lambda m: (m.Book.all(), {"pages": 1}),
        lambda m: (m.Book.all(), {"pages": 2}),
    ),
    "by_key": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1, "title": "a"}),
        lambda m: (m.Book.filter(pk=2), {"pages": 2, "title": "b"}),
    ),
    "kinds": (
        lambda m: (
            m.Book.filter(pk=1),
            {
                "price": Decimal("1.50"),
                "published": NOON,
                "isbn": uuid.UUID(int=1),
                "in_print": True,
            },
        ),
        lambda m: (
            m.Book.filter(pk=2),
            {
                "price": Decimal("2.25"),
                "published": NOON + ONE_DAY,
                "isbn": uuid.UUID(int=2),
                "in_print": False,
            },
        ),
    ),
    "more_kinds": (
        lambda m: (
            m.Review.filter(pk=1),
            {"length": ONE_DAY, "at": datetime.time(1, 2), "text": ""},
        ),
        lambda m: (
            m.Review.filter(pk=2),
            {"length": 2 * ONE_DAY, "at": datetime.time(3, 4, 5, 6), "text": "%s"},
        ),
    ),
    "json": (
        lambda m: (m.Book.filter(pk=1), {"extra": {"a": [1]}}),
        lambda m: (m.Book.filter(pk=2), {"extra": {"b": None}}),
    ),
    "numbers": (
        lambda m: (m.Thing.filter(pk=1), {"ratio": 1.5, "address": "::1", "number": 2**40}),
        lambda m: (m.Thing.filter(pk=2), {"ratio": -2.5, "address": "127.0.0.1", "number": 1}),
    ),
    "choice": (
        lambda m: (m.Author.filter(pk=1), {"name": Choice.ONE}),
        lambda m: (m.Author.filter(pk=2), {"name": Choice.TWO}),
    ),
    "relation": (
        lambda m: (m.Book.filter(author=1), {"publisher_id": 1}),
        lambda m: (m.Book.filter(author=2), {"publisher_id": 2}),
    ),
    "null": (
        lambda m: (m.Book.filter(pk=1), {"publisher": None, "published": None, "pages": 1}),
        lambda m: (m.Book.filter(pk=2), {"publisher": None, "published": None, "pages": 2}),
    ),
    "sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=2), {"pages": F("pages") + 2}),
    ),
    "sums": (
        lambda m: (m.Book.filter(pk=1), {"pages": 3 * (F("pages") - F("id")) % 7, "title": "a"}),
        lambda m: (m.Book.filter(pk=2), {"pages": 5 * (F("pages") - F("id")) % 9, "title": "b"}),
    ),
    "sum_of_decimals": (
        lambda m: (m.Book.filter(pk=1), {"price": F("price") + Decimal("0.5")}),
        lambda m: (m.Book.filter(pk=2), {"price": F("price") + Decimal("1.25")}),
    ),
    "conditions": (
        lambda m: (m.Book.filter(Q(pk__in=[1, 2]) | Q(title__contains="a")), {"pages": 1}),
        lambda m: (m.Book.filter(Q(pk__in=[3, 4]) | Q(title__contains="%")), {"pages": 1}),
    ),
    "subquery": (
        lambda m: (m.Book.filter(author__in=m.Author.filter(name="a"), pages=1), {"pages": 2}),
        lambda m: (m.Book.filter(author__in=m.Author.filter(name="b"), pages=3), {"pages": 4}),
    ),
    "composite_key": (
        lambda m: (m.Chapter.filter(book_id=1, number=2), {"title": "a"}),
        lambda m: (m.Chapter.filter(book_id=3, number=4), {"title": "b"}),
    ),
    "inherited": (
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1}),
        lambda m: (m.Shop.filter(place_ptr=2), {"stock": 2}),
    ),
}

#: Pairs that have texts of their own, or are left to Django.
OTHER: dict[str, tuple[Build, Build]] = {
    "null_or_not": (
        lambda m: (m.Book.filter(pk=1), {"published": None}),
        lambda m: (m.Book.filter(pk=1), {"published": NOON}),
    ),
    "columns": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
        lambda m: (m.Book.filter(pk=1), {"price": 1}),
    ),
    "order_of_columns": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1, "price": 1}),
        lambda m: (m.Book.filter(pk=1), {"price": 1, "pages": 1}),
    ),
    "conditions": (
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
        lambda m: (m.Book.filter(pk__gt=1), {"pages": 1}),
    ),
    "no_condition": (
        lambda m: (m.Book.all(), {"pages": 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": 1}),
    ),
    "longer_list": (
        lambda m: (m.Book.filter(pk__in=[1]), {"pages": 1}),
        lambda m: (m.Book.filter(pk__in=[1, 2]), {"pages": 1}),
    ),
    "no_row": (
        lambda m: (m.Book.filter(pk__in=[1]), {"pages": 1}),
        lambda m: (m.Book.filter(pk__in=[]), {"pages": 1}),
    ),
    "number_out_of_range": (
        lambda m: (m.Book.filter(pages=1), {"pages": 1}),
        lambda m: (m.Book.filter(pages=2**70), {"pages": 1}),
    ),
    "operator": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - 1}),
    ),
    "sides": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - 1}),
        lambda m: (m.Book.filter(pk=1), {"pages": 1 - F("pages")}),
    ),
    "operand": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") - F("id")}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("id") - F("pages")}),
    ),
    "kind_of_operand": (
        lambda m: (m.Thing.filter(pk=1), {"ratio": F("ratio") + 1}),
        lambda m: (m.Thing.filter(pk=1), {"ratio": F("number") + 1.5}),
    ),
    "object": (
        lambda m: (m.Book.filter(pk=1), {"author": m.Author.model(pk=1)}),
        lambda m: (m.Book.filter(pk=1), {"author": m.Author.model(pk=2)}),
    ),
    "function": (
        lambda m: (m.Book.filter(pk=1), {"title": Upper("title")}),
        lambda m: (m.Book.filter(pk=1), {"title": Func("title", function="LOWER")}),
    ),
    "column_of_a_sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + 1}),
        lambda m: (m.Book.filter(pk=1), {"price": F("pages") + 1}),
    ),
    "kind_of_sum": (
        lambda m: (m.Book.filter(pk=1), {"pages": _sum(output_field=models.DecimalField())}),
        lambda m: (m.Book.filter(pk=1), {"pages": _sum()}),
    ),
    "kind_of_value": (
        lambda m: (
            m.Book.filter(pk=1),
            {"pages": F("pages") + Value(1, output_field=models.DecimalField())},
        ),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages") + Value(1)}),
    ),
    "column": (
        lambda m: (m.Book.filter(pk=1), {"pages": F("id")}),
        lambda m: (m.Book.filter(pk=1), {"pages": F("pages")}),
    ),
    "value": (
        lambda m: (m.Book.filter(pk=1), {"pages": Value(1)}),
        lambda m: (m.Book.filter(pk=1), {"pages": Value(2)}),
    ),
    "joined": (
        lambda m: (m.Book.filter(author__name="a"), {"pages": 1}),
        lambda m: (m.Book.filter(author__name="b"), {"pages": 1}),
    ),
    "order": (
        lambda m: (m.Book.filter(pages__gt=1).order_by("pk"), {"pages": 1}),
        lambda m: (m.Book.filter(pages__gt=1).order_by("-pk"), {"pages": 1}),
    ),
    "extra": (
        lambda m: (m.Book.extra(where=["pages > %s"], params=[1]), {"pages": 1}),
        lambda m: (m.Book.extra(where=["pages > %s"], params=[2]), {"pages": 1}),
    ),
    "bytes": (
        lambda m: (m.Thing.filter(pk=1), {"data": b"a"}),
        lambda m: (m.Thing.filter(pk=2), {"data": b"b"}),
    ),
    "parent": (
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1, "name": "a"}),
        lambda m: (m.Shop.filter(place_ptr=1), {"stock": 1}),
    ),
    "model": (
        lambda m: (m.Author.filter(pk=1), {"name": "a"}),
        lambda m: (m.Genre.filter(pk=1), {"name": "a"}),
    ),
}

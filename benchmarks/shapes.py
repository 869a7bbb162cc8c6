"""The operations that are measured; each takes the number of its turn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from django.db import transaction
from django.db.models import Avg, Count, QuerySet

from benchmarks.shop.models import Parcel, Product, Review, Visit

#: Each hit asks for the next of this many results, all of them cached before.
WARM = 16

Operation = Callable[[int], Any]

# A condition that is always true and was never asked before: the same text, another parameter.
_fresh = count(1_000_000)


def _products(fresh: bool) -> QuerySet[Product]:
    queryset = Product.objects.all()
    return queryset.filter(stock__gt=-next(_fresh)) if fresh else queryset.filter(stock__gt=-1)


def _reviews(fresh: bool) -> QuerySet[Review]:
    queryset = Review.objects.all()
    return queryset.filter(stars__gt=-next(_fresh)) if fresh else queryset.filter(stars__gt=-1)


def get(turn: int, fresh: bool = False) -> Any:
    """One row by primary key."""
    if fresh:
        return _products(fresh).get(pk=turn % WARM + 1)
    return Product.objects.get(pk=turn % WARM + 1)


def page(turn: int, fresh: bool = False) -> Any:
    """50 rows with `select_related` of two relations."""
    category = turn % WARM + 1
    products = _products(fresh).filter(category=category)
    return list(products.select_related("category", "maker").order_by("pk")[:50])


def count_join(turn: int, fresh: bool = False) -> Any:
    """`count()` over a join of two tables."""
    name = f"Category {turn % WARM + 1}"
    return _reviews(fresh).filter(product__category__name=name).count()


def exists(turn: int, fresh: bool = False) -> Any:
    """`exists()`."""
    return _products(fresh).filter(category=turn % WARM + 1, price__gt=1).exists()


def thousand(turn: int, fresh: bool = False) -> Any:
    """1000 rows with a decimal and a time in each."""
    return list(_products(fresh).filter(pk__gt=turn % WARM).order_by("pk")[:1000])


def aggregate(turn: int, fresh: bool = False) -> Any:
    """`aggregate()` of an average and a count over a join."""
    reviews = _reviews(fresh).filter(product__category=turn % WARM + 1)
    return reviews.aggregate(Avg("stars"), Count("pk"))


SHAPES: dict[str, Callable[[int, bool], Any]] = {
    "get": get,
    "page": page,
    "count": count_join,
    "exists": exists,
    "thousand": thousand,
    "aggregate": aggregate,
}


def _parcel(turn: int) -> Parcel:
    number = turn % 50 + 1
    return Parcel(pk=number, code=f"P{number}", weight=turn)


def save(turn: int) -> None:
    parcel = _parcel(turn)
    parcel.save(force_update=True)


def atomic(turn: int) -> None:
    with transaction.atomic():
        for step in range(3):
            _parcel(turn + step * 7).save(force_update=True)


def bulk(turn: int) -> None:
    Parcel.objects.bulk_create([Parcel(code=f"B{n}", weight=turn) for n in range(100)])


WRITES: dict[str, Operation] = {"save": save, "atomic": atomic, "bulk": bulk}


def excluded(turn: int) -> Any:
    return Visit.objects.get(pk=turn % WARM + 1)


def disabled(turn: int) -> Any:
    """The block itself is entered by the worker, once around many turns."""
    return Product.objects.get(pk=turn % WARM + 1)


OFF: dict[str, Operation] = {"excluded": excluded, "disabled": disabled}


def operation(case: str) -> Operation:
    """Return what a case such as ``"hit:get"`` does in one turn."""
    group, _, name = case.partition(":")
    if group == "hit":
        shape = SHAPES[name]
        return lambda turn: shape(turn, False)
    if group == "miss":
        shape = SHAPES[name]
        return lambda turn: shape(turn, True)
    return WRITES[name] if group == "write" else OFF[name]

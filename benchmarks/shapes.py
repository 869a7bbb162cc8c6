"""The operations that are measured; each takes the number of its turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.db import transaction
from django.db.models import Avg, Count, Exists, OuterRef, Prefetch, Q, QuerySet

from benchmarks.shop.models import Category, Event, Parcel, Product, Reading, Review, Sheet, Visit

#: Each hit asks for the next of this many results, all of them cached before.
WARM = 16
#: Likewise where one of them takes long.
FEW = 4

Operation = Callable[[int], Any]

# A condition that is always true and was never asked before: the same text, another parameter.
_fresh = count(1_000_000)


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to ask.

    Args:
        ask: takes the number of a turn, and whether nobody may have asked this before.
        queries: how many queries it takes.
        results: how many there are.
    """

    ask: Callable[[int, bool], Any]
    queries: int = 1
    results: int = WARM


def _bound(fresh: bool) -> int:
    return -next(_fresh) if fresh else -1


def _products(fresh: bool) -> QuerySet[Product]:
    return Product.objects.filter(stock__gt=_bound(fresh))


def _reviews(fresh: bool) -> QuerySet[Review]:
    return Review.objects.filter(stars__gt=_bound(fresh))


def get(turn: int, fresh: bool) -> Any:
    """One row by primary key."""
    if fresh:
        return _products(fresh).get(pk=turn % WARM + 1)
    return Product.objects.get(pk=turn % WARM + 1)


def first(turn: int, fresh: bool) -> Any:
    """The first of an order."""
    return _products(fresh).filter(category=turn % WARM + 1).order_by("price").first()


def page(turn: int, fresh: bool) -> Any:
    """50 rows with two relations."""
    products = _products(fresh).filter(category=turn % WARM + 1)
    return list(products.select_related("category", "maker").order_by("pk")[:50])


def prefetch(turn: int, fresh: bool) -> Any:
    """20 rows, and what refers to them."""
    products = _products(fresh).filter(category=turn % WARM + 1).order_by("pk")[:20]
    if fresh:
        return list(products.prefetch_related(Prefetch("review_set", _reviews(fresh))))
    return list(products.prefetch_related("review_set"))


def chosen(turn: int, fresh: bool) -> Any:
    """20 rows by their keys."""
    start = turn % WARM
    return list(_products(fresh).filter(pk__in=range(start * 20 + 1, start * 20 + 21)))


def tuples(turn: int, fresh: bool) -> Any:
    """200 tuples."""
    products = _products(fresh).filter(pk__gt=turn % WARM).order_by("pk")
    return list(products.values_list("pk", "name", "price")[:200])


def search(turn: int, fresh: bool) -> Any:
    """A search with alternatives, 20 rows."""
    wanted = Q(name__icontains=f"{turn % WARM + 10}") | Q(price__lt=turn % WARM + 2)
    return list(_products(fresh).filter(wanted, maker__country="FR").order_by("-price", "pk")[:20])


def subquery(turn: int, fresh: bool) -> Any:
    """Rows for which others exist, 20 of them."""
    reviews = Review.objects.filter(product=OuterRef("pk"), stars__gte=turn % 4 + 2)
    products = _products(fresh).filter(Exists(reviews), category=turn % WARM + 1)
    return list(products.order_by("pk")[:20])


def groups(turn: int, fresh: bool) -> Any:
    """Groups with a count and an average each."""
    categories = Category.objects.filter(pk__lte=turn % WARM + 20, product__stock__gt=_bound(fresh))
    return list(categories.annotate(n=Count("product"), mean=Avg("product__price")).order_by("-n"))


def count_join(turn: int, fresh: bool) -> Any:
    """`count()` over a join of two tables."""
    name = f"Category {turn % WARM + 1}"
    return _reviews(fresh).filter(product__category__name=name).count()


def exists(turn: int, fresh: bool) -> Any:
    """`exists()`."""
    return _products(fresh).filter(category=turn % WARM + 1, price__gt=1).exists()


def aggregate(turn: int, fresh: bool) -> Any:
    """`aggregate()` of an average and a count over a join."""
    reviews = _reviews(fresh).filter(product__category=turn % WARM + 1)
    return reviews.aggregate(Avg("stars"), Count("pk"))


def in_transaction(turn: int, fresh: bool) -> Any:
    """Five queries in a transaction, as a page under `ATOMIC_REQUESTS` makes them."""
    category = turn % WARM + 1
    products = _products(fresh).filter(category=category)
    with transaction.atomic():
        return (
            products.count(),
            list(products.select_related("maker").order_by("pk")[:20]),
            products.order_by("price").first(),
            products.filter(stock__gt=0).exists(),
            list(_reviews(fresh).filter(product=category).order_by("-pk")[:10]),
        )


def thousand(turn: int, fresh: bool) -> Any:
    """1000 rows with a decimal and a time in each."""
    return list(_products(fresh).filter(pk__gt=turn % FEW).order_by("pk")[:1000])


def narrow(rows: int) -> Shape:
    """So many rows of four columns."""
    results = WARM if rows < 1000 else FEW

    def ask(turn: int, fresh: bool) -> Any:
        readings = Reading.objects.filter(pk__gt=turn % results, sensor__gt=_bound(fresh))
        return list(readings.order_by("pk")[:rows])

    return Shape(ask, results=results)


def rich(turn: int, fresh: bool) -> Any:
    """100 rows of datetimes, Decimals, UUIDs and JSON."""
    events = Event.objects.filter(pk__gt=turn % WARM, size__gt=_bound(fresh))
    return list(events.order_by("pk")[:100])


def wide(turn: int, fresh: bool) -> Any:
    """100 rows of 42 columns."""
    sheets = Sheet.objects.filter(pk__gt=turn % WARM, size__gt=_bound(fresh))
    return list(sheets.order_by("pk")[:100])


SHAPES: dict[str, Shape] = {
    "get": Shape(get),
    "first": Shape(first),
    "exists": Shape(exists),
    "count": Shape(count_join),
    "aggregate": Shape(aggregate),
    "groups": Shape(groups),
    "search": Shape(search),
    "subquery": Shape(subquery),
    "in": Shape(chosen),
    "page": Shape(page),
    "prefetch": Shape(prefetch, queries=2),
    "tuples": Shape(tuples),
    "atomic": Shape(in_transaction, queries=5),
    "thousand": Shape(thousand, results=FEW),
    "rows1": narrow(1),
    "rows10": narrow(10),
    "rows100": narrow(100),
    "rows1000": narrow(1000),
    "rows10000": narrow(10_000),
    "rich": Shape(rich),
    "wide": Shape(wide),
}


def _parcel(turn: int) -> Parcel:
    number = turn % 50 + 1
    return Parcel(pk=number, code=f"P{number}", weight=turn)


def save(turn: int) -> None:
    """One `save()` in autocommit."""
    _parcel(turn).save(force_update=True)


def update(turn: int) -> None:
    """One `update()` of a row in autocommit."""
    Parcel.objects.filter(pk=turn % 50 + 1).update(weight=turn)


def create(turn: int) -> None:
    """One `create()`."""
    Parcel.objects.create(code=f"C{turn % 1000}", weight=turn)


def atomic(turn: int) -> None:
    """Three `save()` in a transaction."""
    with transaction.atomic():
        for step in range(3):
            _parcel(turn + step * 7).save(force_update=True)


def bulk(turn: int) -> None:
    """`bulk_create()` of 100 rows."""
    Parcel.objects.bulk_create([Parcel(code=f"B{n}", weight=turn) for n in range(100)])


WRITES: dict[str, Operation] = {
    "save": save,
    "update": update,
    "create": create,
    "atomic": atomic,
    "bulk": bulk,
}


def excluded(turn: int) -> Any:
    """A row of a model that is left out."""
    return Visit.objects.get(pk=turn % WARM + 1)


def disabled(turn: int) -> Any:
    """The block itself is entered by the worker, once around many turns."""
    return Product.objects.get(pk=turn % WARM + 1)


OFF: dict[str, Operation] = {"excluded": excluded, "disabled": disabled}


def operation(case: str) -> Operation:
    """Return what a case such as ``"hit:get"`` does in one turn."""
    group, _, name = case.partition(":")
    if group in ("hit", "miss"):
        ask, fresh = SHAPES[name].ask, group == "miss"
        return lambda turn: ask(turn, fresh)
    return WRITES[name] if group == "write" else OFF[name]


def results_of(case: str) -> int:
    """Return how many results a hit has."""
    return SHAPES[case.partition(":")[2]].results


def queries_of(case: str) -> int:
    """Return how many queries one turn of a case takes."""
    return SHAPES[case.partition(":")[2]].queries

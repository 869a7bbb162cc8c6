"""Traffic of a shop: pages and products by Zipf's law, and a share of writes among them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import accumulate
from random import Random
from typing import Any

from django.db import transaction
from django.db.models import F

from benchmarks.shop.models import Category, Maker, Order, Parcel, Product, Review
from benchmarks.shop.stock import CATEGORIES, PRODUCTS, START

Operation = Callable[[], Any]


def _zipf(number: int) -> list[float]:
    return list(accumulate(1 / rank for rank in range(1, number + 1)))


class Traffic:
    """The same endless traffic for everybody who begins with the same seed.

    Args:
        seed: of its random numbers.
    """

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._products = _zipf(PRODUCTS)
        self._categories = _zipf(CATEGORIES)
        self._reads = [
            *[_product] * 30,
            *[_reviews] * 15,
            *[_page] * 15,
            *[_navigation] * 15,
            *[_maker] * 10,
            *[_count] * 10,
            *[_exists] * 5,
        ]
        self._writes = [*[_view] * 40, *[_sell] * 30, *[_review] * 20, *[_order] * 10]

    def next(self, writes: int) -> tuple[bool, Operation]:
        """Return the next operation: whether it reads, and what it does.

        Args:
            writes: how many in 100 operations write.
        """
        rng = self._rng
        is_read = rng.random() * 100 >= writes
        act = rng.choice(self._reads if is_read else self._writes)
        product = rng.choices(range(1, PRODUCTS + 1), cum_weights=self._products)[0]
        category = rng.choices(range(1, CATEGORIES + 1), cum_weights=self._categories)[0]
        return is_read, lambda: act(product, category)


def _product(product: int, category: int) -> Any:
    return Product.objects.get(pk=product)


def _reviews(product: int, category: int) -> Any:
    return list(Review.objects.filter(product=product).order_by("-pk")[:10])


def _page(product: int, category: int) -> Any:
    products = Product.objects.filter(category=category).select_related("maker")
    return list(products.order_by("price", "pk")[:20])


def _navigation(product: int, category: int) -> Any:
    return list(Category.objects.order_by("name"))


def _maker(product: int, category: int) -> Any:
    return Maker.objects.get(pk=product % 100 + 1)


def _count(product: int, category: int) -> Any:
    return Product.objects.filter(category=category).count()


def _exists(product: int, category: int) -> Any:
    return Product.objects.filter(category=category, stock__gt=0).exists()


def _view(product: int, category: int) -> Any:
    """A counter of views, as sites keep them."""
    return Product.objects.filter(pk=product).update(views=F("views") + 1)


def _sell(product: int, category: int) -> None:
    """A save of one row."""
    found = Product.objects.get(pk=product)
    found.stock -= 1
    found.save(update_fields=["stock"])


def _review(product: int, category: int) -> Any:
    return Review.objects.create(product_id=product, stars=product % 5 + 1, text="As described.")


def _order(product: int, category: int) -> None:
    with transaction.atomic():
        order = Order.objects.create(
            product_id=product, quantity=1, at=START + timedelta(seconds=product)
        )
        Parcel.objects.create(code=f"O{order.pk}", weight=1)

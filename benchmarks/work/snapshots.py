"""Pages that run in one transaction each, as `ATOMIC_REQUESTS` has it."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from benchmarks.work.base import Work

#: Different pages, all of them asked for again and again.
PAGES = 16
#: A page of this many is followed by a write to a table that it reads.
WRITE_EVERY = 20
#: Queries of a page.
READS = 6
SETTLING_SECONDS = 30.0


class Snapshots(Work):
    """Asks for pages of six reads."""

    def warm(self) -> dict[str, Any]:
        """Ask until a round of pages needs no query, or for so long."""
        deadline = time.monotonic() + SETTLING_SECONDS
        while True:
            queries = sum(self._queries(number) for number in range(PAGES))
            if queries == 0 or not self.contender.serves or time.monotonic() > deadline:
                return {}
            time.sleep(0.2)

    def run(self, pages: int) -> dict[str, Any]:
        """Ask for so many pages; return the seconds of one, and how many reads were queries."""
        from benchmarks.shapes import save

        spent = []
        queries = 0
        for _ in range(pages):
            turn = next(self.bench.turns)
            start = time.perf_counter()
            queries += self._queries(turn % PAGES)
            spent.append(time.perf_counter() - start)
            if turn % WRITE_EVERY == 0:
                save(turn)
        return {"seconds": median(spent), "reads": READS * pages, "queries": queries}

    def _queries(self, number: int) -> int:
        self.bench.reached = 0
        _page(number)
        return self.bench.reached


def _page(number: int) -> None:
    """Read what the page of a product shows."""
    from django.db import transaction

    from benchmarks.shop.models import Category, Maker, Parcel, Product, Review

    with transaction.atomic():
        product = Product.objects.get(pk=number + 1)
        category = Category.objects.get(product=product)
        Maker.objects.get(product=product)
        list(Product.objects.filter(category=category).order_by("pk")[:10])
        Review.objects.filter(product=product).count()
        Parcel.objects.filter(pk=number + 1).exists()

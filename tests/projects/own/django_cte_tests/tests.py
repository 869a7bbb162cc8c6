"""Common table expressions, recursive ones too, read before and after each kind of write."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, IntegerField, Sum, Value
from django.test import TransactionTestCase
from django_cte import CTE, with_cte
from truth import rows

from django_cte_tests.models import Order, Region


def depths() -> dict[str, int]:
    """Return every region's depth below the roots, by a recursive CTE."""

    def tree(cte: Any) -> Any:
        return (
            Region.objects.filter(parent__isnull=True)
            .values("id", "name", depth=Value(0, output_field=IntegerField()))
            .union(
                cte.join(Region, parent=cte.col.id).values(
                    "id", "name", depth=cte.col.depth + Value(1, output_field=IntegerField())
                ),
                all=True,
            )
        )

    cte = CTE.recursive(tree)
    found = with_cte(cte, select=cte.queryset()).values_list("name", "depth")
    return dict(found)


def totals() -> dict[str, int]:
    """Return the sum of orders of each region, joined through a CTE."""
    cte = CTE(Order.objects.values("region_id").annotate(total=Sum("amount")))
    found = with_cte(
        cte, select=cte.join(Region, id=cte.col.region_id).annotate(total=cte.col.total)
    )
    return dict(found.values_list("name", "total"))


class Reads(TransactionTestCase):
    available_apps = ["django_cte_tests"]

    def setUp(self) -> None:
        world = Region.objects.create(name="world")
        europe = Region.objects.create(name="europe", parent=world)
        self.spain = Region.objects.create(name="spain", parent=europe)
        Order.objects.create(region=self.spain, amount=5)
        Order.objects.create(region=europe, amount=7)

    def check(self) -> None:
        for _ in range(3):
            self.assertEqual(
                totals(),
                dict(
                    rows(
                        "SELECT r.name, SUM(o.amount) FROM django_cte_tests_order o"
                        " JOIN django_cte_tests_region r ON r.id = o.region_id GROUP BY r.name"
                    )
                ),
            )
            parents = dict(rows("SELECT id, parent_id FROM django_cte_tests_region"))
            expected = {}
            for pk, name in rows("SELECT id, name FROM django_cte_tests_region"):
                depth, above = 0, parents[pk]
                while above is not None:
                    depth, above = depth + 1, parents[above]
                expected[name] = depth
            self.assertEqual(depths(), expected)

    def test_writes_of_every_kind(self) -> None:
        self.check()
        Order.objects.create(region=self.spain, amount=1)
        self.check()
        Order.objects.update(amount=F("amount") * 2)
        self.check()
        Region.objects.create(name="madrid", parent=self.spain)
        self.check()
        self.spain.parent = None
        self.spain.save()
        self.check()
        Order.objects.filter(region=self.spain).delete()
        self.check()
        self.spain.delete()
        self.check()

    def test_in_a_transaction(self) -> None:
        self.check()
        with transaction.atomic():
            Region.objects.create(name="france", parent=self.spain)
            self.check()
            with self.assertRaises(LookupError), transaction.atomic():
                Region.objects.create(name="lost", parent=self.spain)
                self.check()
                raise LookupError
            self.check()
        self.check()

    def test_a_cte_that_is_named_as_a_table(self) -> None:
        cte = CTE(Region.objects.filter(parent=None), name="django_cte_tests_order")
        query = with_cte(cte, select=cte.queryset()).order_by("name")
        for expected in (["world"], ["a", "world"]):
            for _ in range(2):
                self.assertEqual([region.name for region in query.all()], expected)
            Region.objects.create(name="b" if Region.objects.filter(name="a") else "a")

"""What is in stock, promised and sold."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.urls import reverse
from oscar.apps.partner.exceptions import InvalidStockAdjustment
from oscar.core.loading import get_model
from truth import rows

from django_oscar_tests.shop import Product, ShopTestCase, StockRecord

StockAlert = get_model("partner", "StockAlert")

RECORDS = """
    SELECT product.title, record.num_in_stock, record.num_allocated, record.price
    FROM partner_stockrecord record JOIN catalogue_product product ON product.id = record.product_id
    ORDER BY record.id
"""


class Stock(ShopTestCase):
    def record(self, product: Any) -> Any:
        return StockRecord.objects.get(product=product)

    def check(self) -> None:
        fields = ("product__title", "num_in_stock", "num_allocated", "price")
        self.agree(StockRecord.objects.order_by("pk").values_list(*fields), RECORDS)
        visitor = self.visitor()
        for title, number, allocated, _ in rows(RECORDS):
            product = Product.objects.get(title=title)
            left = number - (allocated or 0)
            self.same(lambda product=product: self.record(product).net_stock_level, left)
            text = f"In stock ({left} available)" if left > 0 else "Unavailable"
            self.shown(visitor, product.get_absolute_url(), [text])
        total = rows("SELECT sum(num_in_stock), sum(num_allocated) FROM partner_stockrecord")
        self.same(
            lambda: [
                tuple(
                    StockRecord.objects.aggregate(
                        number=Sum("num_in_stock"), allocated=Sum("num_allocated")
                    ).values()
                )
            ],
            total,
        )

    def test_allocations(self) -> None:
        self.check()
        self.record(self.emma).allocate(4)
        self.check()
        self.record(self.ulysses).allocate(2)
        self.check()
        self.record(self.emma).consume_allocation(3)
        self.check()
        self.record(self.emma).cancel_allocation(5)
        self.check()
        with self.assertRaises(InvalidStockAdjustment):
            self.record(self.ulysses).consume_allocation(3)
        self.record(self.ulysses).consume_allocation(2)
        self.check()
        StockRecord.objects.update(num_in_stock=F("num_in_stock") + 1)
        self.check()

    def test_allocations_that_are_undone(self) -> None:
        self.check()
        try:
            with transaction.atomic():
                self.record(self.emma).allocate(4)
                self.check()
                try:
                    with transaction.atomic():
                        self.record(self.emma).consume_allocation(4)
                        self.record(self.dune).allocate(1)
                        self.check()
                        self.record(self.dune).consume_allocation(2)
                except InvalidStockAdjustment:
                    self.check()
                self.record(self.ulysses).allocate(1)
                self.check()
                self.record(self.ulysses).consume_allocation(2)
        except InvalidStockAdjustment:
            self.check()
        self.assertEqual(
            rows("SELECT count(*) FROM partner_stockrecord WHERE num_allocated > 0"), [(0,)]
        )

    def test_prices(self) -> None:
        self.check()
        record = self.record(self.emma)
        record.price = "11.50"
        record.save(update_fields=["price"])
        self.check()
        StockRecord.objects.filter(price__lt=11).update(price=F("price") * 2)
        self.check()
        records = list(StockRecord.objects.all())
        for record in records:
            record.price += 1
        StockRecord.objects.bulk_update(records, ["price"])
        self.check()

    def test_alerts(self) -> None:
        record = self.record(self.emma)
        record.low_stock_threshold = 5
        record.save()
        alerts = StockAlert.objects.order_by("pk").values_list("status", "threshold")
        sql = "SELECT status, threshold FROM partner_stockalert ORDER BY id"
        staff = self.staff()
        url = reverse("dashboard:stock-alert-list")
        self.shown(staff, url, [], ["Emma"])
        for change in (
            lambda: record.allocate(5),
            lambda: record.cancel_allocation(2),
            lambda: record.allocate(3),
        ):
            change()
            self.agree(alerts, sql)
            self.shown(staff, url, ["Emma"])
        self.assertEqual(rows(sql), [("Closed", 5), ("Open", 5)])

    def test_alerts_of_customers(self) -> None:
        self.record(self.emma).allocate(9)
        ann, bob = self.customer("ann"), self.customer("bob")
        url = reverse("customer:alerts-list")
        for browser in (ann, bob):
            self.shown(browser, url, [], ["Emma"])
        self.post(ann, reverse("customer:alert-create", kwargs={"pk": self.emma.pk}))
        self.shown(ann, url, ["Emma"])
        self.shown(bob, url, [], ["Emma"])
        inbox = reverse("customer:notifications-inbox")
        self.shown(ann, inbox, [], ["Emma"])
        record = self.record(self.emma)
        record.num_in_stock = 20
        record.save()
        self.shown(ann, inbox, ["Emma"])
        self.shown(bob, inbox, [], ["Emma"])
        self.shown(ann, url, [], ["Emma"])

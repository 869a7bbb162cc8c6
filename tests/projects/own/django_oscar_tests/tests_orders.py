"""Checkouts over HTTP, the orders that they place, and what becomes of those."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core import mail
from django.db import transaction
from django.test import Client
from django.urls import reverse
from oscar.core.loading import get_class, get_model
from oscar.test import factories
from truth import rows

from django_oscar_tests.shop import Basket, Order, ShopTestCase, StockRecord

EventHandler = get_class("order.processing", "EventHandler")
InvalidOrderStatus = get_class("order.exceptions", "InvalidOrderStatus")
InvalidShippingEvent = get_class("order.exceptions", "InvalidShippingEvent")
ShippingEventType = get_model("order", "ShippingEventType")
UserAddress = get_model("address", "UserAddress")
UserRecord = get_model("analytics", "UserRecord")
Voucher = get_model("voucher", "Voucher")

HISTORY = reverse("customer:order-list")
ADDRESS = {
    "first_name": "Jane",
    "last_name": "Fairfax",
    "line1": "1 High Street",
    "line4": "Highbury",
    "postcode": "N1 9RT",
}


class OrderTestCase(ShopTestCase):
    def check_out(self, browser: Client, guest: str | None = None) -> Any:
        """Order what is in the basket, and return the order."""
        if guest:
            self.post(
                browser, reverse("checkout:index"), {"username": guest, "options": "anonymous"}
            )
        else:
            self.page(browser, reverse("checkout:index"), 302)
        self.post(browser, reverse("checkout:shipping-address"), ADDRESS)
        self.page(browser, reverse("checkout:shipping-method"), 302)
        self.page(browser, reverse("checkout:payment-method"), 302)
        total = self.basket(browser).total_excl_tax
        preview = self.page(browser, reverse("checkout:preview"))
        self.assertEqual(preview.context["order_total"].excl_tax, total)
        done = self.post(browser, reverse("checkout:preview"), {"action": "place_order"})
        self.assertEqual(done.url, reverse("checkout:thank-you"))
        order = self.page(browser, done.url).context["order"]
        self.assertEqual(order.total_excl_tax, total)
        return order

    def check(self, order: Any) -> None:
        """Compare an order, and its stock, with the tables."""
        lines = """
            SELECT title, quantity, status, num_allocated, line_price_excl_tax
            FROM order_line WHERE order_id = %s ORDER BY id
        """
        fields = ("title", "quantity", "status", "num_allocated", "line_price_excl_tax")
        self.agree(order.lines.values_list(*fields), lines, order.pk)
        self.agree(
            StockRecord.objects.order_by("pk").values_list("num_in_stock", "num_allocated"),
            "SELECT num_in_stock, num_allocated FROM partner_stockrecord ORDER BY id",
        )
        self.agree(
            order.status_changes.order_by("pk").values_list("old_status", "new_status"),
            "SELECT old_status, new_status FROM order_orderstatuschange WHERE order_id = %s"
            " ORDER BY id",
            order.pk,
        )
        ((status, items),) = rows(
            "SELECT o.status, (SELECT sum(quantity) FROM order_line WHERE order_id = o.id)"
            " FROM order_order o WHERE o.id = %s",
            order.pk,
        )
        for _ in range(2):
            found = Order.objects.prefetch_related("lines").get(pk=order.pk)
            self.assertEqual((found.status, found.num_items), (status, items))


class Checkouts(OrderTestCase):
    def test_a_guest(self) -> None:
        guest, other = self.visitor(), self.visitor()
        self.add(guest, self.emma, 2)
        self.add(guest, self.dune)
        self.check_basket(guest)
        order = self.check_out(guest, "jane@example.com")
        self.check(order)
        self.assertEqual(
            rows("SELECT guest_email, user_id, total_excl_tax FROM order_order"),
            [("jane@example.com", None, 27.5)],
        )
        self.assertEqual(
            rows("SELECT num_allocated FROM partner_stockrecord ORDER BY id"),
            [(2,), (1,), (None,)],
        )
        self.same(lambda: self.basket(guest).num_items, 0)
        self.shown(guest, self.emma.get_absolute_url(), ["In stock (7 available)"])
        kwargs = {"order_number": order.number, "hash": order.verification_hash()}
        status = reverse("customer:anon-order", kwargs=kwargs)
        form = reverse("customer:anon-order-form", kwargs=kwargs)
        for browser, email in ((guest, "jane@example.com"), (other, "joan@example.com")):
            self.page(browser, status, 302)
            sent = browser.post(form, {"email": email})
            self.assertEqual(sent.status_code, 302 if browser is guest else 200)
        self.shown(guest, status, ["Emma", "Dune"])
        for _ in range(2):
            self.page(other, status, 302)
        self.page(other, reverse("checkout:thank-you"), 302)
        self.assertEqual([message.to for message in mail.outbox], [["jane@example.com"]])

    def test_customers(self) -> None:
        ann, bob = self.customer("ann"), self.customer("bob")
        for browser in (ann, bob):
            self.shown(browser, HISTORY, ["You haven't placed any orders"])
        orders = {}
        for browser, product in ((ann, self.emma), (bob, self.dune), (ann, self.ulysses)):
            self.add(browser, product)
            orders[product.title] = self.check_out(browser)
        for browser in (ann, bob):
            mine = [order for order in orders.values() if order.user_id == browser.user.pk]
            others = [order for order in orders.values() if order not in mine]
            self.same(
                lambda browser=browser: sorted(
                    order.pk for order in self.page(browser, HISTORY).context["orders"]
                ),
                [order.pk for order in mine],
            )
            for order in mine:
                url = reverse("customer:order", kwargs={"order_number": order.number})
                self.shown(browser, url, [line.title for line in order.lines.all()])
            for order in others:
                for _ in range(2):
                    url = reverse("customer:order", kwargs={"order_number": order.number})
                    self.page(browser, url, 404)
            self.agree(
                UserRecord.objects.filter(user=browser.user).values_list(
                    "num_orders", "total_spent"
                ),
                "SELECT count(*), sum(total_incl_tax) FROM order_order WHERE user_id = %s",
                browser.user.pk,
            )

    def test_the_address_book(self) -> None:
        ann, bob = self.customer("ann"), self.customer("bob")
        book = reverse("customer:address-list")
        for browser in (ann, bob):
            self.shown(browser, book, [], ["High Street"])
        self.add(ann, self.emma)
        self.check_out(ann)
        self.shown(ann, book, ["1 High Street"])
        self.shown(bob, book, [], ["High Street"])
        self.add(ann, self.emma)
        address = UserAddress.objects.get()
        self.shown(ann, reverse("checkout:shipping-address"), ["1 High Street"])
        detail = reverse("customer:address-detail", kwargs={"pk": address.pk})
        form = self.page(ann, detail).context["form"]
        self.page(bob, detail, 404)
        self.post(ann, detail, self.filled(form, line1="2 Low Street"))
        self.shown(ann, book, ["2 Low Street"], ["High Street"])
        self.agree(
            ann.user.addresses.values_list("line1", "num_orders_as_shipping_address"),
            "SELECT line1, num_orders_as_shipping_address FROM address_useraddress",
        )
        self.post(ann, reverse("customer:address-delete", kwargs={"pk": address.pk}))
        self.shown(ann, book)
        self.shown(ann, book, [], ["Low Street"])

    def test_a_voucher_that_is_used_up(self) -> None:
        factories.create_voucher(code="ONCE", usage=Voucher.SINGLE_USE)
        ann, bob = self.customer("ann"), self.customer("bob")
        for browser in (ann, bob):
            self.add(browser, self.emma)
            self.post(browser, reverse("basket:vouchers-add"), {"code": "once"})
            self.same(lambda browser=browser: self.basket(browser).total_excl_tax, Decimal(8))
        order = self.check_out(ann)
        self.assertEqual(order.total_excl_tax, 8)
        self.same(lambda: self.basket(bob).total_excl_tax, Decimal(10))
        voucher = Voucher.objects.get()
        self.same(lambda: voucher.is_available_to_user(bob.user)[0], False)
        # Oscar has written the order by the time that it looks at its vouchers.
        orders = Order.objects.order_by("pk").values_list("number")
        basket = self.basket(bob)
        with self.assertRaises(ValueError):
            factories.create_order(basket=basket, user=bob.user)
        self.agree(orders, "SELECT number FROM order_order")
        self.same(lambda: orders.count(), 1)
        self.agree(
            Voucher.objects.values_list("num_orders", "total_discount"),
            "SELECT num_orders, total_discount FROM voucher_voucher",
        )
        self.agree(
            order.discounts.values_list("voucher_code", "amount"),
            "SELECT voucher_code, amount FROM order_orderdiscount",
        )


class Orders(OrderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = self.customer("ann")
        self.add(self.ann, self.emma, 3)
        self.add(self.ann, self.dune, 2)

    def test_an_order_that_is_undone(self) -> None:
        before = self.check_basket(self.ann)

        def counts() -> list[tuple[Any, ...]]:
            self.agree(
                Order.objects.order_by("pk").values_list("number"), "SELECT number FROM order_order"
            )
            return rows(
                "SELECT (SELECT count(*) FROM order_order), (SELECT count(*) FROM order_line),"
                " (SELECT sum(num_allocated) FROM partner_stockrecord)"
            )

        self.assertEqual(counts(), [(0, 0, None)])
        basket = Basket.objects.get(owner=self.ann.user)
        for _ in range(2):
            with transaction.atomic():
                order = factories.create_order(basket=self.basket(self.ann), user=self.ann.user)
                self.check(order)
                self.shown(self.ann, HISTORY, [order.number])
                self.assertEqual(counts(), [(1, 2, 5)])
                self.assertNotEqual(self.check_basket(self.ann), before)
                transaction.set_rollback(True)
            self.assertEqual(counts(), [(0, 0, None)])
            self.assertEqual(self.check_basket(self.ann), before)
            self.shown(self.ann, HISTORY, ["You haven't placed any orders"])
            self.same(lambda: Basket.objects.get(pk=basket.pk).status, "Open")

    def test_statuses(self) -> None:
        order = self.check_out(self.ann)
        url = reverse("customer:order", kwargs={"order_number": order.number})
        self.shown(self.ann, url, ["Pending"])
        handler = EventHandler()
        handler.handle_order_status_change(order, "Paid", "Money came")
        self.check(order)
        self.shown(self.ann, url, ["Paid"])
        self.same(lambda: order.notes.count(), 1)
        with self.assertRaises(InvalidOrderStatus), transaction.atomic():
            handler.handle_order_status_change(order, "Cancelled")
            self.check(order)
            self.shown(self.ann, url, ["Cancelled"])
            handler.handle_order_status_change(order, "Shipped")
        self.check(order)
        self.shown(self.ann, url, ["Paid"], ["Cancelled"])
        order = Order.objects.get()
        handler.handle_order_status_change(order, "Cancelled")
        handler.cancel_stock_allocations(order)
        self.check(order)
        self.assertEqual(rows("SELECT sum(num_allocated) FROM partner_stockrecord"), [(0,)])

    def test_lines_are_shipped(self) -> None:
        order = self.check_out(self.ann)
        shipped = ShippingEventType.objects.create(name="Shipped")
        handler = EventHandler()
        emma, dune = order.lines.all()

        def check() -> None:
            self.check(order)
            for line in (emma, dune):
                ((number,),) = rows(
                    "SELECT coalesce(sum(quantity), 0) FROM order_shippingeventquantity"
                    " WHERE line_id = %s",
                    line.pk,
                )
                self.same(lambda line=line: line.shipping_event_quantity(shipped), number)

        check()
        self.same(lambda: order.shipping_status, "")
        handler.handle_shipping_event(order, shipped, [emma], [2])
        handler.consume_stock_allocations(order, [emma], [2])
        check()
        self.same(lambda: str(order.shipping_status), "In progress")
        with self.assertRaises(InvalidShippingEvent), transaction.atomic():
            handler.handle_shipping_event(order, shipped, [dune], [2])
            check()
            self.same(lambda: dune.shipping_status, "Shipped")
            handler.handle_shipping_event(order, shipped, [emma], [2])
        check()
        self.same(lambda: dune.shipping_status, "")
        handler.handle_shipping_event(order, shipped, [emma, dune], [1, 2])
        handler.consume_stock_allocations(order, [emma, dune], [1, 2])
        check()
        self.same(lambda: order.shipping_status, "Shipped")
        self.shown(self.ann, self.emma.get_absolute_url(), ["In stock (6 available)"])

    def test_ordered_again(self) -> None:
        order = self.check_out(self.ann)
        self.assertEqual(self.check_basket(self.ann), [])
        url = reverse("customer:order", kwargs={"order_number": order.number})
        self.post(self.ann, url, {"action": "reorder"})
        self.assertEqual(self.check_basket(self.ann), [(self.emma.pk, 3), (self.dune.pk, 2)])
        self.dune.delete()
        self.assertEqual(self.check_basket(self.ann), [(self.emma.pk, 3)])
        self.shown(self.ann, url, ["Dune"])
        self.same(lambda: order.lines.filter(product=None).count(), 1)

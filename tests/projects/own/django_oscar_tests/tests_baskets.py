"""Baskets of visitors and customers over HTTP, with offers and vouchers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.urls import reverse
from oscar.core.loading import get_model
from oscar.test import factories
from truth import rows

from django_oscar_tests.shop import Basket, ShopTestCase

Benefit = get_model("offer", "Benefit")
ConditionalOffer = get_model("offer", "ConditionalOffer")
Voucher = get_model("voucher", "Voucher")

SUMMARY = reverse("basket:summary")


class Baskets(ShopTestCase):
    def test_a_visitor(self) -> None:
        visitor = self.visitor()
        self.same(lambda: self.basket(visitor).num_items, 0)
        self.add(visitor, self.emma)
        self.assertEqual(self.check_basket(visitor), [(self.emma.pk, 1)])
        self.add(visitor, self.emma, 2)
        self.add(visitor, self.dune)
        self.assertEqual(self.check_basket(visitor), [(self.emma.pk, 3), (self.dune.pk, 1)])
        self.change_lines(visitor, 5, 2)
        self.assertEqual(self.check_basket(visitor), [(self.emma.pk, 5), (self.dune.pk, 2)])
        self.change_lines(visitor, 0, 2)
        self.assertEqual(self.check_basket(visitor), [(self.dune.pk, 2)])
        self.shown(visitor, SUMMARY, ["Dune"], ["Emma"])

    def test_no_more_than_there_is(self) -> None:
        visitor = self.visitor()
        self.add(visitor, self.ulysses, 3)
        self.same(lambda: self.basket(visitor).num_items, 0)
        self.add(visitor, self.ulysses, 2)
        self.assertEqual(self.check_basket(visitor), [(self.ulysses.pk, 2)])
        for number, text in ((1, "In stock (1 available)"), (0, "Unavailable"), (5, "5 available")):
            self.ulysses.stockrecords.update(num_in_stock=number)
            self.shown(visitor, SUMMARY, [text])

    def test_prices_change(self) -> None:
        visitor = self.visitor()
        self.add(visitor, self.emma, 2)
        self.same(lambda: self.basket(visitor).total_excl_tax, Decimal(20))
        self.emma.stockrecords.update(price="12.50")
        self.same(lambda: self.basket(visitor).total_excl_tax, Decimal(25))
        self.shown(visitor, SUMMARY, ["has increased from", "£25.00"])

    def test_everyone_has_their_own(self) -> None:
        ann, bob, visitor = self.customer("ann"), self.customer("bob"), self.visitor()
        self.add(ann, self.emma, 2)
        self.add(bob, self.dune, 3)
        self.add(visitor, self.ulysses)
        for _ in range(2):
            self.assertEqual(self.check_basket(ann), [(self.emma.pk, 2)])
            self.assertEqual(self.check_basket(bob), [(self.dune.pk, 3)])
            self.assertEqual(self.check_basket(visitor), [(self.ulysses.pk, 1)])
        self.change_lines(bob, 0)
        self.assertEqual(self.check_basket(bob), [])
        self.assertEqual(self.check_basket(ann), [(self.emma.pk, 2)])

    def test_merged_when_they_log_in(self) -> None:
        ann = self.customer("ann")
        self.add(ann, self.emma, 2)
        self.check_basket(ann)
        visitor = self.visitor()
        self.add(visitor, self.dune)
        self.add(visitor, self.emma)
        self.check_basket(visitor)
        self.post(
            visitor,
            reverse("customer:login"),
            {
                "login-username": "ann@example.com",
                "login-password": "secret",
                "login-redirect_url": SUMMARY,
                "login_submit": "1",
            },
        )
        self.basket(visitor)
        visitor.user = ann.user
        merged = {(self.emma.pk, 2), (self.dune.pk, 1)}
        self.assertEqual(set(self.check_basket(visitor)), merged)
        self.assertEqual(set(self.check_basket(ann)), merged)
        self.agree(
            Basket.objects.order_by("pk").values_list("status", "owner"),
            "SELECT status, owner_id FROM basket_basket ORDER BY id",
        )
        self.assertEqual(rows("SELECT count(*) FROM basket_basket WHERE status = 'Merged'"), [(1,)])
        self.post(visitor, reverse("customer:logout"))
        del visitor.user
        self.same(lambda: self.basket(visitor).num_items, 0)

    def test_saved_for_later(self) -> None:
        ann = self.customer("ann")
        self.add(ann, self.emma)
        self.add(ann, self.dune)
        self.check_basket(ann)
        formset = self.page(ann, SUMMARY).context["formset"]
        self.post(ann, SUMMARY, self.filled(formset) | {"form-0-save_for_later": "on"})
        self.assertEqual(self.check_basket(ann), [(self.dune.pk, 1)])
        saved = self.page(ann, SUMMARY).context["saved_formset"]
        self.assertEqual([form.instance.product for form in saved.forms], [self.emma])
        data = self.filled(saved) | {"saved-0-move_to_basket": "on"}
        self.post(ann, reverse("basket:saved"), data)
        self.assertEqual(self.check_basket(ann), [(self.emma.pk, 1), (self.dune.pk, 1)])
        self.same(lambda: "saved_formset" in self.page(ann, SUMMARY).context, False)

    def test_what_is_undone(self) -> None:
        ann = self.customer("ann")
        self.add(ann, self.emma)
        before = self.check_basket(ann)
        for change in (
            lambda: self.add(ann, self.dune, 2),
            lambda: self.change_lines(ann, 0),
            lambda: Basket.objects.get(owner=ann.user).freeze(),
        ):
            with transaction.atomic():
                change()
                self.assertNotEqual(self.check_basket(ann), before)
                transaction.set_rollback(True)
            self.assertEqual(self.check_basket(ann), before)


class Offers(ShopTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = self.customer("ann")
        self.add(self.ann, self.emma, 2)

    def total(self, expected: str) -> None:
        """Have the page show twice what the basket costs."""
        self.same(lambda: self.basket(self.ann).total_excl_tax, Decimal(expected))
        self.shown(self.ann, SUMMARY, [f"£{expected}"])

    def voucher(self, **kwargs: Any) -> Any:
        return factories.create_voucher(code="HALF", **kwargs)

    def enter(self, code: str) -> None:
        self.post(self.ann, reverse("basket:vouchers-add"), {"code": code})

    def test_an_offer_of_the_shop(self) -> None:
        self.total("20.00")
        offer = factories.create_offer(name="A fifth off")
        self.total("16.00")
        self.shown(self.ann, reverse("offer:list"), ["A fifth off"])
        Benefit.objects.update(value=50)
        self.total("10.00")
        offer.suspend()
        self.total("20.00")
        self.shown(self.ann, reverse("offer:list"), [], ["A fifth off"])
        offer.unsuspend()
        self.total("10.00")
        ConditionalOffer.objects.all().delete()
        self.total("20.00")

    def test_products_of_an_offer(self) -> None:
        few = factories.RangeFactory(name="Few", products=[self.dune])
        factories.create_offer(
            product_range=few,
            condition=factories.ConditionFactory(range=few, type="Count", value=1),
            benefit=factories.BenefitFactory(range=few, type="Percentage", value=50),
        )
        self.total("20.00")
        few.add_product(self.emma)
        self.total("10.00")
        few.remove_product(self.emma)
        self.total("20.00")
        few.included_categories.add(self.fiction)
        self.total("20.00")
        few.excluded_products.clear()
        self.total("10.00")
        self.emma.categories.set([self.space])
        self.total("10.00")
        self.space.move(self.fiction, "right")
        self.total("20.00")

    def test_a_voucher(self) -> None:
        self.enter("half")
        self.total("20.00")
        voucher = self.voucher()
        self.enter("half")
        self.total("16.00")
        taken = "SELECT code FROM voucher_voucher ORDER BY id"
        self.agree(Voucher.objects.order_by("pk").values_list("code"), taken)
        self.same(lambda: self.basket(self.ann).contains_voucher("HALF"), True)
        Voucher.objects.update(end_datetime=voucher.start_datetime)
        self.total("20.00")
        self.same(lambda: Voucher.objects.get().is_expired(), True)
        Voucher.objects.update(end_datetime=voucher.end_datetime)
        self.total("16.00")
        self.post(self.ann, reverse("basket:vouchers-remove", kwargs={"pk": voucher.pk}))
        self.total("20.00")
        self.same(lambda: self.basket(self.ann).contains_voucher("HALF"), False)

    def test_a_voucher_is_of_one_basket(self) -> None:
        self.voucher()
        bob = self.customer("bob")
        self.add(bob, self.emma, 2)
        self.enter("half")
        self.total("16.00")
        self.same(lambda: self.basket(bob).total_excl_tax, Decimal(20))
        self.same(lambda: self.basket(bob).vouchers.count(), 0)
        self.agree(
            Basket.vouchers.through.objects.values_list("basket_id", "voucher_id"),
            "SELECT basket_id, voucher_id FROM basket_basket_vouchers",
        )
        with transaction.atomic():
            Voucher.objects.all().delete()
            self.total("20.00")
            transaction.set_rollback(True)
        self.total("16.00")

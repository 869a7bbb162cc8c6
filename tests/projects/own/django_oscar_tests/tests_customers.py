"""What customers have of their own: accounts, wish lists and messages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from oscar.core.loading import get_model
from truth import rows

from django_oscar_tests.shop import ShopTestCase

Email = get_model("communication", "Email")
Notification = get_model("communication", "Notification")
WishList = get_model("wishlists", "WishList")


class WishLists(ShopTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann, self.bob = self.customer("ann"), self.customer("bob")

    def url(self, name: str, **kwargs: Any) -> str:
        return reverse(f"customer:wishlists-{name}", kwargs=kwargs)

    def check(self) -> None:
        """Compare the lists of everyone, over HTTP and by the ORM, with the tables."""
        for browser in (self.ann, self.bob):
            mine = rows(
                "SELECT id, name, key FROM wishlists_wishlist WHERE owner_id = %s ORDER BY id",
                browser.user.pk,
            )
            others = rows(
                "SELECT key, visibility FROM wishlists_wishlist WHERE owner_id != %s",
                browser.user.pk,
            )
            for _ in range(2):
                page = self.page(browser, self.url("list"))
                self.assertEqual(
                    sorted((one.pk, one.name) for one in page.context["wishlists"]),
                    [one[:2] for one in mine],
                )
                for pk, name, key in mine:
                    page = self.page(browser, self.url("detail", key=key))
                    self.assertContains(page, name)
                    truth = rows(
                        "SELECT product_id, quantity FROM wishlists_line WHERE wishlist_id = %s"
                        " ORDER BY id",
                        pk,
                    )
                    found = page.context["wishlist"].lines.order_by("pk")
                    self.assertEqual([(one.product_id, one.quantity) for one in found], truth)
                for key, visibility in others:
                    self.page(browser, self.url("detail", key=key), 404)
                    shared = reverse("wishlists:detail", kwargs={"key": key})
                    self.page(browser, shared, 200 if visibility == "Public" else 403)

    def create(self, browser: Client, name: str) -> Any:
        page = self.page(browser, self.url("create"))
        forms = page.context["form"], page.context["shared_emails_formset"]
        self.post(browser, self.url("create"), self.filled(*forms, name=name))
        return WishList.objects.get(name=name)

    def test_lists(self) -> None:
        self.check()
        self.post(self.ann, self.url("add-product", product_pk=self.emma.pk))
        self.check()
        self.post(self.bob, self.url("add-product", product_pk=self.dune.pk))
        self.check()
        self.post(self.ann, self.url("add-product", product_pk=self.emma.pk))
        self.check()
        other = self.create(self.ann, "Birthday")
        self.check()
        first = self.ann.user.wishlists.exclude(pk=other.pk).get()
        self.post(self.ann, self.url("add-product", key=first.key, product_pk=self.dune.pk))
        self.check()
        line = first.lines.get(product=self.emma)
        move = self.url("move-product-to-another", key=first.key, line_pk=line.pk, to_key=other.key)
        self.page(self.ann, move, 302)
        self.check()
        remove = self.url("remove-product", key=other.key, line_pk=line.pk)
        self.assertEqual(self.bob.post(remove).status_code, 404)
        self.check()
        self.post(self.ann, remove)
        self.check()
        self.post(self.ann, self.url("delete", key=first.key))
        self.check()
        self.assertEqual(rows("SELECT count(*) FROM wishlists_line"), [(1,)])

    def test_quantities_and_visibility(self) -> None:
        wishes = self.create(self.ann, "Birthday")
        wishes.add(self.emma)
        wishes.add(self.dune)
        self.check()
        detail = self.url("detail", key=wishes.key)
        formset = self.page(self.ann, detail).context["form"]
        data = self.filled(formset) | {"lines-0-quantity": 4, "lines-1-quantity": 0}
        self.post(self.ann, detail, data)
        self.check()
        for visibility in ("Public", "Private"):
            page = self.page(self.ann, self.url("update", key=wishes.key))
            forms = page.context["form"], page.context["shared_emails_formset"]
            data = self.filled(*forms, visibility=visibility)
            self.post(self.ann, self.url("update", key=wishes.key), data)
            self.check()

    def test_what_is_undone(self) -> None:
        wishes = self.create(self.ann, "Birthday")
        self.check()
        with transaction.atomic():
            wishes.add(self.emma)
            self.check()
            with transaction.atomic():
                self.bob.user.wishlists.create(name="Short").add(self.dune)
                WishList.objects.filter(pk=wishes.pk).update(name="Changed")
                self.check()
                transaction.set_rollback(True)
            self.check()
            self.post(self.bob, self.url("add-product", product_pk=self.emma.pk))
            self.check()
            transaction.set_rollback(True)
        self.check()
        self.assertEqual(rows("SELECT name FROM wishlists_wishlist"), [("Birthday",)])


class Accounts(ShopTestCase):
    def test_registration_and_profile(self) -> None:
        visitor = self.visitor()
        profile = reverse("customer:profile-view")
        self.page(visitor, profile, 302)
        self.same(lambda: User.objects.filter(email="cat@example.com").exists(), False)
        self.post(
            visitor,
            reverse("customer:login"),
            {
                "registration-email": "cat@example.com",
                "registration-password1": "a long one indeed",
                "registration-password2": "a long one indeed",
                "registration_submit": "1",
            },
        )
        self.same(lambda: User.objects.filter(email="cat@example.com").exists(), True)
        self.shown(visitor, profile, ["cat@example.com"])
        update = reverse("customer:profile-update")
        form = self.page(visitor, update).context["form"]
        self.post(visitor, update, self.filled(form, first_name="Catherine"))
        self.shown(visitor, profile, ["Catherine"])
        self.agree(
            User.objects.order_by("pk").values_list("email", "first_name"),
            "SELECT email, first_name FROM auth_user ORDER BY id",
        )
        self.post(visitor, reverse("customer:profile-delete"), {"password": "a long one indeed"})
        self.page(visitor, profile, 302)
        self.same(lambda: User.objects.count(), 0)

    def test_messages_are_of_one(self) -> None:
        ann, bob = self.customer("ann"), self.customer("bob")
        inbox = reverse("customer:notifications-inbox")
        emails = reverse("customer:email-list")
        for browser in (ann, bob):
            self.shown(browser, inbox, [], ["Hello"])
            self.shown(browser, emails, [], ["Hello"])
        Notification.objects.create(recipient=ann.user, subject="Hello ann", body="Good day")
        Email.objects.bulk_create(
            [Email(user=one.user, subject=f"Hello {one.user}", body_text="") for one in (ann, bob)]
        )
        self.shown(ann, inbox, ["Hello ann"])
        self.shown(bob, inbox, [], ["Hello"])
        self.shown(ann, emails, ["Hello ann"], ["Hello bob"])
        self.shown(bob, emails, ["Hello bob"], ["Hello ann"])
        note = Notification.objects.get()
        detail = reverse("customer:notifications-detail", kwargs={"pk": note.pk})
        self.page(bob, detail, 404)
        self.shown(ann, detail, ["Good day"])
        self.same(lambda: Notification.objects.get().is_read, True)
        update = reverse("customer:notifications-update")
        self.post(ann, update, {"action": "archive", "selected_notification": note.pk})
        self.shown(ann, inbox, [], ["Hello ann"])
        self.shown(ann, reverse("customer:notifications-archive"), ["Hello ann"])
        self.post(ann, update, {"action": "delete", "selected_notification": note.pk})
        self.shown(ann, reverse("customer:notifications-archive"), [], ["Hello ann"])

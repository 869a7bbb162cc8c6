"""What staff change in the dashboard, and what customers then see."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import reverse
from oscar.core.loading import get_model
from oscar.test import factories
from truth import rows

from django_oscar_tests.shop import TITLES, Category, Order, Product, ShopTestCase

OrderNote = get_model("order", "OrderNote")
Range = get_model("offer", "Range")
ShippingEventType = get_model("order", "ShippingEventType")


class DashboardTestCase(ShopTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clerk = self.staff()
        self.visiting = self.visitor()

    def url(self, name: str, **kwargs: Any) -> str:
        return reverse(f"dashboard:{name}", kwargs=kwargs)

    def listed(self, name: str, table: str, field: str, query: str = "") -> list[Any]:
        """Return what a table of the dashboard lists."""
        page = self.page(self.clerk, f"{self.url(name)}{query}")
        return [getattr(row, field) for row in page.context[table].data]


class CatalogueOfStaff(DashboardTestCase):
    def check(self) -> None:
        """Compare the list of products, of staff and of visitors, with the tables."""
        everything = rows("SELECT title FROM catalogue_product WHERE parent_id IS NULL")
        self.same(
            lambda: sorted(self.listed("catalogue-product-list", "products", "title")),
            sorted(title for (title,) in everything),
        )
        index = reverse("catalogue:index")
        self.same(
            lambda: [one.object.title for one in self.visiting.get(index).context["products"]],
            [title for (title,) in rows(TITLES)],
        )

    def form(self, url: str) -> dict[str, Any]:
        """Open the form of a product, and return what a browser would send of it."""
        shown = self.page(self.clerk, url).context
        sets = ("category_formset", "image_formset", "recommended_formset", "stockrecord_formset")
        return self.filled(shown["form"], *(shown[name] for name in sets))

    def edit(self, product: Any, **changed: Any) -> None:
        """Change some fields of a product in its form."""
        url = self.url("catalogue-product", pk=product.pk)
        self.post(self.clerk, url, self.form(url) | changed)

    def test_products(self) -> None:
        self.check()
        self.edit(self.emma, title="Persuasion")
        self.check()
        self.edit(
            self.emma, **{"stockrecords-0-price": "12.50", "stockrecords-0-num_in_stock": "4"}
        )
        url = Product.objects.get(pk=self.emma.pk).get_absolute_url()
        self.shown(self.visiting, url, ["£12.50", "In stock (4 available)"])
        self.edit(self.emma, **{"productcategory_set-0-category": self.space.pk})
        page = self.space.get_absolute_url
        self.shown(self.visiting, page(), ["Persuasion"])
        self.edit(self.dune, **{"recommendations-0-recommendation": self.emma.pk})
        self.shown(self.visiting, self.dune.get_absolute_url(), ["Persuasion"])
        self.post(self.clerk, self.url("catalogue-product-delete", pk=self.emma.pk))
        self.check()
        self.shown(self.visiting, page(), ["Dune"], ["Persuasion"])
        self.shown(self.visiting, self.dune.get_absolute_url(), [], ["Persuasion"])

    def test_a_new_product(self) -> None:
        self.check()
        url = self.url("catalogue-product-create", product_class_slug=self.books.slug)
        data = self.form(url) | {
            "title": "Ilium",
            "productcategory_set-0-category": self.space.pk,
            "stockrecords-0-partner": self.emma.stockrecords.get().partner_id,
            "stockrecords-0-partner_sku": "ilium",
            "stockrecords-0-price": "3.00",
            "stockrecords-0-num_in_stock": "1",
        }
        without = {**data, "stockrecords-0-price": "dear"}
        self.assertEqual(self.clerk.post(url, without).status_code, 200)
        self.check()
        self.post(self.clerk, url, data)
        self.check()
        self.same(
            lambda: self.listed("catalogue-product-list", "products", "title", "?title=ili"),
            ["Ilium"],
        )
        self.shown(self.visiting, self.space.get_absolute_url(), ["Ilium", "Dune"])

    def test_many_products(self) -> None:
        self.check()
        data = {"action": "make_products_non_public"}
        data["selected_product"] = [self.emma.pk, self.dune.pk]
        done = self.post(self.clerk, self.url("catalogue-product-list"), data)
        form = self.page(self.clerk, done.url).context["form"]
        chosen = {"select_all_standalones": "on", "confirm": "on"}
        self.post(self.clerk, done.url, self.filled(form, **chosen))
        self.assertEqual(rows(TITLES), [("Ulysses",)])
        self.check()

    def test_categories(self) -> None:
        def check() -> None:
            names = rows("SELECT name FROM catalogue_category WHERE depth = 1 ORDER BY path")
            self.same(
                lambda: self.listed("catalogue-category-list", "categories", "name"),
                [name for (name,) in names],
            )
            menu = rows("SELECT name, is_public FROM catalogue_category WHERE depth = 1")
            there = [f">{name}</a>" for name, is_public in menu if is_public]
            gone = [f">{name}</a>" for name, is_public in menu if not is_public]
            self.shown(self.visiting, reverse("basket:summary"), there, gone)

        check()
        url = self.url("catalogue-category-create")
        form = self.page(self.clerk, url).context["form"]
        for name, position, node in (
            ("Music", "left", self.fiction.pk),
            ("Opera", "first-child", self.fiction.pk),
        ):
            place = {"treebeard_position": position, "treebeard_ref_node": node}
            old = {"_position": position, "_ref_node_id": node}
            self.post(self.clerk, url, self.filled(form, name=name, is_public="on", **place, **old))
            check()
        opera = Category.objects.get(name="Opera")
        self.same(lambda: opera.get_parent(update=True).name, "Fiction")
        self.post(
            self.clerk,
            self.url("catalogue-category-list"),
            {"action": "make_non_public", "selected_category": [self.fiction.pk]},
        )
        check()
        self.page(self.visiting, self.fiction.get_absolute_url(), 404)
        self.post(self.clerk, self.url("catalogue-category-delete", pk=self.fiction.pk))
        check()
        self.assertEqual(rows("SELECT name FROM catalogue_category"), [("Music",)])

    def test_ranges(self) -> None:
        url = self.url("range-create")
        form = self.page(self.clerk, url).context["form"]
        self.post(self.clerk, url, self.filled(form, name="Few", is_public="on"))
        few = Range.objects.get()
        edit = self.url("range-products", pk=few.pk)
        shown = few.get_absolute_url()
        self.shown(self.visiting, shown, [], ["Emma", "Dune"])
        skus = [one.stockrecords.get().partner_sku for one in (self.emma, self.dune)]
        self.post(
            self.clerk,
            edit,
            {"action": "add_products", "upload_type": "included", "query": ", ".join(skus)},
        )
        self.shown(self.visiting, shown, ["Emma", "Dune"])
        self.post(
            self.clerk,
            edit,
            {"action": "remove_selected_products", "selected_product": self.emma.pk},
        )
        self.shown(self.visiting, shown, ["Dune"], ["Emma"])
        self.post(self.clerk, self.url("range-delete", pk=few.pk))
        for _ in range(2):
            self.page(self.visiting, shown, 404)

    def test_it_is_not_for_everyone(self) -> None:
        ann = self.customer("ann")
        url = self.url("catalogue-product-list")
        for _ in range(2):
            self.page(self.visiting, url, 302)
            self.page(ann, url, 403)
            self.page(self.clerk, url)
        partner = self.emma.stockrecords.get().partner
        other = factories.PartnerFactory(name="Other")
        self.dune.stockrecords.update(partner=other)
        permission = get_model("auth", "Permission").objects.get(codename="dashboard_access")
        ann.user.user_permissions.add(permission)
        for chosen in (partner, other):
            chosen.users.add(ann.user)
            truth = rows(
                "SELECT DISTINCT record.product_id FROM partner_stockrecord record"
                " JOIN partner_partner_users mine ON mine.partner_id = record.partner_id"
                " WHERE mine.user_id = %s",
                ann.user.pk,
            )
            self.same(
                lambda: {(row.pk,) for row in self.page(ann, url).context["products"].data},
                set(truth),
            )
        ann.user.user_permissions.clear()
        for _ in range(2):
            self.page(ann, url, 403)


class OrdersOfStaff(DashboardTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann, self.bob = self.customer("ann"), self.customer("bob")
        self.orders = []
        for browser in (self.ann, self.bob):
            self.add(browser, self.emma)
            self.add(browser, self.dune, 2)
            basket = self.basket(browser)
            self.orders.append(factories.create_order(basket=basket, user=browser.user))

    def check(self, query: str = "", where: str = "TRUE") -> None:
        """Compare the list of orders with the tables, and each customer's page of theirs."""
        url = f"{self.url('order-list')}?{query}"
        truth = rows(
            f"SELECT number, status FROM order_order WHERE {where} ORDER BY date_placed DESC"
        )
        self.same(
            lambda: [
                (order.number, order.status)
                for order in self.page(self.clerk, url).context["orders"]
            ],
            truth,
        )
        for browser, order in zip((self.ann, self.bob), self.orders, strict=True):
            ((status,),) = rows("SELECT status FROM order_order WHERE id = %s", order.pk)
            mine = reverse("customer:order", kwargs={"order_number": order.number})
            self.shown(browser, mine, [f"<p>{status}</p>"])
            self.shown(self.clerk, self.url("order-detail", number=order.number), [status])

    def act(self, order: Any, **data: Any) -> None:
        self.post(self.clerk, self.url("order-detail", number=order.number), data)

    def test_statuses(self) -> None:
        self.check()
        first, second = self.orders
        self.act(first, order_action="change_order_status", new_status="Paid")
        self.check()
        for status in ("Paid", "Pending", "Cancelled"):
            query = f"order_number=&name=&status={status}&response_format=html"
            self.check(query, f"status = '{status}'")
        data = {"action": "change_order_statuses", "new_status": "Cancelled"}
        data["selected_order"] = [first.pk, second.pk]
        self.post(self.clerk, self.url("order-list"), data)
        self.check()
        self.assertEqual(rows("SELECT DISTINCT status FROM order_order"), [("Cancelled",)])
        self.agree(
            OrderNote.objects.order_by("pk").values_list("order_id", "message"),
            "SELECT order_id, message FROM order_ordernote ORDER BY id",
        )

    def test_lines(self) -> None:
        shipped = ShippingEventType.objects.create(name="Sent off", code="sent-off")
        order = self.orders[0]
        line = order.lines.get(product=self.dune)
        chosen = {"selected_line": line.pk, f"selected_line_qty_{line.pk}": 1}
        event = {"line_action": "create_shipping_event", "shipping_event_type": shipped.code}
        event["reference"] = "By post"
        url = self.url("order-line-detail", number=order.number, line_id=line.pk)
        mine = reverse("customer:order", kwargs={"order_number": order.number})
        self.shown(self.clerk, url, ["Pending"], ["By post"])
        self.act(order, **event, **chosen)
        self.shown(self.clerk, url, ["By post"])
        with transaction.atomic():
            self.act(order, **event, **chosen)
            self.same(lambda: line.shipping_status, "Sent off")
            transaction.set_rollback(True)
        self.same(lambda: line.shipping_status, "Sent off (1/2 items)")
        self.act(order, line_action="change_line_statuses", new_status="Paid", **chosen)
        self.shown(self.clerk, url, ["Paid"])
        self.shown(self.clerk, url, ["Paid"], ["Pending"])
        self.shown(self.ann, mine, ["Dune"])

    def test_notes_and_numbers(self) -> None:
        order = self.orders[0]
        url = self.url("order-detail", number=order.number)
        self.shown(self.clerk, url, [], ["Rang twice"])
        self.act(order, order_action="save_note", message="Rang twice")
        self.shown(self.clerk, url, ["Rang twice"])
        self.act(order, order_action="delete_note", note_id=OrderNote.objects.get().pk)
        self.shown(self.clerk, url, [], ["Rang twice"])
        stats = self.url("order-stats")
        for _ in range(2):
            shown = self.page(self.clerk, stats).context
            truth = rows("SELECT count(*), sum(total_incl_tax) FROM order_order")
            self.assertEqual([(shown["total_orders"], shown["total_revenue"])], truth)
            Order.objects.first().delete()
        index = self.page(self.clerk, self.url("index")).context
        self.assertEqual(index["total_orders"], 0)

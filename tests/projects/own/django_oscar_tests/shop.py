"""A shop with two categories and three products, and how its tests ask it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms import BaseForm, BaseFormSet
from django.test import Client, TransactionTestCase
from django.urls import reverse
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.core.loading import get_model
from oscar.test import factories
from truth import rows

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
ProductClass = get_model("catalogue", "ProductClass")
StockRecord = get_model("partner", "StockRecord")

#: The lines of a basket, of a customer's or of an anonymous one, as the database has them.
LINES = """
    SELECT line.product_id, line.quantity FROM basket_line line
    JOIN basket_basket basket ON basket.id = line.basket_id
    WHERE basket.status = 'Open' AND basket.{owner} = %s ORDER BY line.id
"""
TITLES = "SELECT title FROM catalogue_product WHERE parent_id IS NULL AND is_public ORDER BY id"


class ShopTestCase(TransactionTestCase):
    """Writes are committed, so that what is read after them can come from the shared cache."""

    def setUp(self) -> None:
        factories.CountryFactory(is_shipping_country=True)
        self.books = ProductClass.objects.create(name="Books")
        self.fiction = create_from_breadcrumbs("Fiction")
        self.space = create_from_breadcrumbs("Fiction > Space")
        self.emma = self.stock("Emma", "10.00", 9, self.fiction)
        self.dune = self.stock("Dune", "7.50", 9, self.space)
        self.ulysses = self.stock("Ulysses", "20.25", 2, self.fiction)

    def stock(self, title: str, price: str, number: int, *categories: Any) -> Any:
        """Add a product to the shop."""
        product = factories.create_product(
            title=title, product_class="Books", price=Decimal(price), num_in_stock=number
        )
        for category in categories:
            product.categories.add(category)
        return product

    def visitor(self) -> Client:
        return Client()

    def customer(self, name: str, **rights: bool) -> Client:
        """Register somebody, and return the browser with which they are logged in."""
        user = User.objects.create_user(name, f"{name}@example.com", "secret", **rights)
        browser = Client()
        browser.force_login(user, "oscar.apps.customer.auth_backends.EmailBackend")
        browser.user = user
        return browser

    def staff(self) -> Client:
        return self.customer("staff", is_staff=True, is_superuser=True)

    def agree(self, query: QuerySet[Any], sql: str, *params: Any) -> None:
        """Have a query of tuples say twice what the database says past the ORM."""
        truth = rows(sql, *params)
        for _ in range(2):
            self.assertEqual([tuple(row) for row in query.all()], truth)

    def same(self, read: Callable[[], Any], expected: Any) -> None:
        """Have a read say twice what is expected."""
        for _ in range(2):
            self.assertEqual(read(), expected)

    def page(self, browser: Client, url: str, status: int = 200, **kwargs: Any) -> Any:
        """Get a page and return the response."""
        response = browser.get(url, **kwargs)
        self.assertEqual(response.status_code, status, url)
        return response

    def shown(self, browser: Client, url: str, there: Any = (), gone: Any = ()) -> None:
        """Have a page show twice what is there, and nothing of what is gone."""
        for _ in range(2):
            response = self.page(browser, url)
            for text in there:
                self.assertContains(response, text)
            for text in gone:
                self.assertNotContains(response, text)

    def post(self, browser: Client, url: str, data: Any = None, **kwargs: Any) -> Any:
        """Send a form and return the response, which leads on to another page."""
        response = browser.post(url, data or {}, **kwargs)
        self.assertEqual(response.status_code, 302, "the form was not taken")
        return response

    def filled(self, *forms: BaseForm | BaseFormSet[Any], **changed: Any) -> dict[str, Any]:
        """Return what a browser would send of forms that it shows, with some fields changed."""
        data: dict[str, Any] = {}
        for form in forms:
            if isinstance(form, BaseFormSet):
                data |= self.filled(form.management_form, *form.forms)
                continue
            for field in form:
                value = field.value()
                if value is None or value is False:
                    continue
                data[field.html_name] = getattr(value, "pk", value)
                if field.field.show_hidden_initial:
                    data[field.html_initial_name] = value
        return data | changed

    def add(self, browser: Client, product: Any, quantity: int = 1) -> None:
        """Put a product into the basket."""
        url = reverse("basket:add", kwargs={"pk": product.pk})
        self.post(browser, url, {"quantity": quantity, "next": reverse("basket:summary")})

    def basket(self, browser: Client) -> Any:
        """Return the basket that the basket's page shows."""
        return self.page(browser, reverse("basket:summary")).context["basket"]

    def check_basket(self, browser: Client) -> list[tuple[Any, ...]]:
        """Have the basket's page show twice what is in the basket, and return that."""
        user = getattr(browser, "user", None)
        owner, value = ("owner_id", user.pk) if user else ("id", self.basket(browser).pk)
        truth = rows(LINES.format(owner=owner), value)
        for _ in range(2):
            basket = self.basket(browser)
            found = [(line.product_id, line.quantity) for line in basket.all_lines()]
            self.assertEqual(found, truth)
            self.assertEqual(basket.num_items, sum(quantity for _, quantity in truth))
        return truth

    def change_lines(self, browser: Client, *quantities: int) -> None:
        """Set the quantities in the basket; a line with none goes."""
        formset = self.page(browser, reverse("basket:summary")).context["formset"]
        data = self.filled(formset)
        for number, quantity in enumerate(quantities):
            data[f"form-{number}-quantity"] = quantity
        self.post(browser, reverse("basket:summary"), data)

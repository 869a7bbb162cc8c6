"""Categories that are moved about, products and their attributes, and the pages that show them."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.urls import reverse
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.core.loading import get_model
from truth import rows

from django_oscar_tests.shop import TITLES, Category, Product, ProductClass, ShopTestCase

ProductAttribute = get_model("catalogue", "ProductAttribute")
ProductAttributeValue = get_model("catalogue", "ProductAttributeValue")
ProductReview = get_model("reviews", "ProductReview")

IN_CATEGORY = """
    SELECT DISTINCT product.title FROM catalogue_product product
    JOIN catalogue_productcategory placed ON placed.product_id = product.id
    JOIN catalogue_category category ON category.id = placed.category_id
    WHERE category.path LIKE %s AND product.is_public AND product.parent_id IS NULL
    ORDER BY product.title
"""


class Undone(Exception):
    pass


class Categories(ShopTestCase):
    def check(self) -> None:
        """Compare the tree, and the page of each category, with what the paths say."""
        found = rows("SELECT id, path, name, is_public FROM catalogue_category ORDER BY path")
        visitor = self.visitor()
        for _ in range(2):
            for pk, path, name, is_public in found:
                category = Category.objects.get(pk=pk)
                above = [one for one in found if path.startswith(one[1]) and one[1] != path]
                below = [one[0] for one in found if one[1].startswith(path) and one[1] != path]
                names = " > ".join([one[2] for one in above] + [name])
                self.assertEqual(category.full_name, names)
                self.assertEqual(
                    [one.pk for one in category.get_ancestors()], [a[0] for a in above]
                )
                self.assertEqual([one.pk for one in category.get_descendants()], below)
                children = [one[0] for one in found if one[1][:-4] == path]
                self.assertEqual([one.pk for one in category.get_children()], children)
                self.assertEqual(category.get_num_children(), len(children))
                visible = all(one[3] for one in above)
                self.assertEqual(category.ancestors_are_public, visible, names)
                if not is_public:
                    self.page(visitor, category.get_absolute_url(), 404)
                    continue
                page = self.page(visitor, category.get_absolute_url())
                titles = sorted(result.object.title for result in page.context["products"])
                self.assertEqual(titles, [title for (title,) in rows(IN_CATEGORY, f"{path}%")])

    def at(self, name: str) -> Any:
        return Category.objects.get(name=name)

    def test_moves(self) -> None:
        create_from_breadcrumbs("Fiction > Space > War")
        create_from_breadcrumbs("Music")
        self.check()
        self.at("Space").move(self.at("Music"), "first-child")
        self.check()
        self.at("Music").move(self.at("Fiction"), "left")
        self.check()
        self.at("War").move(self.at("Music"), "first-sibling")
        self.check()
        self.at("Fiction").add_child(name="Crime", slug="crime")
        self.at("Crime").add_sibling("left", name="Comedy", slug="comedy")
        self.check()
        self.at("Fiction").delete()
        self.check()
        Category.fix_tree(fix_paths=True)
        self.check()

    def test_what_is_public(self) -> None:
        create_from_breadcrumbs("Fiction > Space > War")
        self.check()
        for name, is_public in (("Space", False), ("Fiction", False), ("Space", True)):
            category = self.at(name)
            category.is_public = is_public
            category.save()
            self.check()
        Category.objects.update(is_public=True)
        Category.fix_tree()
        self.check()
        self.agree(
            Category.objects.browsable().values_list("name"),
            "SELECT name FROM catalogue_category WHERE is_public AND ancestors_are_public"
            " ORDER BY path",
        )

    def test_moves_that_are_undone(self) -> None:
        create_from_breadcrumbs("Music")
        self.check()
        with self.assertRaises(Undone), transaction.atomic():
            self.at("Space").move(self.at("Music"), "first-child")
            self.check()
            with self.assertRaises(Undone), transaction.atomic():
                self.at("Fiction").delete()
                self.check()
                raise Undone
            self.check()
            self.dune.categories.set([self.at("Fiction")])
            self.check()
            raise Undone
        self.check()

    def test_products_that_change_category(self) -> None:
        self.check()
        self.emma.categories.set([self.space])
        self.check()
        self.dune.categories.clear()
        self.check()
        self.space.product_set.add(self.ulysses, self.dune)
        self.check()
        Product.objects.filter(pk=self.dune.pk).update(is_public=False)
        self.check()
        self.emma.delete()
        self.check()


class Products(ShopTestCase):
    def check(self) -> None:
        """Compare the list of all products, and what the pages of each say, with the tables."""
        visitor = self.visitor()
        everything = [title for (title,) in rows(TITLES)]
        index = reverse("catalogue:index")
        self.same(
            lambda: [one.object.title for one in visitor.get(index).context["products"]], everything
        )
        prices = rows(
            "SELECT product.id, record.price FROM catalogue_product product"
            " LEFT JOIN partner_stockrecord record ON record.product_id = product.id"
            " WHERE product.is_public AND product.parent_id IS NULL"
        )
        for pk, price in prices:
            product = Product.objects.get(pk=pk)
            if price is not None and product.is_standalone:
                self.shown(visitor, product.get_absolute_url(), [product.title, f"£{price:.2f}"])

    def test_lists_and_pages(self) -> None:
        self.check()
        self.emma.title = "Persuasion"
        self.emma.save()
        self.check()
        self.stock("Ilium", "5.00", 1, self.space)
        self.check()
        self.dune.stockrecords.update(price="8.75")
        self.check()
        Product.objects.filter(title__in=["Ilium", "Dune"]).delete()
        self.check()
        with self.assertRaises(Undone), transaction.atomic():
            Product.objects.bulk_create(
                Product(title=title, slug=title, product_class=self.books) for title in "abc"
            )
            self.check()
            raise Undone
        self.check()

    def test_searches(self) -> None:
        visitor = self.visitor()
        url = f"{reverse('search:search')}?q=u"

        def found() -> list[str]:
            return [one.object.title for one in visitor.get(url).context["page_obj"].object_list]

        self.same(found, ["Dune", "Ulysses"])
        Product.objects.filter(title="Emma").update(description="A rumour")
        self.same(found, ["Emma", "Dune", "Ulysses"])
        self.dune.is_public = False
        self.dune.save()
        self.same(found, ["Emma", "Ulysses"])

    def test_attributes(self) -> None:
        for code, kind in (("pages", "integer"), ("language", "text"), ("bound", "boolean")):
            ProductAttribute.objects.create(
                product_class=self.books, name=code.title(), code=code, type=kind
            )
        sql = """
            SELECT product.title, a.code, value.value_integer, value.value_text,
                value.value_boolean
            FROM catalogue_productattributevalue value
            JOIN catalogue_productattribute a ON a.id = value.attribute_id
            JOIN catalogue_product product ON product.id = value.product_id
            ORDER BY product.id, a.code
        """
        values = ProductAttributeValue.objects.order_by(
            "product_id", "attribute__code"
        ).values_list(
            "product__title", "attribute__code", "value_integer", "value_text", "value_boolean"
        )

        def check() -> None:
            self.agree(values, sql)
            for _ in range(2):
                for title, code, *value in rows(sql):
                    product = Product.objects.get(title=title)
                    expected = next(one for one in value if one is not None)
                    self.assertEqual(getattr(product.attr, code), expected)
                    by_value = Product.objects.filter_by_attributes(**{code: expected})
                    self.assertIn(product, by_value)

        check()
        for title, pages in (("Emma", 474), ("Dune", 412)):
            product = Product.objects.get(title=title)
            product.attr.pages, product.attr.language, product.attr.bound = pages, "en", True
            product.save()
            check()
        self.same(lambda: Product.objects.filter_by_attributes(pages__gt=450).count(), 1)
        dune = Product.objects.get(title="Dune")
        dune.attr.pages = 896
        dune.attr.save()
        check()
        self.same(lambda: Product.objects.filter_by_attributes(pages__gt=450).count(), 2)
        with self.assertRaises(Undone), transaction.atomic():
            ProductAttribute.objects.filter(code="language").delete()
            check()
            raise Undone
        check()
        self.shown(self.visitor(), dune.get_absolute_url(), ["<td>896</td>"])

    def test_variants(self) -> None:
        visitor = self.visitor()
        parent = Product.objects.create(
            structure=Product.PARENT, title="Atlas", product_class=self.books
        )
        url = parent.get_absolute_url()
        self.shown(visitor, url, ["Atlas"], ["Large"])
        for title in ("Large", "Small"):
            child = Product.objects.create(structure=Product.CHILD, parent=parent, title=title)
            child.stockrecords.create(
                partner=self.emma.stockrecords.get().partner,
                partner_sku=title,
                price=4,
                num_in_stock=1,
            )
            self.shown(visitor, url, [title])
        self.agree(
            parent.get_public_children().order_by("pk").values_list("title"),
            "SELECT title FROM catalogue_product WHERE parent_id = %s AND is_public ORDER BY id",
            parent.pk,
        )
        parent.children.filter(title="Large").update(is_public=False)
        self.shown(visitor, url, ["Small"], ["Large"])
        parent.children.all().delete()
        self.shown(visitor, url, [], ["Small"])
        self.same(lambda: ProductClass.objects.get(products=parent), self.books)

    def test_reviews_make_the_rating(self) -> None:
        visitor = self.visitor()
        url = self.emma.get_absolute_url()
        self.shown(visitor, url, [], ["Splendid"])
        for score in (5, 2):
            self.post(
                visitor if score == 5 else self.visitor(),
                reverse(
                    "catalogue:reviews-add",
                    kwargs={"product_slug": self.emma.slug, "product_pk": self.emma.pk},
                ),
                {
                    "title": "Splendid",
                    "body": "Read it.",
                    "score": score,
                    "name": f"Reader {score}",
                    "email": f"reader{score}@example.com",
                },
            )
            self.shown(visitor, url, [f"Reader {score}"])
            self.agree(
                Product.objects.filter(pk=self.emma.pk).values_list("rating"),
                "SELECT avg(score) FROM reviews_productreview WHERE product_id = %s",
                self.emma.pk,
            )
        ProductReview.objects.filter(score=2).delete()
        self.shown(visitor, url, ["Reader 5"], ["Reader 2"])
        self.agree(
            Product.objects.filter(pk=self.emma.pk).values_list("rating"),
            "SELECT rating FROM catalogue_product WHERE id = %s",
            self.emma.pk,
        )

"""A catalogue page of thirty queries, as pages grow over the years."""

from __future__ import annotations

from django.db.models import Avg, Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from benchmarks.shop.models import Category, Maker, Product, Review

#: One for each line below that asks, and two for each product of the list.
PRODUCTS = 10


def catalogue(request: HttpRequest, category: int) -> HttpResponse:
    """A category: navigation, products with their reviews, numbers, and boxes at the side."""
    here = Category.objects.get(pk=category)
    inside = Product.objects.filter(category=here)
    products = list(inside.select_related("maker").order_by("name")[:PRODUCTS])
    context = {
        "category": here,
        "navigation": list(Category.objects.order_by("name")),
        "total": inside.count(),
        "products": [
            {
                "product": product,
                "rating": Review.objects.filter(product=product).aggregate(mean=Avg("stars")),
                "reviews": list(Review.objects.filter(product=product).order_by("-pk")[:3]),
            }
            for product in products
        ],
        "makers": list(Maker.objects.filter(product__category=here).distinct().order_by("name")),
        "newest": list(Product.objects.order_by("-added")[:5]),
        "cheapest": inside.order_by("price").first(),
        "in_stock": inside.filter(stock__gt=0).exists(),
        "stars": list(
            Review.objects.filter(product__category=here)
            .values("stars")
            .annotate(number=Count("pk"))
            .order_by("stars")
        ),
        "other": Category.objects.filter(pk__gt=category).order_by("pk").first(),
    }
    return render(request, "benchmarks/catalogue.html", context)

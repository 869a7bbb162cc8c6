"""The admin of the shop."""

from __future__ import annotations

from django.contrib import admin

from benchmarks.shop.models import Product


class ProductAdmin(admin.ModelAdmin):
    """A change list as sites have it: relations in columns, filters and a search."""

    list_display = ("name", "category", "maker", "price", "stock", "added")
    list_select_related = ("category", "maker")
    list_filter = ("category", "maker__country")
    search_fields = ("name",)
    list_per_page = 100


admin.site.register(Product, ProductAdmin)

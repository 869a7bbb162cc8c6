"""Fills the shop, the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from django.apps import apps
from django.db import connection, models

from benchmarks.shop.models import Category, Maker, Parcel, Product, Review, Visit

CATEGORIES = 40
PRODUCTS = 2000
REVIEWS = 6000
PARCELS = 200
VISITS = 200

START = datetime(2024, 1, 1, tzinfo=UTC)


def open_shop() -> None:
    """Make the tables and their rows, numbered from 1, and let the database look at them."""
    with connection.schema_editor() as editor:
        for model in apps.get_app_config("shop").get_models():
            editor.create_model(model)
    rng = Random(1)
    _insert([Category(pk=n + 1, name=f"Category {n + 1}") for n in range(CATEGORIES)])
    _insert([Maker(pk=n + 1, name=f"Maker {n + 1}", country="FR") for n in range(100)])
    _insert(
        [
            Product(
                pk=n + 1,
                name=f"Product {n + 1} of the shop",
                category_id=n % CATEGORIES + 1,
                maker_id=rng.randint(1, 100),
                price=Decimal(rng.randrange(100, 100_000)) / 100,
                stock=rng.randrange(1000),
                description=f"What product {n + 1} is good for. " * 3,
                added=START + timedelta(minutes=n, microseconds=rng.randrange(10**6)),
            )
            for n in range(PRODUCTS)
        ]
    )
    _insert(
        [
            Review(product_id=rng.randint(1, PRODUCTS), stars=rng.randint(1, 5), text="Well made.")
            for _ in range(REVIEWS)
        ]
    )
    _insert([Parcel(pk=n + 1, code=f"P{n + 1}") for n in range(PARCELS)])
    _insert([Visit(pk=n + 1, page=f"/page/{n + 1}") for n in range(VISITS)])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Rows were given their keys, which sequences know nothing of.
            for table in ("shop_parcel", "shop_visit"):
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100000)")
            cursor.execute("VACUUM ANALYZE")
        elif connection.vendor == "sqlite":
            cursor.execute("ANALYZE")


def _insert(rows: list[models.Model]) -> None:
    type(rows[0])._default_manager.bulk_create(rows, batch_size=500)

"""Fills the shop, the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from django.db import connection, models

from benchmarks.shop.models import (
    WIDE,
    Category,
    Event,
    Maker,
    Parcel,
    Product,
    Reading,
    Review,
    Sheet,
    Visit,
)

CATEGORIES = 40
MAKERS = 100
PRODUCTS = 2000
REVIEWS = 6000
PARCELS = 200
VISITS = 200
READINGS = 10_100
EVENTS = 200
SHEETS = 200

START = datetime(2024, 1, 1, tzinfo=UTC)


def fill() -> None:
    """Insert rows, numbered from 1, and let the database look at them."""
    rng = Random(1)
    _insert([Category(pk=n, name=f"Category {n}") for n in _numbers(CATEGORIES)])
    _insert([Maker(pk=n, name=f"Maker {n}", country="FR") for n in _numbers(MAKERS)])
    _insert([_product(n, rng) for n in _numbers(PRODUCTS)])
    _insert(
        [
            Review(product_id=rng.randint(1, PRODUCTS), stars=rng.randint(1, 5), text="Well made.")
            for _ in range(REVIEWS)
        ]
    )
    _insert([Parcel(pk=n, code=f"P{n}") for n in _numbers(PARCELS)])
    _insert([Visit(pk=n, page=f"/page/{n}") for n in _numbers(VISITS)])
    _insert(
        [
            Reading(pk=n, sensor=n % 50, value=rng.random(), note=f"reading {n}")
            for n in _numbers(READINGS)
        ]
    )
    _insert([_event(n, rng) for n in _numbers(EVENTS)])
    _insert([_sheet(n, rng) for n in _numbers(SHEETS)])
    _settle()


def _numbers(count: int) -> range:
    return range(1, count + 1)


def _product(number: int, rng: Random) -> Product:
    return Product(
        pk=number,
        name=f"Product {number} of the shop",
        category_id=(number - 1) % CATEGORIES + 1,
        maker_id=rng.randint(1, MAKERS),
        price=Decimal(rng.randrange(100, 100_000)) / 100,
        stock=rng.randrange(1000),
        description=f"What product {number} is good for. " * 3,
        added=START + timedelta(minutes=number, microseconds=rng.randrange(10**6)),
    )


def _event(number: int, rng: Random) -> Event:
    began = START + timedelta(minutes=number, microseconds=rng.randrange(10**6))
    return Event(
        pk=number,
        code=UUID(int=rng.getrandbits(128), version=4),
        parent=UUID(int=rng.getrandbits(128), version=4),
        began=began,
        ended=began + timedelta(seconds=rng.randrange(10**5)),
        price=Decimal(rng.randrange(10**8)) / 100,
        tax=Decimal(rng.randrange(10**6)) / 100,
        data={"tags": ["new", f"t{number}"], "size": {"x": number, "y": 1.5}, "seen": True},
        size=number,
    )


def _sheet(number: int, rng: Random) -> Sheet:
    columns: dict[str, Any] = {
        f"column{column}": rng.randrange(10**6) if column % 2 else f"cell {column} of {number}"
        for column in range(WIDE)
    }
    return Sheet(pk=number, size=number, **columns)


def _settle() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Rows were given their keys, which sequences know nothing of.
            for table in ("shop_parcel", "shop_visit"):
                cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100000)")
            cursor.execute("VACUUM ANALYZE")
        elif connection.vendor == "sqlite":
            cursor.execute("ANALYZE")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            tables = ", ".join(connection.introspection.table_names())
            cursor.execute(f"ANALYZE TABLE {tables}")


def _insert(rows: list[models.Model]) -> None:
    type(rows[0])._default_manager.bulk_create(rows, batch_size=500)

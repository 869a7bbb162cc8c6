"""A small shop: products in categories by makers, reviews and orders; and rows of all sorts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

#: Columns of a wide row besides its key and its group.
WIDE = 40


class Category(models.Model):
    name = models.CharField(max_length=60)

    objects: ClassVar[models.Manager[Category]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Maker(models.Model):
    name = models.CharField(max_length=60)
    country = models.CharField(max_length=2)

    objects: ClassVar[models.Manager[Maker]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=120)
    category = models.ForeignKey(Category, models.CASCADE)
    maker = models.ForeignKey(Maker, models.CASCADE)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField(default=0)
    views = models.IntegerField(default=0)
    description = models.TextField(default="")
    added = models.DateTimeField()

    objects: ClassVar[models.Manager[Product]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    stars = models.IntegerField()
    text = models.TextField(default="")

    objects: ClassVar[models.Manager[Review]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.stars}"


class Order(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    quantity = models.IntegerField()
    at = models.DateTimeField()

    objects: ClassVar[models.Manager[Order]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.quantity}"


class Parcel(models.Model):
    """Written by what measures writes, and read by nothing else."""

    code = models.CharField(max_length=20)
    weight = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Parcel]] = models.Manager()

    def __str__(self) -> str:
        return self.code


class Visit(models.Model):
    """Left out of every cache that can leave a table out."""

    page = models.CharField(max_length=60)
    count = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Visit]] = models.Manager()

    def __str__(self) -> str:
        return self.page


class Reading(models.Model):
    """Narrow rows, many of them."""

    sensor = models.IntegerField()
    value = models.FloatField()
    note = models.CharField(max_length=20)

    objects: ClassVar[models.Manager[Reading]] = models.Manager()

    def __str__(self) -> str:
        return self.note


class Event(models.Model):
    """Rows of rich types."""

    code = models.UUIDField()
    parent = models.UUIDField()
    began = models.DateTimeField()
    ended = models.DateTimeField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    tax = models.DecimalField(max_digits=12, decimal_places=2)
    data = models.JSONField(default=dict)
    size = models.IntegerField()

    objects: ClassVar[models.Manager[Event]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.code}"


class Sheet(models.Model):
    """Wide rows: see below."""

    size = models.IntegerField()

    objects: ClassVar[models.Manager[Sheet]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.pk}"


for _number in range(WIDE):
    _field: models.Field = models.IntegerField() if _number % 2 else models.CharField(max_length=40)
    Sheet.add_to_class(f"column{_number}", _field)

"""A small shop: products in categories by makers, with reviews and orders."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


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

"""Continents, countries and cities."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Continent(models.Model):
    """Seven of them."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=50)

    objects: ClassVar[models.Manager[Continent]] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Country(models.Model):
    """What ISO 3166 calls a country."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=100)
    capital = models.CharField(max_length=100)
    continent = models.ForeignKey(Continent, models.CASCADE, related_name="countries")
    area = models.PositiveIntegerField(help_text="square kilometres")
    population = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    neighbours = models.ManyToManyField("self")

    objects: ClassVar[models.Manager[Country]] = models.Manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class City(models.Model):
    """A city of at least 15,000 people, by its number at geonames.org."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200, db_index=True)
    country = models.ForeignKey(Country, models.CASCADE, related_name="cities")
    region = models.CharField(max_length=20)
    population = models.BigIntegerField(db_index=True)
    latitude = models.FloatField()
    longitude = models.FloatField()
    timezone = models.CharField(max_length=50)

    objects: ClassVar[models.Manager[City]] = models.Manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

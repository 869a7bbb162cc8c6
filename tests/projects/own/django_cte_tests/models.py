from __future__ import annotations

from django.db import models


class Region(models.Model):
    name = models.CharField(max_length=50, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    region = models.ForeignKey(Region, models.CASCADE)
    amount = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.amount} in {self.region_id}"

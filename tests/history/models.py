"""Tables whose rows are registers: each holds a value that its one writer only ever raises."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Account(models.Model):
    """Two rows of each writer."""

    value = models.BigIntegerField(default=0)

    objects: ClassVar[models.Manager[Account]] = models.Manager()

    class Meta:
        app_label = "history"

    def __str__(self) -> str:
        return f"{self.value}"


class Ledger(models.Model):
    """Two rows of each writer, each beside the account with the same key."""

    account = models.OneToOneField(Account, models.CASCADE)
    value = models.BigIntegerField(default=0)

    objects: ClassVar[models.Manager[Ledger]] = models.Manager()

    class Meta:
        app_label = "history"

    def __str__(self) -> str:
        return f"{self.value}"


class Event(models.Model):
    """Rows that are only ever added, and counted."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="events")

    objects: ClassVar[models.Manager[Event]] = models.Manager()

    class Meta:
        app_label = "history"

    def __str__(self) -> str:
        return f"{self.pk}"

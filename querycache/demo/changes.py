"""What the site's editors do to the data meanwhile: every kind of write, in transactions too."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

from django.db import transaction
from django.db.models import F

from querycache.demo.models import City

Check = Callable[[], None]
Change = Callable[["Editor"], None]

#: Cities that editors make have numbers from here on.
_FIRST_NUMBER: Final = 1_000_000_000


class Editor:
    """One process's writes.

    Args:
        index: of the process, from 0; no two editors make the same city.
        check: compares what the cache says with the database; called within transactions.
    """

    def __init__(self, index: int, check: Check) -> None:
        self.check = check
        self._random = random.Random(index)
        self._numbers = iter(range(_FIRST_NUMBER + index * 1_000_000, 2 * _FIRST_NUMBER))
        self._made: list[int] = []

    def save(self) -> None:
        """Give one of the large cities another population."""
        city = self._large()
        city.population += self._random.randint(1, 5000)
        city.save(update_fields=["population"])

    def update(self) -> None:
        """Give all cities of a country another population, in one UPDATE."""
        country = self._random.choice(["FR", "IN", "BR", "DE", "JP"])
        City.objects.filter(country=country).update(population=F("population") + 1)

    def insert(self) -> None:
        """Found a city."""
        number = next(self._numbers)
        City.objects.create(
            id=number,
            name=f"San Demo {number}",
            country_id="FR",
            region="00",
            population=self._random.randint(15_000, 30_000_000),
            latitude=0.0,
            longitude=0.0,
            timezone="Europe/Paris",
        )
        self._made.append(number)

    def delete(self) -> None:
        """Give up a city that this editor has founded."""
        if not self._made:
            self.insert()
        City.objects.filter(id=self._made.pop()).delete()

    def move(self) -> None:
        """Move people from one city to another, in one transaction that sees what it has done."""
        with transaction.atomic():
            source, target = self._large(), self._large()
            City.objects.filter(pk=source.pk).update(population=F("population") - 1000)
            self.check()
            City.objects.filter(pk=target.pk).update(population=F("population") + 1000)
            self.check()

    def undo(self) -> None:
        """Do several things and take them back, first by a savepoint, then all of them."""
        with transaction.atomic():
            City.objects.filter(country="FR").update(population=0)
            self.check()
            with transaction.atomic():
                City.objects.filter(country="JP").delete()
                self.check()
                transaction.set_rollback(True)
            self.check()
            transaction.set_rollback(True)

    def _large(self) -> City:
        large = City.objects.filter(population__gte=5_000_000, id__lt=_FIRST_NUMBER)
        return self._random.choice(list(large.order_by("id")))


#: Name → write, in the order that editors go through them.
CHANGES: Final[dict[str, Change]] = {
    "save": Editor.save,
    "insert": Editor.insert,
    "transaction": Editor.move,
    "update": Editor.update,
    "rolled back": Editor.undo,
    "delete": Editor.delete,
}


def changes(start: int) -> Iterator[tuple[str, Change]]:
    """Give the writes over and over, beginning at another one for each process."""
    names = list(CHANGES)
    start %= len(names)
    return cycle([(name, CHANGES[name]) for name in names[start:] + names[:start]])

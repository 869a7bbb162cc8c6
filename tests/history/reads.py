"""The ways of reading: each is one statement, and gives the registers that it has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Count, Max

from tests.history.models import Account, Event, Ledger
from tests.history.registers import (
    ACCOUNT,
    COUNT,
    LEDGER,
    PAIR,
    paired_row,
    place_of_row,
    register,
    single_row,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one read has seen of one register.

    Args:
        register: its number.
        value: what was read.
        twin: the other value of a pair that the same statement has read, else None.
    """

    register: int
    value: int
    twin: int | None = None


Look = Callable[[int], list[Seen]]

#: Writer → the value of its account that this process has seen last.
_latest: dict[int, int] = {}


def account(writer: int) -> list[Seen]:
    """`get()` of one row."""
    found = Account.objects.get(pk=single_row(writer))
    return [Seen(register(writer, ACCOUNT), found.value)]


def ledger(writer: int) -> list[Seen]:
    """`first()` of a filter."""
    found = Ledger.objects.filter(account_id=single_row(writer)).first()
    return [Seen(register(writer, LEDGER), -1 if found is None else found.value)]


def accounts(writer: int) -> list[Seen]:
    """A list of all rows of a table."""
    rows = Account.objects.order_by("pk").values_list("pk", "value")
    return [Seen(place_of_row(pk, ACCOUNT), value) for pk, value in rows]


def few(writer: int) -> list[Seen]:
    """A list of some rows, which are known once it has been read."""
    first, last = single_row(writer), paired_row(writer)
    rows = Account.objects.filter(pk__gte=first, pk__lte=last)[:10]
    return [Seen(place_of_row(found.pk, ACCOUNT), found.value) for found in rows]


def there(writer: int) -> list[Seen]:
    """`exists()`: whether what was seen last is still there; if not, `get()`."""
    row = single_row(writer)
    value = _latest.get(writer)
    rows = Account.objects.filter(pk__gte=row, pk__lte=row, value=value)
    if value is not None and rows.exists():
        return [Seen(register(writer, ACCOUNT), value)]
    (seen,) = account(writer)
    _latest[writer] = seen.value
    return [seen]


def count(writer: int) -> list[Seen]:
    """`count()` of a filter."""
    found = Event.objects.filter(account_id=single_row(writer)).count()
    return [Seen(register(writer, COUNT), found)]


def events(writer: int) -> list[Seen]:
    """The rows that refer to another."""
    found = Event.objects.filter(account_id=single_row(writer)).values_list("pk", flat=True)
    return [Seen(register(writer, COUNT), len(found))]


def join(writer: int) -> list[Seen]:
    """All rows of two tables, joined."""
    seen = []
    for found in Ledger.objects.select_related("account").order_by("pk"):
        value, other = found.account.value, found.value
        if place_of_row(found.pk, PAIR) == place_of_row(found.pk, ACCOUNT):
            seen.append(Seen(place_of_row(found.pk, PAIR), value, other))
        else:
            seen.append(Seen(place_of_row(found.pk, ACCOUNT), value))
            seen.append(Seen(place_of_row(found.pk, LEDGER), other))
    return seen


def annotated(writer: int) -> list[Seen]:
    """A row with the count of rows of another table."""
    rows = Account.objects.filter(pk=single_row(writer)).annotate(number=Count("events"))
    value, number = rows.values_list("value", "number").get()
    return [Seen(register(writer, ACCOUNT), value), Seen(register(writer, COUNT), number)]


def highest(writer: int) -> list[Seen]:
    """An aggregate over two joined tables."""
    found = Ledger.objects.filter(pk=paired_row(writer)).aggregate(
        value=Max("value"), other=Max("account__value")
    )
    return [Seen(register(writer, PAIR), found["other"], found["value"])]


async def account_async(writer: int) -> list[Seen]:
    """`aget()` of one row."""
    found = await Account.objects.aget(pk=single_row(writer))
    return [Seen(register(writer, ACCOUNT), found.value)]


async def accounts_async(writer: int) -> list[Seen]:
    """`async for` over a table."""
    rows = Account.objects.order_by("pk").values_list("pk", "value")
    return [Seen(place_of_row(pk, ACCOUNT), value) async for pk, value in rows]


async def count_async(writer: int) -> list[Seen]:
    """`acount()` of a filter."""
    found = await Event.objects.filter(account_id=single_row(writer)).acount()
    return [Seen(register(writer, COUNT), found)]


#: All ways, by their names.
LOOKS: dict[str, Look] = {
    each.__name__: each
    for each in (account, ledger, accounts, few, there, count, events, join, annotated, highest)
}
ASYNC_LOOKS = (account_async, accounts_async, count_async)

"""The ways of writing; each says beforehand what it is going to commit, and what to undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection, transaction

from tests.history import reads
from tests.history.models import Account, Event, Ledger
from tests.history.records import Kind
from tests.history.registers import (
    ACCOUNT,
    COUNT,
    LEDGER,
    PAIR,
    paired_row,
    register,
    single_row,
)

if TYPE_CHECKING:
    from tests.history.writer import Writer

Way = Callable[["Writer"], None]


class Undone(Exception):
    """Rolls a block back."""


def update(writer: Writer) -> None:
    """`update()` in autocommit."""
    value = writer.next_value()
    with writer.committing((ACCOUNT, value)):
        Account.objects.filter(pk=single_row(writer.number)).update(value=value)


def save(writer: Writer) -> None:
    """`save()` in autocommit."""
    value = writer.next_value()
    row = single_row(writer.number)
    with writer.committing((LEDGER, value)):
        Ledger(pk=row, account_id=row, value=value).save()


def raw(writer: Writer) -> None:
    """A cursor in autocommit."""
    value = writer.next_value()
    with writer.committing((ACCOUNT, value)), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE history_account SET value = %s WHERE id = %s",
            [value, single_row(writer.number)],
        )


def atomic(writer: Writer) -> None:
    """Two tables in a transaction, which reads its own writes."""
    value = writer.next_value()
    row = paired_row(writer.number)
    with writer.committing((PAIR, value)), transaction.atomic():
        Account.objects.filter(pk=row).update(value=value)
        Ledger.objects.filter(pk=row).update(value=value)
        _sees_itself(writer, "highest", PAIR, value)
        transaction.on_commit(lambda: _sees_itself(writer, "highest", PAIR, value))


def several(writer: Writer) -> None:
    """Three statements in a transaction, one of them raw."""
    value = writer.next_value()
    row = single_row(writer.number)
    with writer.committing((ACCOUNT, value), (LEDGER, value)), transaction.atomic():
        found = Account.objects.get(pk=row)
        found.value = value
        found.save(update_fields=["value"])
        _sees_itself(writer, "account", ACCOUNT, value)
        with connection.cursor() as cursor:
            cursor.executemany("UPDATE history_ledger SET value = %s WHERE id = %s", [(value, row)])
        _sees_itself(writer, "ledger", LEDGER, value)


def rolled_back(writer: Writer) -> None:
    """A transaction that is rolled back."""
    value = writer.next_value()
    row = single_row(writer.number)
    with writer.undoing((ACCOUNT, value)), _undone():
        Account.objects.filter(pk=row).update(value=value)
        _sees_itself(writer, "account", ACCOUNT, value)
        raise Undone


def savepoint(writer: Writer) -> None:
    """A transaction with a savepoint that is rolled back."""
    undone, value = writer.next_value(), writer.next_value()
    row = single_row(writer.number)
    with writer.committing((LEDGER, value)), transaction.atomic():
        Ledger.objects.filter(pk=row).update(value=value)
        _sees_itself(writer, "ledger", LEDGER, value)
        with writer.undoing((LEDGER, undone)), _undone():
            Ledger.objects.filter(pk=row).update(value=undone)
            _sees_itself(writer, "ledger", LEDGER, undone)
            raise Undone
        _sees_itself(writer, "ledger", LEDGER, value)


def bulk_update(writer: Writer) -> None:
    """`bulk_update()` of two tables in a transaction."""
    value = writer.next_value()
    row = paired_row(writer.number)
    with writer.committing((PAIR, value)), transaction.atomic():
        Account.objects.bulk_update([Account(pk=row, value=value)], ["value"])
        Ledger.objects.bulk_update([Ledger(pk=row, value=value)], ["value"])


def create(writer: Writer) -> None:
    """`create()` of a row that refers to another."""
    with writer.committing((COUNT, writer.events + 1)):
        Event.objects.create(account_id=single_row(writer.number))
    writer.events += 1


def bulk_create(writer: Writer) -> None:
    """`bulk_create()` of a few rows."""
    number = writer.choose.randint(1, 3)
    row = single_row(writer.number)
    with writer.committing((COUNT, writer.events + number)):
        Event.objects.bulk_create([Event(account_id=row) for _ in range(number)])
    writer.events += number


@contextmanager
def _undone() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except Undone:
        pass


def _sees_itself(writer: Writer, look: str, place: int, value: int) -> None:
    number = register(writer.number, place)
    for seen in reads.LOOKS[look](writer.number):
        if seen.register == number:
            for found in (seen.value, value if seen.twin is None else seen.twin):
                writer.compare(Kind.OWN, number, found, value)


#: All ways, by their names.
WAYS: dict[str, Way] = {
    each.__name__: each
    for each in (
        update,
        save,
        raw,
        atomic,
        several,
        rolled_back,
        savepoint,
        bulk_update,
        create,
        bulk_create,
    )
}

"""Which row is which register."""

from __future__ import annotations

#: Registers of one writer, by their place among them.
ACCOUNT, LEDGER, PAIR, COUNT = range(4)
_PER_WRITER = 4

NAMES = ("account", "ledger", "pair", "count of events")


def register(writer: int, place: int) -> int:
    """Return the number of a register.

    Args:
        writer: the number of who writes it.
        place: `ACCOUNT`, `LEDGER`, `PAIR` or `COUNT`.
    """
    return writer * _PER_WRITER + place


def writer_of(number: int) -> int:
    """Return the number of who writes a register."""
    return number // _PER_WRITER


def name_of(number: int) -> str:
    """Return what people call a register."""
    writer, place = divmod(number, _PER_WRITER)
    return f"{NAMES[place]} of writer {writer}"


def single_row(writer: int) -> int:
    """Return the key of the account, and of the ledger, that is written by itself."""
    return 2 * writer + 1


def paired_row(writer: int) -> int:
    """Return the key of the account and the ledger that are always written together."""
    return 2 * writer + 2


def place_of_row(pk: int, single: int) -> int:
    """Return the register of a row.

    Args:
        pk: its key.
        single: `ACCOUNT` or `LEDGER`, where the row is written by itself.
    """
    writer, paired = divmod(pk - 1, 2)
    return register(writer, PAIR if paired else single)

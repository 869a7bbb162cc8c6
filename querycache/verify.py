"""Comparing what the cache would serve with what the database says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from querycache import codec
from querycache.cache import Row
from querycache.exceptions import StaleHit

logger = logging.getLogger("querycache.verify")

_SHOWN_ROWS = 5

# In a tuple, since freezegun puts classes of its own in the place of these names in every module.
_MOMENTS = (datetime, date)


def same_rows(cached: Sequence[Row], fresh: Sequence[Row], *, ordered: bool) -> bool:
    """Tell whether two results are the same, values and types.

    A date of a subclass, as SQLite's driver makes them under freezegun, is the date that it equals.

    Args:
        cached: rows from the cache.
        fresh: rows from the database.
        ordered: whether the order counts.
    """
    if len(cached) != len(fresh):
        return False
    try:
        # Encoding makes NaN equal to itself and True different from 1.
        fresh = [tuple(map(_plain, row)) for row in fresh]
        if codec.encode(cached) == codec.encode(fresh):
            return True
        if ordered:
            return False
        return sorted(codec.encode([row]) for row in cached) == sorted(
            codec.encode([row]) for row in fresh
        )
    except codec.Unencodable:
        # The cached rows came out of the codec, so the database now gives another type.
        return False


def _plain(value: Any) -> Any:
    """Return the date or datetime that a value of a subclass stands for, any other as it is."""
    moment, day = _MOMENTS
    if not isinstance(value, day) or type(value) in _MOMENTS:
        return value
    if isinstance(value, moment):
        plain: Any = moment.combine(value.date(), value.timetz())
    else:
        plain = day(value.year, value.month, value.day)
    # A subclass may hold more than its base can say.
    return plain if plain == value else value


def report_difference(
    sql: str, cached: Sequence[Row], fresh: Sequence[Row], *, raises: bool
) -> None:
    """Log both results.

    Raises:
        StaleHit: where `raises` asks for it.
    """
    logger.error(
        "a cached result differs from the database's: %s\n"
        "cached (%d rows): %r\ndatabase (%d rows): %r",
        sql,
        len(cached),
        list(cached[:_SHOWN_ROWS]),
        len(fresh),
        list(fresh[:_SHOWN_ROWS]),
    )
    if raises:
        raise StaleHit(f"a cached result differs from the database's: {sql}")


def report_text(found: object, made: object, *, raises: bool) -> None:
    """Log that a text, or its parameters, are not those that Django makes now.

    Args:
        found: what would have been used.
        made: what Django makes.
        raises: whether that is an error.

    Raises:
        StaleHit: where `raises` asks for it.
    """
    logger.error("a query's text differs from Django's\nours: %r\nDjango's: %r", found, made)
    if raises:
        raise StaleHit(f"a query's text differs from Django's: {made!r}")

"""What the codec does not know is refused by name, and so not cached."""

from __future__ import annotations

import enum
import uuid
from collections import OrderedDict, namedtuple
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, ZoneInfo

import pytest
from django.db.backends.postgresql.psycopg_any import Range

from querycache.codec import Unencodable, encode
from querycache.codec_values import MAX_DEPTH
from tests.codecs import UTC_NOW, assert_round_trip

Point = namedtuple("Point", "x y")


class Text(str):
    __slots__ = ()


class Color(enum.IntEnum):
    RED = 1


class OddZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Text("a"), "Text"),
        (Color.RED, "Color"),
        (Point(1, 2), "Point"),
        (OrderedDict(a=1), "OrderedDict"),
        (1j, "complex"),
        (object(), "object"),
        (int, "type"),
        (type("Sub", (datetime,), {})(2024, 1, 1), "Sub"),
        (type("Amount", (Decimal,), {})("1"), "Amount"),
        (type("Id", (uuid.UUID,), {})(int=1), "Id"),
        (type("Blob", (bytes,), {})(b"a"), "Blob"),
        (type("Ratio", (float,), {})(1.0), "Ratio"),
        (type("Items", (list,), {})([1]), "Items"),
        (type("Span", (Range,), {})(1, 2), "Span"),
        (datetime(2024, 1, 1, tzinfo=OddZone()), "OddZone"),
        (time(1, tzinfo=OddZone()), "OddZone"),
        (memoryview(b"abcd").cast("I"), "memoryview"),
        (memoryview(b"abcd").cast("B", (2, 2)), "memoryview"),
        (timezone(timedelta(0), Text("a")), "timezone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_type_is_named(value: Any, name: str) -> None:
    for rows in (
        [(value,)],
        [(1, "a"), (2, value)],
        [(None,), (value,)],
        [(UTC_NOW, value)],
        [([value],)],
        [({"key": [value]},)],
        [((value,), 2**70)],
    ):
        with pytest.raises(Unencodable, match=rf"\b{name}\b"):
            encode(rows)


def test_a_subclass_as_a_key_or_a_zone_name_is_unknown() -> None:
    with pytest.raises(Unencodable, match="Text"):
        encode([({Text("a"): 1},)])
    with pytest.raises(Unencodable, match="Text"):
        encode([(datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), Text("a"))),)])


@pytest.mark.parametrize("row", [[1, 2], Point(1, 2), {1: 2}, None, "ab"])
def test_a_row_must_be_exactly_a_tuple(row: Any) -> None:
    with pytest.raises(Unencodable, match=type(row).__name__):
        encode([(1, 2), row])


def test_rich_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(Unencodable, match="lengths"):
        encode([(UTC_NOW,), (UTC_NOW, 1)])


def test_a_zone_that_is_not_what_its_key_says_is_refused() -> None:
    path = next(
        Path(root) / "America/New_York"
        for root in TZPATH
        if (Path(root) / "America/New_York").exists()
    )
    for key in (None, "Europe/Berlin", "Nowhere/At_All", "../etc"):
        with path.open("rb") as file:
            zone = ZoneInfo.from_file(file, key=key)
        with pytest.raises(Unencodable, match="ZoneInfo"):
            encode([(datetime(2024, 1, 1, tzinfo=zone),)])


def test_nesting_has_a_limit() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH):
        value = [value]
    assert_round_trip([(value,)])
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Unencodable, match="deep"):
        encode([(value,)])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable, match="deep"):
        encode([(endless,)])
    while value:  # taken apart from outside, which is not left to the interpreter's stack
        value = value.pop()


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(Unencodable, match="columns"):
        encode([(UTC_NOW,) * 10_000])

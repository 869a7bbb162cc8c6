"""What the tests of the codec share: values of every kind, a strict comparison, a memory bound."""

from __future__ import annotations

import ipaddress
import math
import struct
import tracemalloc
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from querycache.codec import decode, encode

UTC_NOW = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


#: What a range consists of, in psycopg 2 and 3.
RANGE = ("_lower", "_upper", "_bounds")


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type all the way down, where `==` alone forgives too much."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is float:
        return struct.pack("d", left) == struct.pack("d", right)
    if kind is Decimal:
        return left.as_tuple() == right.as_tuple()
    if kind is memoryview:
        return left.format == right.format and left == right
    if kind in (list, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if kind is dict:
        return same(list(left.items()), list(right.items()))
    if kind in (set, frozenset):
        return len(left) == len(right) and all(any(same(a, b) for b in right) for a in left)
    if kind in (datetime, time):
        naive = left.replace(tzinfo=None) == right.replace(tzinfo=None)
        return naive and left.fold == right.fold and same_zone(left.tzinfo, right.tzinfo)
    if hasattr(left, "_bounds"):
        # A range of one of the drivers of PostgreSQL.
        return all(same(getattr(left, n), getattr(right, n)) for n in RANGE)
    if kind.__name__ == "Multirange":
        return same(list(left), list(right))
    return bool(left == right)


def same_zone(left: tzinfo | None, right: tzinfo | None) -> bool:
    if type(left) is timezone and type(right) is timezone:
        return left.__getinitargs__() == right.__getinitargs__()  # type: ignore[attr-defined]
    return left is right


def assert_round_trip(rows: list[tuple[Any, ...]]) -> None:
    data = encode(rows)
    assert type(data) is bytes
    result = decode(data)
    assert same(result, rows), f"{result!r} is not {rows!r}"
    assert same(decode(memoryview(data)), rows)
    assert same(decode(encode(rows, compress_above=0)), rows)


class bounded:
    """Fail when the block allocates more than so many bytes at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, *error: object) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < self.limit, f"{peak} bytes"


FLOATS = [0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, 1e16]
FLOATS += [
    struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0xFFF8 << 48, 0x7FF8 << 48 | 77)
]
INTEGERS = [
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**5000,
    -(10**5000),
]
DECIMAL_TEXTS = """
    0 -0 0.00 -0E+3 1.10 1E+3 1E-28 NaN -NaN NaN123 sNaN -sNaN7 Infinity -Infinity
    9.99E+999999 1E-1000000 123456789012345678901234567890.123456789
"""
DECIMALS = list(map(Decimal, DECIMAL_TEXTS.split()))
TEXTS = ["", "a", "é", "日本", "🎉", "\0", "\n", "\ud800", "a\udfffb", '"$"', "$", "x" * 70_000]
ZONES: list[tzinfo] = [
    UTC,
    BERLIN,
    ZoneInfo("UTC"),
    timezone(timedelta(hours=5, minutes=30)),
    timezone(timedelta(0), "Zulu"),
    timezone(timedelta(hours=-3), "Größe"),
    timezone(timedelta(seconds=-7, microseconds=1)),
    timezone(timedelta(hours=1), "\ud800"),
]
DATETIMES = [
    datetime.min,
    datetime.max,
    datetime(2024, 2, 29, 12, 30, 15, 999_999),
    datetime(2024, 10, 27, 2, 30, fold=1),
    *(datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=fold) for zone in ZONES for fold in (0, 1)),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=BERLIN),
    datetime.max.replace(tzinfo=BERLIN),
    datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN),  # a time that the clocks skip
]
TIMES = [
    time.min,
    time.max,
    time(1, 2, 3, 4),
    time(2, 30, fold=1),
    *(time(2, 30, tzinfo=zone, fold=fold) for zone in ZONES for fold in (0, 1)),
]
OTHERS: list[Any] = [
    None,
    True,
    False,
    b"",
    b"\x00\xff",
    b"x" * 300,
    bytearray(b""),
    bytearray(b"ab\n"),
    memoryview(b""),
    memoryview(b"abc"),
    memoryview(b"abcdef")[::2],
    # What psycopg 2 makes of bytea.
    memoryview(b"").cast("c"),
    memoryview(b"abc").cast("c"),
    date.min,
    date.max,
    timedelta(0),
    timedelta(microseconds=-1),
    timedelta.min,
    timedelta.max,
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
    uuid.uuid4(),
    ipaddress.ip_address("192.0.2.1"),
    ipaddress.ip_address("2001:db8::1"),
    ipaddress.ip_address("fe80::1%eth0"),
    ipaddress.ip_interface("192.0.2.1/24"),
    ipaddress.ip_interface("2001:db8::1/64"),
    ipaddress.ip_network("192.0.2.0/24"),
    ipaddress.ip_network("2001:db8::/32"),
    [],
    {},
    (),
    set(),
    frozenset(),
    [1, 2, 3],
    [1.5, -0.0],
    [1.0, math.nan],
    [2**64, 1],
    [True, 1],
    ["a", None, [b"b", (1,)]],
    {"b": 1, "a": {"c": [None]}},
    {"$": 1},
    {"$": ["int", "1"]},
    {"\ud800": 1},
    {1: "a", None: "b", (1, "x"): "c", date(2024, 1, 1): "d", True + 1: "e"},
    {"a", 1, None, (2,), frozenset({3})},
    [Decimal("1.0"), uuid.UUID(int=5), datetime(2024, 1, 1, tzinfo=BERLIN, fold=1)],
]


def ranges() -> list[Any]:
    """Return ranges of psycopg 3; none where psycopg 2 stands in its place, see `ranges2`."""
    try:
        from psycopg.types.multirange import Multirange
        from psycopg.types.range import Int4Range, Range
    except ImportError:
        return []
    return [
        Range(1, 10, "[)"),
        Range(None, None, "[]"),
        Range(Decimal("1.50"), None, "(]"),
        Range(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        Range(empty=True),
        Int4Range(1, 2),
        Multirange([Range(1, 2), Range(5, None)]),
        Multirange(),
        [Range(1, 2)],
    ]


def ranges2() -> list[Any]:
    """Return ranges of psycopg 2, or none."""
    try:
        from psycopg2 import extras
    except ImportError:
        return []
    return [
        extras.NumericRange(1, 10),
        extras.NumericRange(None, Decimal("1.50"), "(]"),
        extras.NumericRange(empty=True),
        extras.DateRange(date(2024, 1, 1), None),
        extras.DateTimeRange(datetime(2024, 1, 1), datetime(2025, 1, 1), "[]"),
        extras.DateTimeTZRange(UTC_NOW, None),
        extras.Range(1, 2),
        [extras.Range(1, 2)],
    ]


OTHERS += [*ranges(), *ranges2()]
VALUES = [*FLOATS, *INTEGERS, *DECIMALS, *TEXTS, *DATETIMES, *TIMES, *OTHERS]

from __future__ import annotations

import enum
import ipaddress
import json
import marshal
import math
import pickle
import random
import sqlite3
import struct
import subprocess
import sys
import threading
import tracemalloc
import uuid
import zlib
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Int4Range, Range

from querycache import codec
from querycache.codec import MAX_INFLATED, Damaged, Unencodable, decode, encode
from querycache.codec_values import MAX_DEPTH
from tests.servers import PostgresServer, Unavailable, require

UTC_NOW = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
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


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type all the way down, where `==` alone forgives too much."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is float:
        return struct.pack("d", left) == struct.pack("d", right)
    if kind is Decimal:
        return left.as_tuple() == right.as_tuple()
    if kind in (list, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if kind is dict:
        return same(list(left.items()), list(right.items()))
    if kind in (set, frozenset):
        return len(left) == len(right) and all(any(same(a, b) for b in right) for a in left)
    if kind in (datetime, time):
        naive = left.replace(tzinfo=None) == right.replace(tzinfo=None)
        return naive and left.fold == right.fold and same_zone(left.tzinfo, right.tzinfo)
    if kind is Range or kind is Int4Range:
        return all(same(getattr(left, n), getattr(right, n)) for n in Range.__slots__)
    if kind is Multirange:
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


# Values

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
VALUES = [*FLOATS, *INTEGERS, *DECIMALS, *TEXTS, *DATETIMES, *TIMES, *OTHERS]


def label(value: Any) -> str:
    number = next(i for i, other in enumerate(VALUES) if other is value)
    return f"{type(value).__name__}-{number}"


@pytest.mark.parametrize("value", VALUES, ids=label)
def test_every_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    assert_round_trip([(value,)])
    assert_round_trip([(1, value, "a")])
    # In a column of its own type that may be None, in one of many types, and in a list.
    assert_round_trip([(None,), (value,), (value,)])
    assert_round_trip([(value, 1), (b"bytes", 2), (1.5, 3), ([], 4)])
    assert_round_trip([([value],), ({"key": value},)])


def test_all_values_in_one_column_and_in_one_row() -> None:
    assert_round_trip([(value, 1) for value in VALUES])
    assert_round_trip([tuple(VALUES), tuple(VALUES)])


@pytest.mark.parametrize("values", [DECIMALS, DATETIMES, TIMES, FLOATS, INTEGERS, TEXTS])
def test_every_pair_of_one_type_shares_a_column(values: list[Any]) -> None:
    for left in values:
        for right in values:
            rows = [(left, "a"), (None, "b"), (right, "c")]
            assert same(decode(encode(rows)), rows)


def test_rows_of_no_columns_and_no_rows() -> None:
    assert_round_trip([])
    assert_round_trip([()])
    assert_round_trip([(), ()])


@pytest.mark.parametrize("count", [15, 16, 17, 255, 256, 65_535, 65_536])
def test_any_number_of_rows_and_columns(count: int) -> None:
    assert_round_trip([(1, "a")] * count)
    assert_round_trip([(1, UTC_NOW)] * count)
    if count < 2000:
        assert_round_trip([(1,) * count])
        assert_round_trip([(UTC_NOW,) * count])


def test_rows_may_be_any_sequence() -> None:
    rows = [(1, "a"), (2, Decimal("1.0"))]
    assert decode(encode(tuple(rows))) == rows


def test_a_decoded_utc_is_the_one_utc_and_named_zones_keep_their_names() -> None:
    named = timezone(timedelta(0), "Zulu")
    rows = [(UTC_NOW, UTC_NOW.replace(tzinfo=named), UTC_NOW.replace(tzinfo=BERLIN))]
    ((utc, zulu, berlin),) = decode(encode(rows))
    assert utc.tzinfo is UTC
    assert zulu.tzname() == "Zulu"
    assert berlin.tzinfo is BERLIN
    # Equal zones with different names in one column.
    mixed = [(UTC_NOW,), (UTC_NOW.replace(tzinfo=named),)]
    assert [row[0].tzname() for row in decode(encode(mixed))] == ["UTC", "Zulu"]


def test_the_decimal_context_changes_nothing() -> None:
    rows = [(value, [value]) for value in DECIMALS]
    data = encode(rows)
    with localcontext(Context(prec=2, Emax=3, Emin=-3, capitals=0, traps=[])):
        assert same(decode(data), rows)
        assert same(decode(encode(rows)), rows)


def test_rows_with_one_strange_value_keep_it_and_all_others() -> None:
    for strange in (2**70, "\udc80"):
        rows: list[tuple[Any, ...]] = [(n, f"n{n}", Decimal(n), b"b") for n in range(100)]
        rows[50] = (strange, "n50", Decimal(50), b"b")
        assert_round_trip(rows)
        plain = [(n, f"n{n}") for n in range(100)]
        plain[99] = (99, strange)  # type: ignore[assignment]
        assert_round_trip(plain)


def test_threads_share_the_codec() -> None:
    failures: list[object] = []
    barrier = threading.Barrier(4)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        barrier.wait()
        for _ in range(200):
            rows = [tuple(rng.choices(VALUES, k=3)) for _ in range(3)]
            if not same(decode(encode(rows)), rows):
                failures.append(rows)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Whatever Hypothesis thinks of

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.sampled_from(ZONES))
    | st.times(timezones=st.none() | st.sampled_from(ZONES))
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
)
hashable = scalars.filter(
    lambda value: type(value) is not bytearray and not (type(value) is Decimal and value.is_snan())
)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | hashable, inner, max_size=4)
        | st.frozensets(hashable, max_size=3)
    ),
    max_leaves=8,
)
one_type = st.sampled_from(
    [
        st.integers(),
        st.floats(),
        st.text(),
        st.decimals(),
        st.binary(),
        st.datetimes(timezones=st.just(UTC)),
        st.datetimes(timezones=st.just(BERLIN)),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
        nested,
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    count = draw(st.integers(0, 5))
    columns = [
        draw(
            st.lists(
                kind if draw(st.booleans()) else st.none() | kind, min_size=count, max_size=count
            )
        )
        for kind in draw(st.lists(one_type, min_size=1, max_size=4))
    ]
    return list(zip(*columns, strict=True))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_tables_come_back(rows: list[tuple[Any, ...]]) -> None:
    assert_round_trip(rows)


# What is not known is not cached


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


# Compression


def test_only_what_shrinks_and_is_large_is_compressed() -> None:
    rows = [(n, "the same text again and again") for n in range(1000)]
    data = encode(rows)
    small = encode(rows, compress_above=len(data) - 1)
    assert len(small) < len(data) / 3
    assert decode(small) == rows
    assert encode(rows, compress_above=len(data)) == data
    noise = [(random.Random(1).randbytes(5000),)]
    assert encode(noise, compress_above=0) == encode(noise)


def deflated(claim: int, body: bytes, tail: bytes = b"") -> bytes:
    return b"Z" + claim.to_bytes(8, "big") + zlib.compress(body) + tail


def test_a_bomb_is_not_inflated() -> None:
    zeros = bytes(50_000_000)
    bombs = [
        deflated(100, zeros),
        deflated(len(zeros) - 1, zeros),
        deflated(len(zeros) + 1, zeros),
        deflated(MAX_INFLATED + 1, zeros),
        deflated(2**63, zeros),
    ]
    del zeros
    for bomb in (bombs[0], *bombs[3:]):
        with bounded(2_000_000), pytest.raises(Damaged):
            decode(bomb)
    for bomb in bombs[1:3]:
        with pytest.raises(Damaged):
            decode(bomb)


def test_a_compressed_body_ends_where_it_says_and_holds_no_other() -> None:
    data = encode([(1, "a")])
    assert decode(deflated(len(data), data)) == [(1, "a")]
    for bad in (
        deflated(len(data) + 1, data),
        deflated(len(data) - 1, data),
        deflated(len(data), data, b"x"),
        deflated(len(data), data)[:-1],
        deflated(0, b""),
        deflated(len(deflated(len(data), data)), deflated(len(data), data)),
        b"Z",
        b"Z1234567",
    ):
        with pytest.raises(Damaged):
            decode(bad)


# Damage


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


KNOWN = {type(value) for value in VALUES} | {codec.NoneType}


def assert_known(value: Any) -> None:
    assert type(value) in KNOWN
    if type(value) in (list, tuple, set, frozenset, Multirange):
        for item in value:
            assert_known(item)
    elif type(value) is dict:
        for pair in value.items():
            assert_known(pair)


def assert_damaged_or_rows(data: bytes) -> None:
    try:
        rows = decode(data)
    except Damaged:
        return
    assert type(rows) is list
    for row in rows:
        assert type(row) is tuple
        assert_known(row)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([b"", b"[", b"Z", b"\x91", b"\xdc\0\x02", b'[["g",false]]\n\x91\x91']),
    st.binary(),
)
def test_random_bytes_are_damaged_or_rows(start: bytes, rest: bytes) -> None:
    assert_damaged_or_rows(start + rest)


def bodies() -> list[bytes]:
    tables: list[list[tuple[Any, ...]]] = [
        [(1, "a", None, 2.5, True)] * 3,
        [tuple(value for value in VALUES if len(encode([(value,)])) < 200)],
        [(value, UTC_NOW) for value in OTHERS],
        [(value, Decimal("1.50"), uuid.UUID(int=7)) for value in (UTC_NOW, None)],
        [(UTC_NOW.replace(tzinfo=BERLIN), memoryview(b"abc"), bytearray(b"d"), time(1), None)] * 2,
    ]
    plain = [encode(table) for table in tables]
    return [*plain, *(encode(table * 20, compress_above=0) for table in tables)]


BODIES = bodies()


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(BODIES), st.data())
def test_mutated_bodies_are_damaged_or_rows(body: bytes, data: st.DataObject) -> None:
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        length = data.draw(st.integers(0, 3))
        changed[place : place + length] = data.draw(st.binary(max_size=4))
    assert_damaged_or_rows(bytes(changed))


def test_every_flipped_byte_is_damaged_or_rows() -> None:
    rng = random.Random(1)
    for body in BODIES:
        for place in range(min(len(body), 3000)):
            changed = bytearray(body)
            changed[place] ^= rng.randrange(1, 256)
            assert_damaged_or_rows(bytes(changed))


def test_every_truncated_body_and_every_tail_is_damaged() -> None:
    for body in BODIES:
        for end in range(len(body)) if len(body) < 3000 else range(0, len(body), 7):
            with pytest.raises(Damaged):
                decode(body[:end])
        for tail in (b"\0", b"\xc0", body):
            with pytest.raises(Damaged):
                decode(body + tail)


DATE_BODY = encode([(UTC_NOW, 1)]).partition(b"\n")[2]


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"[1]",
        b"{}",
        b"null",
        b'[["t"],["i",false]]',
        b'[["t",false]]',
        b'[["t",false],["?",false]]',
        b'[["t",false],[["i"],false]]',
        b'[["t",false],["s",false]]',
        b'[["z",false,["z","Europe/Berlin"]],["i",false]]',
        b'[["z",false,["z","../../../etc/passwd"]],["i",false]]',
        b'[["z",false,["z","Nowhere"]],["i",false]]',
        b'[["z",false,["o",1e300]],["i",false]]',
        b'[["z",false],["i",false]]',
        b"[" * 5000,
        b"[" + b'["t",false],' * 100_000 + b'["t",false]]',
    ],
)
def test_a_header_that_lies_is_damage(header: bytes) -> None:
    assert decode(b'[["t",false],["i",false]]\n' + DATE_BODY) == [(UTC_NOW, 1)]
    with pytest.raises(Damaged):
        decode(header + b"\n" + DATE_BODY)


def test_a_header_beyond_the_limit_is_damage_even_when_it_is_true() -> None:
    for columns, fits in ((4000, True), (6000, False)):
        header = b"[" + b",".join([b'["n",false]'] * columns) + b"]\n"
        body = header + b"\x91\xdc" + columns.to_bytes(2, "big") + b"\xc0" * columns
        if fits:
            assert decode(body) == [(None,) * columns]
        else:
            with pytest.raises(Damaged):
                decode(body)


def general(tree: object) -> bytes:
    text = json.dumps(tree).encode()
    return b'[["g",false]]\n\x91\x91\xc6' + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    "parts",
    [
        [],
        ["nothing"],
        [["int"]],
        ["int", 5],
        ["int", "x"],
        ["int"],
        ["float", "00"],
        ["str", "//8="],
        ["bytes", "!"],
        ["Decimal", "x"],
        ["Decimal", 5],
        ["Decimal", {"$": ["tuple", [0, [1], 2]]}],
        ["date", "2024-13-01"],
        ["datetime", "2024-01-01", 2, None],
        ["datetime", "2024-01-01", 0, ["z", "/etc/passwd"]],
        ["datetime", "2024-01-01", 0, ["o", 10**18]],
        ["time", "25:00", 0, None],
        ["timedelta", 10**10, 0, 0],
        ["UUID", "5"],
        ["IPv4Address", 5],
        ["IPv4Network", "1.2.3.4/8"],
        ["set", [[1]]],
        ["dict", [[[], 1]]],
        ["dict", [[1]]],
        ["range", "psycopg.types.range", "RangeInfo", 1, 2, "[)"],
        ["range", "psycopg.types.range", "Any", 1, 2, "[)"],
        ["range", "psycopg.types.range", "Range", 1, 2, "[["],
        ["range", "psycopg.types.range", "Range", 1],
        ["range", "psycopg.types.range", "date", 2024, 1, 1],
        ["range", "psycopg.types.multirange", "Range", 1, 2, "[)"],
        ["range", "os", "system", "true"],
        ["range", "subprocess", "Popen", "true", None, None],
        ["range", "psycopg.types.multirange", "Multirange", 1, 2, "[)"],
        ["multirange", "psycopg.types.range", "Range", []],
        ["multirange", "psycopg.types.multirange", "Multirange", [1]],
    ],
    ids=repr,
)
def test_a_tagged_value_that_lies_is_damage(parts: list[Any]) -> None:
    assert decode(general({"$": ["int", "5"]})) == [(5,)]
    with pytest.raises(Damaged):
        decode(general({"$": parts}))


def test_deep_nesting_is_damage() -> None:
    for text in (b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(Damaged):
            decode(b'[["g",false]]\n\x91\x91\xc6' + len(text).to_bytes(4, "big") + text)
    for levels in (400, 5000, 50_000):
        text = b'{"$":["tuple",[' * levels + b"]]}" * levels
        assert_damaged_or_rows(b'[["g",false]]\n\x91\x91\xc6' + len(text).to_bytes(4, "big") + text)


@pytest.mark.parametrize(
    "start",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x91\xdd\xff\xff\xff\xff",
        b"\x91\x91\xdb\xff\xff\xff\xff",
        b'[["s",false]]\n\xdd\xff\xff\xff\xff',
        b'[["s",false]]\n\x91\xdd\xff\xff\xff\xff',
        b'[["s",false]]\n\x91\x91\xdb\xff\xff\xff\xff',
        b'[["g",false]]\n\x91\x91\xc6\xff\xff\xff\xff',
        b'[["z",false,["o",0]]]\n\x91\x91\xdd\xff\xff\xff\xff',
        b"\xdf\xff\xff\xff\xff",
        b"\x91\x91\xc9\xff\xff\xff\xff\x01",
        # An array within an array within an array, each as long as the data allows.
        b"\xdd\x00\x00\xff\xff" * 10_000,
    ],
)
def test_a_length_beyond_the_data_costs_no_memory(start: bytes) -> None:
    body = start + b"\xc0" * 50_000
    with bounded(30 * len(body)), pytest.raises(Damaged):
        decode(body)


def test_other_formats_are_damage() -> None:
    rows = [(1, "a", datetime(2024, 1, 1))]
    for data in (
        *(pickle.dumps(rows, protocol) for protocol in range(6)),
        marshal.dumps([(1, "a")]),
        b"",
        b"{}",
        b"null",
        b"\n",
        b"\x92\x01\x02",
        b"\x91\x91\x91\x01",  # a list in a row
        b"\x91\x91\x81\x01\x02",  # a dictionary in a row
        b"\x91\x91\xc4\x01a",  # bytes without a header that says so
        b"\x91\x91\xa1\xff",  # not UTF-8
    ):
        with pytest.raises(Damaged):
            decode(data)


# Drivers

_WITHOUT_DRIVER = """
import sys
from querycache.codec import Damaged, decode, encode
data = bytes.fromhex(sys.argv[1])
try:
    decode(data)
except Damaged:
    assert not [name for name in sys.modules if name.startswith("psycopg")]
    import psycopg.types.range
    assert decode(data) == [(psycopg.types.range.Range(1, 2),)]
    print("late")
"""


def test_a_driver_is_never_imported_and_its_types_are_known_once_it_is() -> None:
    data = encode([(Range(1, 2),)])
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_DRIVER, data.hex()],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(codec.__file__).parents[1],
    )
    assert done.stdout == "late\n"


def test_ranges_of_psycopg2() -> None:
    extras = pytest.importorskip("psycopg2.extras")
    for value in (
        extras.NumericRange(1, 10),
        extras.NumericRange(None, Decimal("1.50"), "(]"),
        extras.NumericRange(empty=True),
        extras.DateRange(date(2024, 1, 1), None),
        extras.DateTimeRange(datetime(2024, 1, 1), datetime(2025, 1, 1), "[]"),
        extras.DateTimeTZRange(UTC_NOW, None),
        extras.Range(1, 2),
    ):
        for rows in ([(value,)], [(value, 1), (None, 2)], [([value],)]):
            result = decode(encode(rows))
            assert result == rows
            flat = result[0][0][0] if type(result[0][0]) is list else result[0][0]
            assert type(flat) is type(value)
            for name in ("lower", "upper", "_bounds"):
                assert same(getattr(flat, name), getattr(value, name))


def test_rows_of_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    rows = connection.execute(
        "SELECT 1, -9223372036854775808, 1.5, 9e999, 'text', X'00FF', NULL, '' UNION ALL "
        "SELECT 'a', 2, NULL, 0.0, 5, 'b', X'', 1 ORDER BY 2"
    ).fetchall()
    connection.close()
    assert_round_trip(rows)


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        server = PostgresServer().start()
    except Unavailable as reason:
        require(reason)
    with server:
        address = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
        with psycopg.connect(address) as connection:
            yield connection


POSTGRES_VALUES = """
    true, 1::int2, 2::int8, 1.5::float8, 'NaN'::float8, '-Infinity'::float8, 1.50::numeric,
    'NaN'::numeric, 1e40::numeric, 'text', ''::text, '\\x00ff'::bytea, '2024-02-29'::date,
    '2024-10-27 02:30'::timestamp, '2024-10-27 00:30+00'::timestamptz,
    '2024-10-27 01:30+00'::timestamptz, '12:30:15.5'::time, '12:30+05:30'::timetz,
    '1 day -2 hours'::interval, '00000000-0000-4000-8000-000000000001'::uuid,
    '{"b": [1, 2.5, null, "x"], "a": {"$": true}}'::jsonb, '[1]'::json, '192.0.2.1/24'::inet,
    '192.0.2.1'::inet, '2001:db8::/32'::cidr, ARRAY[1, NULL, 3], ARRAY[['a', 'b'], ['c', 'd']],
    ARRAY[1.50, 2]::numeric[], int4range(1, 10), 'empty'::int4range, numrange(NULL, 1.5),
    tstzrange('2024-01-01 00:00+00', NULL), daterange('2024-01-01', '2024-02-01'),
    '{[1,3),[5,)}'::int4multirange, ROW(1, 'a'), NULL
"""


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30", "America/New_York"])
def test_rows_of_postgresql(postgres: psycopg.Connection[tuple[Any, ...]], zone: str) -> None:
    postgres.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    for binary in (False, True):
        with postgres.cursor(binary=binary) as cursor:
            cursor.execute(f"SELECT {POSTGRES_VALUES} FROM generate_series(1, 3)")
            assert_round_trip(cursor.fetchall())

"""Bytes that no encoder wrote are damage: never another row, never much memory."""

from __future__ import annotations

import json
import marshal
import pickle
import random
import uuid
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querycache import codec
from querycache.codec import Damaged, decode, encode
from tests.codecs import BERLIN, OTHERS, UTC_NOW, VALUES, bounded

KNOWN = {type(value) for value in VALUES} | {codec.NoneType}


def assert_known(value: Any) -> None:
    assert type(value) in KNOWN
    if type(value) in (list, tuple, set, frozenset) or type(value).__name__ == "Multirange":
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
        ["memoryview", "YWJjZA=="],
        ["memoryview", "YWJjZA==", "I"],
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

"""What shrinks is compressed, and a bomb is not inflated."""

from __future__ import annotations

import random
import zlib

import pytest

from querycache.codec import MAX_INFLATED, Damaged, decode, encode
from tests.codecs import bounded


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

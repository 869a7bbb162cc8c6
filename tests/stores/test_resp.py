"""Replies of Redis' third protocol: whole, in pieces, and damaged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querycache.stores.resp import Malformed, Push, Replies

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b":42\r\n", 42),
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b",1.5\r\n", b"1.5"),
    (b"*2\r\n:1\r\n$1\r\na\r\n", [1, b"a"]),
    (b"%1\r\n+proto\r\n:3\r\n", [b"proto", 3]),
    (b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", [b"invalidate", [b"k"]]),
    (b">2\r\n$10\r\ninvalidate\r\n_\r\n", [b"invalidate", None]),
]


def all_of(replies: Replies) -> list[Any]:
    found = []
    try:
        while True:
            found.append(replies.next())
    except IndexError:
        return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replies_arrive_in_pieces(size: int) -> None:
    replies, found = Replies(), []
    data = b"".join(text for text, _ in REPLIES)
    for start in range(0, len(data), size):
        replies.feed(data[start : start + size])
        found += all_of(replies)
    assert found == [value for _, value in REPLIES]
    assert [type(value) for value in found[-2:]] == [Push, Push]


def test_an_error_is_a_reply() -> None:
    replies = Replies()
    replies.feed(b"-NOPERM no\r\n:1\r\n")
    error, after = all_of(replies)
    assert isinstance(error, Malformed)
    assert (str(error), after) == ("NOPERM no", 1)


@pytest.mark.parametrize(
    "data", [b"?1\r\n", b"$x\r\n", b"*1\r\n" * 50, b"$" + b"9" * 5000 + b"\r\n", b"\r\n"]
)
def test_what_is_no_reply(data: bytes) -> None:
    replies = Replies()
    replies.feed(data)
    with pytest.raises(Malformed):
        all_of(replies)


@given(st.lists(st.sampled_from([text for text, _ in REPLIES]) | st.binary(max_size=20)))
def test_whatever_arrives_is_replies_or_is_refused(pieces: list[bytes]) -> None:
    replies = Replies()
    try:
        for piece in pieces:
            replies.feed(piece)
            all_of(replies)
    except Malformed:
        pass

"""Replies of memcached: the same in whatever pieces they come, and nothing but what was asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from querycache.stores.memcached_commands import SECONDS, ask, get, increase, swap, values
from querycache.stores.memcached_wire import MemcacheUnexpectedCloseError, MemcacheUnknownError

KEYS = (b"one", b"two", b"three")
STATS = b"STAT pid 1\r\nSTAT time 1700000000\r\nSTAT version 1.6\r\nEND\r\n"


def client(pieces: Iterator[bytes]) -> Any:
    """A client of pymemcache's whose server answers with these pieces, and then hangs up."""
    rest = [b""]

    def receive(size: int) -> bytes:
        rest[0] = rest[0] or next(pieces, b"")
        piece, rest[0] = rest[0][:size], rest[0][size:]
        return piece

    return SimpleNamespace(sock=SimpleNamespace(sendall=lambda sent: None, recv=receive))


def whole(data: bytes) -> Any:
    return client(iter([data]))


def cut(data: bytes, seed: int) -> Iterator[bytes]:
    choose = random.Random(seed)
    while data:
        size = choose.choice((1, 2, 3, 7, 40))
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", range(20))
def test_any_pieces_are_the_same_replies(seed: int) -> None:
    value = random.Random(seed).randbytes(300)
    data = b"VALUE two 0 300 17\r\n%b\r\nVALUE one 0 0 18\r\n\r\nEND\r\n" % value
    data += STATS + b"12\r\n" + b"VALUE three 0 7\r\nEND\r\nEN\r\nEND\r\n" + b"NOT_FOUND\r\n"
    server = client(cut(data, seed))
    found = ask(server, values(KEYS), SECONDS, increase(b"n"), get(KEYS), increase(b"m"))
    assert found == [
        {b"two": (value, b"17"), b"one": (b"", b"18")},
        1_700_000_000,
        12,
        {b"three": b"END\r\nEN"},
        None,
    ]


def test_a_value_larger_than_a_piece() -> None:
    value = bytes(3_000_000)
    data = b"VALUE one 0 %d\r\n%b\r\nEND\r\n" % (len(value), value)
    assert ask(whole(data), get(KEYS)) == [{b"one": value}]


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (values(KEYS), b"VALUE four 0 1 1\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 1\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 1 1 x\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 x 1\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 1 1_0\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 1 1\r\nxyz\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 3 1\r\nx\r\nEND\r\n"),
        (values(KEYS), b"VALUE one 0 1 1\r\nxyzEND\r\n"),
        (values(KEYS), b"STAT one 0 1 1\r\nx\r\nEND\r\n"),
        (values(KEYS), b"SERVER_ERROR out of memory\r\n"),
        (values(KEYS), b"VALUE " + b"x" * 5000 + b"\r\nEND\r\n"),
        (values(KEYS), b"x" * 5000),
        (get(KEYS), b"VALUE one 0 1 1\r\nx\r\nEND\r\n"),
        (get(KEYS), b"END\r\nEND\r\n"),
        (increase(b"n"), b"-1\r\n"),
        (increase(b"n"), b"1\n"),
        (increase(b"n"), b"\n"),
        (increase(b"n"), b"1\r\n1\r\n"),
        (increase(b"n"), b"1" * 5000 + b"\r\n"),
        (increase(b"n"), b"1" * 5000),
        (SECONDS, b"END\r\n"),
        (SECONDS, b"ERROR\r\n"),
        (SECONDS, b"STAT pid 1\r\nEND\r\n"),
        (SECONDS, b"STAT pid 1\r\ntime\r\nSTAT time 1\r\nEND\r\n"),
        (SECONDS, b"STAT a 1\r\nSTAT time 1\r\nERROR\r\nEND\r\n"),
        (SECONDS, STATS + b"STAT"),
    ],
)
def test_nothing_else_is_a_reply(command: Any, data: bytes) -> None:
    with pytest.raises(MemcacheUnknownError):
        ask(whole(data), command)


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (values(KEYS), b"VALUE one 0 1 1\r\nx\r\nEND\r\n"),
        (get(KEYS), b"VALUE one 0 1\r\nx\r\nEND\r\n"),
        (increase(b"n"), b"1\r\n"),
        (SECONDS, STATS),
    ],
)
def test_a_reply_that_is_cut_short_is_a_lost_connection(command: Any, data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(MemcacheUnexpectedCloseError):
            ask(whole(data[:size]), command)


def test_swaps_tell_which_were_lost() -> None:
    data = b"STORED\r\nEXISTS\r\nNOT_FOUND\r\nNOT_STORED\r\n"
    swaps = [(b"a", b"1", b"1"), (b"b", b"1", b"2"), (b"c", b"1", b"3"), (b"d", b"1", None)]
    assert swap(whole(data), swaps) == [b"b", b"c", b"d"]
    assert swap(whole(b"STORED\r\n" * 4), swaps) == []
    with pytest.raises(MemcacheUnknownError):
        swap(whole(b"STORED\r\nSERVER_ERROR out of memory\r\n"), swaps[:2])


def endless(start: bytes, piece: bytes) -> Callable[[], Any]:
    def make() -> Any:
        def pieces() -> Iterator[bytes]:
            yield start
            # An end, for a test that would not come to one.
            for _ in range(100):
                yield piece

        return client(pieces())

    return make


@pytest.mark.parametrize(
    ("command", "server"),
    [
        (SECONDS, endless(b"STAT a 1\r\n", b"STAT b 2\r\n" * 3000)),
        (values(KEYS), endless(b"x", b"x" * 30_000)),
        (increase(b"n"), endless(b"1", b"1" * 30_000)),
    ],
)
def test_endless_replies_are_given_up(command: Any, server: Callable[[], Any]) -> None:
    with pytest.raises(MemcacheUnknownError):
        ask(server(), command)


def test_memory_is_taken_for_what_has_come() -> None:
    server = whole(b"VALUE one 0 1000000000000000\r\nx")
    receive, sizes = server.sock.recv, []

    def noted(size: int) -> Any:
        sizes.append(size)
        return receive(size)

    server.sock.recv = noted
    with pytest.raises(MemcacheUnexpectedCloseError):
        ask(server, get(KEYS))
    # A socket has room made for as much as it is asked for.
    assert max(sizes) <= 1 << 20

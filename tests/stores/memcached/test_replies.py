"""Replies of memcached: the same in whatever pieces they come, and nothing but what was asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from querycache.stores.memcached_commands import (
    FIGURES,
    LATEST,
    Figures,
    ask,
    get,
    increase,
    left,
    swap,
    values,
    wind,
)
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
    found = ask(server, values(KEYS), FIGURES, increase(b"n"), get(KEYS), increase(b"m"))
    assert found == [
        {b"two": (value, b"17"), b"one": (b"", b"18")},
        Figures(1_700_000_000, tells_left=True),
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
        (FIGURES, b"END\r\n"),
        (FIGURES, b"ERROR\r\n"),
        (FIGURES, b"STAT pid 1\r\nEND\r\n"),
        (FIGURES, b"STAT pid 1\r\ntime\r\nSTAT time 1\r\nEND\r\n"),
        (FIGURES, b"STAT a 1\r\nSTAT time 1\r\nERROR\r\nEND\r\n"),
        (FIGURES, STATS + b"STAT"),
        (left(b"c"), b"VA 0 t5\r\n\r\n"),
        (left(b"c"), b"HD t5\r\nHD t5\r\n"),
        (left(b"c"), b"EN\n"),
        (left(b"c"), b"\r\n"),
        (wind(b"c"), b"NOT_STORED\r\n"),
        (wind(b"c"), b"ERROR\r\n"),
        (wind(b"c"), b"STORED\r\nSTORED\r\n"),
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
        (FIGURES, STATS),
        (left(b"c"), b"HD t5\r\n"),
    ],
)
def test_a_reply_that_is_cut_short_is_a_lost_connection(command: Any, data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(MemcacheUnexpectedCloseError):
            ask(whole(data[:size]), command)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"HD t5\r\n", LATEST - 5),
        (b"HD t0\r\n", LATEST),
        (b"OK t5\r\n", LATEST - 5),
        (b"OK t5 \r\n", LATEST - 5),
        # No key, or no such command.
        (b"EN\r\n", None),
        (b"ERROR\r\n", None),
        # Stored by somebody else, to be kept for good.
        (b"HD t-1\r\n", None),
        (b"HD\r\n", None),
        # Before 1970.
        (b"HD t%d\r\n" % (LATEST + 1), None),
        (b"HD t" + b"9" * 30 + b"\r\n", None),
    ],
)
def test_time_that_a_key_tells(data: bytes, told: int | None) -> None:
    assert ask(whole(data), left(b"c")) == [told]


@pytest.mark.parametrize(
    ("version", "tells"),
    [
        (b"1.6.6", True),
        (b"1.10", True),
        (b"2.0", True),
        (b"1.5.22", False),
        (b"0.9", False),
        (b"unknown", False),
    ],
)
def test_servers_that_can_be_asked_what_a_key_has_left(version: bytes, tells: bool) -> None:
    (told,) = ask(whole(STATS.replace(b"1.6\r", b"%b\r" % version)), FIGURES)
    assert told == Figures(1_700_000_000, tells)
    (told,) = ask(whole(STATS.replace(b"STAT version 1.6\r\n", b"")), FIGURES)
    assert not told.tells_left


def test_a_key_that_finds_no_room_is_not_stored() -> None:
    server = whole(b"STORED\r\nSERVER_ERROR out of memory storing object\r\n")
    assert ask(server, wind(b"c"), wind(b"c")) == [True, False]


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
        (FIGURES, endless(b"STAT a 1\r\n", b"STAT b 2\r\n" * 3000)),
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

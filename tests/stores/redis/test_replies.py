"""Replies of Redis: whole, in pieces, errors, and what is no reply."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions as errors
from redis.connection import Connection

from querycache.stores.redis_replies import Replies
from querycache.stores.redis_wire import GARBLED, Link

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b":42\r\n", 42),
    (b":-1\r\n", -1),
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n$1\r\na\r\n$-1\r\n$2\r\n\r\n\r\n", [b"a", None, b"\r\n"]),
    (b"*3\r\n:1\r\n*1\r\n+a\r\n$1\r\nb\r\n", [1, [b"a"], b"b"]),
    (b"*2\r\n$100000\r\n" + bytes(100_000) + b"\r\n$1\r\na\r\n", [bytes(100_000), b"a"]),
]


class Server:
    """The other end of a connection that was never connected by redis-py."""

    def __init__(self) -> None:
        ours, self.end = socket.socketpair()
        ours.settimeout(0.2)
        connection: Any = Connection()
        connection._sock = ours
        self._ours = ours
        self.replies = Replies(connection)
        self.link = Link(connection)

    def close(self) -> None:
        self._ours.close()
        self.end.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as one:
        yield one


@pytest.mark.parametrize(("text", "value"), REPLIES)
def test_each_kind(server: Server, text: bytes, value: Any) -> None:
    server.end.sendall(text)
    assert server.replies.next() == value


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replies_arrive_in_pieces(server: Server, size: int) -> None:
    class Slow:
        """Gives what comes in pieces of one size, however much is asked for."""

        def recv(self, number: int) -> bytes:
            return server._ours.recv(min(size, number))

    connection: Any = Connection()
    connection._sock = Slow()
    replies = Replies(connection)
    for text, value in REPLIES[:-1]:
        server.end.sendall(text)
        assert replies.next() == value


def test_replies_that_come_together(server: Server) -> None:
    server.end.sendall(b"".join(text for text, _ in REPLIES))
    assert [server.replies.next() for _ in REPLIES] == [value for _, value in REPLIES]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"-ERR no\r\n", errors.ResponseError),
        (b"-NOSCRIPT No matching script.\r\n", errors.NoScriptError),
        (b"-READONLY You can't write.\r\n", errors.ReadOnlyError),
        (b"-LOADING Redis is loading\r\n", errors.BusyLoadingError),
        (b"-OOM command not allowed\r\n", errors.OutOfMemoryError),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", errors.MovedError),
        (b"-ASK 3999 127.0.0.1:6381\r\n", errors.AskError),
    ],
)
def test_an_error_is_raised_and_what_follows_is_not_touched(
    server: Server, text: bytes, error: type[Exception]
) -> None:
    server.end.sendall(text + b"+OK\r\n")
    with pytest.raises(error):
        server.replies.next()
    assert server.replies.next() == b"OK"


def test_an_error_within_a_reply_is_a_value(server: Server) -> None:
    server.end.sendall(b"*2\r\n-ERR no\r\n:1\r\n")
    error, number = server.replies.next()
    assert isinstance(error, errors.ResponseError)
    assert number == 1


def test_nothing_comes(server: Server) -> None:
    with pytest.raises(errors.TimeoutError):
        server.replies.next()
    server.end.sendall(b"*2\r\n$1\r\na")
    with pytest.raises(errors.TimeoutError):
        server.replies.next()


def test_the_server_goes_away(server: Server) -> None:
    server.end.sendall(b"*2\r\n$1\r\na\r\n")
    server.end.close()
    with pytest.raises(errors.ConnectionError):
        server.replies.next()


@pytest.mark.parametrize(
    "text",
    [b"?1\r\n", b"$x\r\n", b"*1\r\n" * 2000, b"$" + b"9" * 5000 + b"\r\n", b"\r\n", b":\r\n"],
)
def test_what_is_no_reply(server: Server, text: bytes) -> None:
    server.end.sendall(text)
    with pytest.raises((errors.RedisError, *GARBLED)):
        server.replies.next()


@given(st.lists(st.sampled_from([text for text, _ in REPLIES[:-1]]) | st.binary(max_size=20)))
def test_whatever_arrives_is_replies_or_is_refused(pieces: list[bytes]) -> None:
    with contextlib.closing(Server()) as server:
        server.end.sendall(b"".join(pieces))
        server.end.close()
        with contextlib.suppress(errors.RedisError, OSError, *GARBLED):
            while True:
                server.replies.next()


def test_a_server_that_takes_no_command_in_time_is_no_closed_connection(server: Server) -> None:
    """One that was closed is opened again, and the command sent once more."""
    with pytest.raises(errors.TimeoutError):
        server.link.ask(bytes(64 * 1024 * 1024))


def test_a_closed_connection_takes_no_command(server: Server) -> None:
    server.end.close()
    with pytest.raises(OSError, match="Broken pipe"):
        server.link.ask(b"*1\r\n$4\r\nPING\r\n")

"""Replies of Redis, read from what redis-py's connections receive.

redis-py reads one with a dozen calls for each value in it, a good part of what a hit costs. Here a
reply is cut out of the bytes in one go. The second version of the protocol, of which these
are all kinds: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Any

from redis import exceptions as errors

_PIECE = 32 * 1024
_BIGGEST_PIECE = 1024 * 1024

_ARRAY, _BULK, _ERROR, _NUMBER, _STATUS = b"*$-:+"


class _Missing(Exception):
    """A reply has not arrived in whole; so many bytes are missing at the least."""

    def __init__(self, number: int = 1) -> None:
        super().__init__()
        self.number = number


class Replies:
    """What arrives on one connection.

    Args:
        connection: of redis-py, which has read all that came while it was connecting.
    """

    __slots__ = ("_connection", "_data", "_start")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._data = b""
        self._start = 0

    def next(self) -> Any:
        """Return the next reply, and wait for it.

        Raises:
            ResponseError: it is an error; the next reply is that to the next command.
            ConnectionError: the server has closed the connection.
            TimeoutError: it did not come in time.
            InvalidResponse: what came is no reply.
            OSError: the connection is broken.
        """
        if not self._data:
            self._receive(1)
        while True:
            try:
                reply, self._start = self._read(self._data, self._start)
            except _Missing as missing:
                self._receive(missing.number)
                continue
            if self._start == len(self._data):
                # A large one is not kept while the connection rests.
                self._data, self._start = b"", 0
            if isinstance(reply, errors.RedisError):
                raise reply
            return reply

    def _receive(self, number: int) -> None:
        """Wait for so many bytes more."""
        pieces = [self._data[self._start :]] if self._start < len(self._data) else []
        receive = self._connection._sock.recv
        try:
            while True:
                piece = receive(_PIECE if number < _PIECE else min(number, _BIGGEST_PIECE))
                if not piece:
                    raise errors.ConnectionError("it has closed the connection")
                pieces.append(piece)
                number -= len(piece)
                if number <= 0:
                    break
        except TimeoutError as error:
            raise errors.TimeoutError("it did not answer in time") from error
        self._data = piece if len(pieces) == 1 else b"".join(pieces)
        self._start = 0

    def _read(self, data: bytes, start: int) -> tuple[Any, int]:
        """Return the reply that begins at a place, and where the next one does."""
        end = data.find(b"\r\n", start)
        if end < 0:
            raise _Missing
        kind, head, start = data[start], data[start + 1 : end], end + 2
        if kind == _ARRAY:
            count = int(head)
            if count < 0:
                return None, start
            values: list[Any] = []
            # One at a time: the announced number may be anything.
            for _ in range(count):
                # Most are what an MGET gives, so nothing is called for those.
                end = data.find(b"\r\n", start)
                if end < 0:
                    raise _Missing
                if data[start] != _BULK:
                    value, start = self._read(data, start)
                    values.append(value)
                    continue
                size = int(data[start + 1 : end])
                start = end + 2
                if size < 0:
                    values.append(None)
                    continue
                over = start + size + 2
                if len(data) < over:
                    raise _Missing(over - len(data))
                values.append(data[start : over - 2])
                start = over
            return values, start
        if kind == _BULK:
            size = int(head)
            if size < 0:
                return None, start
            over = start + size + 2
            if len(data) < over:
                raise _Missing(over - len(data))
            return data[start : over - 2], over
        if kind == _NUMBER:
            return int(head), start
        if kind == _STATUS:
            return head, start
        if kind == _ERROR:
            # Of the class that redis-py has for it.
            return self._connection._parser.parse_error(head.decode("utf-8", "replace")), start
        raise errors.InvalidResponse(f"no reply begins with {bytes([kind])!r}")

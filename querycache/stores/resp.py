"""Replies of the third version of Redis' protocol, read from bytes as they arrive.

https://github.com/redis/redis-specifications/blob/master/protocol/RESP3.md
"""

from __future__ import annotations

from typing import Any

#: More than this is no reply to what is asked over a connection that is read here.
MOST_BYTES = 64 * 1024 * 1024


# What is read here nests twice at most.
_DEEPEST = 8


class Malformed(ValueError):
    """The bytes are no reply."""


class Push(list[Any]):
    """A message that nobody asked for."""


class Replies:
    """What has arrived on one connection, cut into replies."""

    __slots__ = ("_data", "_start")

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._start:
            del self._data[: self._start]
            self._start = 0
        self._data += data
        if len(self._data) > MOST_BYTES:
            raise Malformed("a reply that is too long")

    def next(self) -> Any:
        """Return the next reply.

        Raises:
            IndexError: it has not arrived in whole.
            Malformed: what has arrived is none.
        """
        value, self._start = _read(self._data, self._start, 0)
        return value


def _read(data: bytearray, start: int, depth: int) -> tuple[Any, int]:
    end = data.find(b"\r\n", start)
    if end < 0:
        raise IndexError
    kind, head, after = data[start], bytes(data[start + 1 : end]), end + 2
    if kind in b"+,(":
        return head, after
    if kind == ord("-"):
        return Malformed(head.decode("utf-8", "replace")), after
    if kind in b"_#":
        return (None if kind == ord("_") else head == b"t"), after
    try:
        number = int(head)
    except ValueError:
        raise Malformed(f"no length: {head[:40]!r}") from None
    if kind == ord(":"):
        return number, after
    if number < 0:
        return None, after
    if kind in b"$=!":
        if len(data) < after + number + 2:
            raise IndexError
        return bytes(data[after : after + number]), after + number + 2
    if kind not in b"*>~%" or depth == _DEEPEST:
        raise Malformed(f"no reply: {chr(kind)!r}")
    items: list[Any] = Push() if kind == ord(">") else []
    # One at a time: the announced number may be anything.
    for _ in range(number * 2 if kind == ord("%") else number):
        value, after = _read(data, after, depth + 1)
        items.append(value)
    return items, after

"""Replies of memcached, cut out of what arrives on a connection.

A file object of the socket would cost more than the rest of a command: it is made and closed each
time, and reads line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from querycache.stores.memcached_wire import MemcacheUnexpectedCloseError, MemcacheUnknownError

_PIECE = 32 * 1024
# Memory is taken for what has come, not for what is said to come.
_BIGGEST_PIECE = 1 << 20

# A line of a reply is a key and some numbers, or a figure; so many figures nobody has.
_LONGEST_LINE = 4096
_MOST_FIGURES = 1 << 20


class Replies:
    """What arrives in answer to the commands that went out together.

    Args:
        receive: returns at most so many bytes of it; none when the connection was closed.
    """

    __slots__ = ("_data", "_receive", "_start")

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._data = b""
        self._start = 0

    def line(self) -> bytes:
        """Return the next line, with its end.

        Raises:
            MemcacheError: there is none.
            OSError: the connection is broken, or nothing came in time.
        """
        start = self._start
        end = self._data.find(b"\n", start)
        while end < 0:
            if len(self._data) - start > _LONGEST_LINE:
                break
            self._wait()
            start = 0
            end = self._data.find(b"\n")
        if end < 0 or end - start > _LONGEST_LINE:
            raise unexpected(self._data[start : start + _LONGEST_LINE])
        self._start = end + 1
        return self._data[start : end + 1]

    def values(self, asked: Container[bytes], *, ids: bool) -> dict[bytes, Any]:
        """Return values by their keys, or pairs of a value and its id.

        Args:
            asked: the keys that may be there.
            ids: whether ids were asked for.

        Raises:
            MemcacheError: something else comes.
            OSError: as `line`.
        """
        found: dict[bytes, Any] = {}
        count = 5 if ids else 4
        # Nothing is called for what has come in whole, as nearly all does.
        data, start = self._data, self._start
        while True:
            end = data.find(b"\r\n", start)
            if end < 0 or end - start > _LONGEST_LINE:
                self._start = start
                if end >= 0 or len(data) - start > _LONGEST_LINE:
                    raise unexpected(data[start : start + _LONGEST_LINE])
                self._wait()
                data, start = self._data, self._start
                continue
            line = data[start:end]
            if line == b"END":
                self._start = end + 2
                return found
            parts = line.split()
            if len(parts) != count or parts[0] != b"VALUE" or parts[1] not in asked:
                raise unexpected(line)
            # An id goes into a command.
            if not parts[3].isdigit() or not parts[-1].isdigit():
                raise unexpected(line)
            start, size = end + 2, int(parts[3]) + 2
            if len(data) - start < size:
                self._start = start
                self._wait(size - (len(data) - start))
                data, start = self._data, self._start
            over = start + size
            if data[over - 2 : over] != b"\r\n":
                raise unexpected(line)
            value = data[start : over - 2]
            found[parts[1]] = (value, parts[4]) if ids else value
            start = over

    def skip(self, text: bytes) -> bool:
        """Go on behind a text if it has come and is next; tells whether it was.

        Args:
            text: whole lines.

        Raises:
            MemcacheError: nothing comes any more.
            OSError: as `line`.
        """
        if self._start == len(self._data):
            self._wait()
        found = self._data.startswith(text, self._start)
        if found:
            self._start += len(text)
        return found

    def figures(self) -> bytes:
        """Return the lines of a server's statistics, without the one that ends them.

        Raises:
            MemcacheError: something else comes.
            OSError: as `line`.
        """
        first = self.line()
        if not first.startswith(b"STAT "):
            raise unexpected(first)
        self._start -= len(first)
        while (end := self._data.find(b"\r\nEND\r\n", self._start)) < 0:
            if len(self._data) > _MOST_FIGURES:
                raise MemcacheUnknownError("more figures than it can have")
            self._wait()
        lines = self._data[self._start : end + 2]
        self._start = end + 7
        if lines.count(b"\nSTAT ") + 1 != lines.count(b"\n"):
            raise unexpected(lines)
        return lines

    def end(self) -> None:
        """Be sure that nothing came which nobody has asked for.

        Raises:
            MemcacheError: something did; what comes next on this connection is no reply to what is
                asked next.
        """
        if self._start != len(self._data):
            raise unexpected(self._data[self._start :][:_LONGEST_LINE])

    def _wait(self, number: int = 1) -> None:
        """Have so many bytes more at the least, behind what is left."""
        pieces = [self._data[self._start :]]
        while number > 0:
            piece = self._receive(_PIECE if number < _PIECE else min(number, _BIGGEST_PIECE))
            if not piece:
                raise MemcacheUnexpectedCloseError("the connection was closed")
            pieces.append(piece)
            number -= len(piece)
        self._data, self._start = b"".join(pieces), 0


def unexpected(text: bytes) -> Exception:
    """Return the error for what is no reply to what was asked."""
    error: Exception = MemcacheUnknownError(text[:100].decode("ascii", "replace").strip())
    return error

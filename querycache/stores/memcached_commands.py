"""Commands that go to memcached together, in one round trip.

pymemcache asks for one thing at a time, or for several of one kind. Its client opens and closes the
connection here too; what is sent and read is the text protocol (``doc/protocol.txt`` of memcached).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, BinaryIO

from querycache.stores.memcached_wire import (
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
    check_key_helper,
)

#: What is sent, and what reads its reply.
Command = tuple[bytes, Callable[[BinaryIO], Any]]

#: Key → value and its id, which changes with the value.
Values = dict[bytes, tuple[bytes, bytes]]

#: Key, new value, id of the value that it takes the place of; None: there must be none.
Swap = tuple[bytes, bytes, bytes | None]

# A line of a reply is a key and some numbers, or a figure.
_LONGEST_LINE = 4096
# Memory is taken for what has come, not for what is said to come.
_AT_ONCE = 1 << 20

_STORED = b"STORED\r\n"
_LOST = frozenset({b"EXISTS\r\n", b"NOT_FOUND\r\n", b"NOT_STORED\r\n"})

# While memcached has replies that nobody takes off it, it reads no more. So many have room in the
# buffers of any socket.
_SWAPS_AT_ONCE = 1000

_TIME = re.compile(rb"STAT time (\d+)\r\n")


def ask(client: Any, *commands: Command) -> list[Any]:
    """Send commands together and return their replies.

    memcached does what comes over one connection in the order in which it comes. `Node.call` closes
    the connection after an error, since replies of the others may still be on the way.

    Args:
        client: of pymemcache.
        commands: what this module makes.

    Raises:
        MemcacheError: a reply is an error, or none to this command.
        OSError: there is no connection, or no reply within the timeout.
    """
    if client.sock is None:
        client._connect()
    client.sock.sendall(b"".join([sent for sent, _ in commands]))
    with client.sock.makefile("rb") as replies:
        return [read(replies) for _, read in commands]


def values(keys: Collection[bytes]) -> Command:
    """Make the command that reads keys; its reply are `Values`, without those that are absent."""
    checked = [check_key_helper(key, allow_unicode_keys=False) for key in keys]
    return b"gets %b\r\n" % b" ".join(checked), partial(_values, frozenset(checked))


def increase(key: bytes) -> Command:
    """Make the command that adds one to a number; its reply is the sum, None where it is absent."""
    return b"incr %b 1\r\n" % check_key_helper(key, allow_unicode_keys=False), _number


def swap(client: Any, swaps: Sequence[Swap]) -> list[bytes]:
    """Put values in the place of those that were read; returns the keys that others have changed.

    Args:
        client: the one that the values were read with, on the same connection since: a server that
            was started anew counts its ids anew.
        swaps: what becomes what, of keys that were read.

    Raises:
        MemcacheError: a value was refused. Others may have been taken.
        OSError: as `ask`.
    """
    lost: list[bytes] = []
    for start in range(0, len(swaps), _SWAPS_AT_ONCE):
        some = swaps[start : start + _SWAPS_AT_ONCE]
        sent = b"".join(
            b"add %b 0 0 %d\r\n%b\r\n" % (key, len(value), value)
            if unique is None
            else b"cas %b 0 0 %d %b\r\n%b\r\n" % (key, len(value), unique, value)
            for key, value, unique in some
        )
        (stored,) = ask(client, (sent, partial(_stored, len(some))))
        lost += [key for (key, _, _), done in zip(some, stored, strict=True) if not done]
    return lost


def seconds(client: Any) -> int:
    """Return the clock of a client's node, in whole seconds since 1970."""
    (found,) = ask(client, SECONDS)
    return int(found)


def _values(asked: Collection[bytes], replies: BinaryIO) -> Values:
    found: Values = {}
    for line in iter(partial(replies.readline, _LONGEST_LINE), b"END\r\n"):
        if not line.startswith(b"VALUE "):
            raise _unexpected(line)
        _, key, _, size, unique = line.split()
        # The id goes into a command.
        if key not in asked or not size.isdigit() or not unique.isdigit():
            raise _unexpected(line)
        length = int(size) + 2
        value = replies.read(length) if length <= _AT_ONCE else _in_pieces(replies, length)
        if not value.endswith(b"\r\n") or len(value) != length:
            raise _unexpected(line if len(value) == length else b"")
        found[key] = value[:-2], unique
    return found


def _in_pieces(replies: BinaryIO, length: int) -> bytes:
    pieces: list[bytes] = []
    while length and (piece := replies.read(min(length, _AT_ONCE))):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _seconds(replies: BinaryIO) -> int:
    time = None
    for line in iter(partial(replies.readline, _LONGEST_LINE), b"END\r\n"):
        if not line.startswith(b"STAT "):
            raise _unexpected(line)
        time = time or _TIME.fullmatch(line)
    if time is None:
        raise MemcacheUnknownError("it does not tell the time")
    return int(time[1])


def _number(replies: BinaryIO) -> int | None:
    line = replies.readline(_LONGEST_LINE)
    if line == b"NOT_FOUND\r\n":
        return None
    if not line.endswith(b"\r\n") or not line[:-2].isdigit():
        raise _unexpected(line)
    return int(line)


def _stored(count: int, replies: BinaryIO) -> list[bool]:
    stored: list[bool] = []
    for _ in range(count):
        line = replies.readline(_LONGEST_LINE)
        if line != _STORED and line not in _LOST:
            raise _unexpected(line)
        stored.append(line == _STORED)
    return stored


def _unexpected(line: bytes) -> Exception:
    error: Exception
    if line.endswith(b"\n") or len(line) == _LONGEST_LINE:
        error = MemcacheUnknownError(line[:100].decode("ascii", "replace").strip())
    else:
        error = MemcacheUnexpectedCloseError("the connection was closed")
    return error


#: The command that asks for the time; its reply are whole seconds since 1970.
SECONDS: Command = (b"stats\r\n", _seconds)

"""Commands that go to memcached together, in one round trip.

pymemcache asks for one thing at a time, or for several of one kind. Its client opens and closes the
connection here too; what is sent and read is the text protocol (``doc/protocol.txt`` of memcached).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from querycache.stores.memcached_replies import Replies, unexpected
from querycache.stores.memcached_wire import MemcacheUnknownError, check_key_helper

#: What is sent, and what reads its reply.
Command = tuple[bytes, Callable[[Replies], Any]]

#: Key → value and its id, which changes with the value.
Values = dict[bytes, tuple[bytes, bytes]]

#: Key, new value, id of the value that it takes the place of; None: there must be none.
Swap = tuple[bytes, bytes, bytes | None]


class Figures(NamedTuple):
    """What a server tells of itself.

    Args:
        seconds: its clock, in whole seconds since 1970.
        tells_left: whether it is one that knows `left`.
    """

    seconds: int
    tells_left: bool


_STORED = b"STORED\r\n"
_LOST = frozenset({b"EXISTS\r\n", b"NOT_FOUND\r\n", b"NOT_STORED\r\n"})

# While memcached has replies that nobody takes off it, it reads no more. So many have room in the
# buffers of any socket.
_SWAPS_AT_ONCE = 1000

#: The last second that memcached takes for an expiry.
LATEST = 2**31 - 1

_TIME = re.compile(rb"^STAT time (\d+)\r$", re.MULTILINE)
_VERSION = re.compile(rb"^STAT version (\d+)\.(\d+)", re.MULTILINE)
#: The first whose reply to `left` is one line: ``HD`` and, until 1.6.10, ``OK``
#: (https://github.com/memcached/memcached/issues/546).
_TELLS_LEFT = (1, 6)
_LEFT = re.compile(rb"(?:HD|OK) t(\d{1,10}) ?\r\n")


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
    replies = Replies(client.sock.recv)
    found = [read(replies) for _, read in commands]
    replies.end()
    return found


def values(keys: Iterable[bytes]) -> Command:
    """Make the command that reads keys; its reply are `Values`, without those that are absent."""
    return _fetch(b"gets", keys, ids=True)


def get(keys: Iterable[bytes]) -> Command:
    """Make the command that reads keys; its reply are values by their keys, without their ids."""
    return _fetch(b"get", keys, ids=False)


def _fetch(name: bytes, keys: Iterable[bytes], *, ids: bool) -> Command:
    checked = list(map(_checked, keys))
    sent = b"%b %b\r\n" % (name, b" ".join(checked))
    return sent, partial(Replies.values, asked=frozenset(checked), ids=ids)


def increase(key: bytes) -> Command:
    """Make the command that adds one to a number; its reply is the sum, None where it is absent."""
    return b"incr %b 1\r\n" % _checked(key), _number


def left(key: bytes) -> Command:
    """Make the command that reads the clock off a key that `wind` has stored.

    Its reply are the same seconds as in `FIGURES`, which take memcached longer than all else of a
    step; None where the key tells none.
    """
    return b"mg %b t\r\n" % _checked(key), _left


def wind(key: bytes) -> Command:
    """Make the command that stores a key for `left`; its reply is whether it was stored."""
    return b"set %b 0 %d 0\r\n\r\n" % (_checked(key), LATEST), _wound


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
            [
                b"add %b 0 0 %d\r\n%b\r\n" % (key, len(value), value)
                if unique is None
                else b"cas %b 0 0 %d %b\r\n%b\r\n" % (key, len(value), unique, value)
                for key, value, unique in some
            ]
        )
        (stored,) = ask(client, (sent, partial(_stored, len(some))))
        lost += [key for (key, _, _), done in zip(some, stored, strict=True) if not done]
    return lost


def seconds(client: Any) -> int:
    """Return the clock of a client's node, in whole seconds since 1970."""
    (found,) = ask(client, FIGURES)
    told: Figures = found
    return told.seconds


@lru_cache(maxsize=4096)
def _checked(key: bytes) -> bytes:
    # The same stamps are asked for again and again.
    checked: bytes = check_key_helper(key, allow_unicode_keys=False)
    return checked


def _figures(replies: Replies) -> Figures:
    # Dozens of lines, of which two are wanted.
    lines = replies.figures()
    time, version = _TIME.search(lines), _VERSION.search(lines)
    if time is None:
        raise MemcacheUnknownError("it does not tell the time")
    tells = version is not None and (int(version[1]), int(version[2])) >= _TELLS_LEFT
    return Figures(int(time[1]), tells)


def _left(replies: Replies) -> int | None:
    line = replies.line()
    found = _LEFT.fullmatch(line)
    if found is not None and int(found[1]) <= LATEST:
        return LATEST - int(found[1])
    # Absent, kept for good, or asked in vain.
    if line.startswith((b"EN\r", b"HD", b"OK", b"ERROR\r")):
        return None
    raise unexpected(line)


def _wound(replies: Replies) -> bool:
    line = replies.line()
    if line != _STORED and not line.startswith(b"SERVER_ERROR "):
        raise unexpected(line)
    return line == _STORED


def _number(replies: Replies) -> int | None:
    line = replies.line()
    if line == b"NOT_FOUND\r\n":
        return None
    if not line[:-2].isdigit():
        raise unexpected(line)
    return int(line)


def _stored(count: int, replies: Replies) -> list[bool]:
    # Nobody was quicker, most times.
    if replies.skip(_STORED * count):
        return [True] * count
    stored: list[bool] = []
    for _ in range(count):
        line = replies.line()
        if line != _STORED and line not in _LOST:
            raise unexpected(line)
        stored.append(line == _STORED)
    return stored


#: The command that asks for a server's own figures; its reply are `Figures`.
FIGURES: Command = (b"stats\r\n", _figures)

"""The wire of Redis: one packed command out, one reply in, and little in between.

redis-py opens connections (TLS, authentication, database) and names errors. Its client, its pool
and its parser cost more than the round trip itself on a local network, so they are left out: a
command is one byte string, and a reply is cut out of what arrives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from querycache.stores.base import StoreUnusable

try:
    import redis
    from redis import exceptions as errors
except ImportError as error:  # pragma: no cover - needs an environment without redis-py
    raise StoreUnusable(
        'Redis needs the package "redis": pip install "querycache[redis]"'
    ) from error

from querycache.stores.redis_replies import Replies

__all__ = [
    "GARBLED",
    "Link",
    "errors",
    "number",
    "pack",
    "pack_read",
    "pack_stamps",
    "pack_step",
    "pack_write",
    "parse_info",
    "redis",
]

logger = logging.getLogger("querycache.redis")

#: What comes of numbers that are none or too large and of lists in lists, and of replies to another
#: question.
GARBLED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)

#: Makes the command that runs a whole script, which few servers have to be sent.
Whole = Callable[[], bytes]

# Replies that a link may owe before it is made to collect them.
_MOST_OWED = 64


def pack(*parts: bytes) -> bytes:
    """Return a command as it goes over the wire."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts]))


@lru_cache(maxsize=4096)
def pack_stamps(stamps: tuple[bytes, ...]) -> bytes:
    """Return the command that fetches stamps; a project asks for the same ones again and again."""
    return pack(b"MGET", *stamps)


def pack_read(entry: bytes, stamps: tuple[bytes, ...]) -> bytes:
    """Return the command that fetches an entry and stamps."""
    head = (2 + len(stamps), len(entry), entry, _pack_parts(stamps))
    return b"*%d\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n%b" % head


@lru_cache(maxsize=4096)
def _pack_parts(parts: tuple[bytes, ...]) -> bytes:
    """Return parts of a command without their number."""
    return pack(*parts).partition(b"\r\n")[2]


def pack_write(entry: bytes, value: bytes, ttl: float | None) -> bytes:
    """Return the command that stores an entry.

    Args:
        entry: its key.
        value: what is stored.
        ttl: for how many seconds; None: for ever.
    """
    count, rest = _pack_ttl(ttl)
    head = (count, len(entry), entry, len(value), value, rest)
    return b"*%d\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % head


@lru_cache(maxsize=16)
def _pack_ttl(ttl: float | None) -> tuple[int, bytes]:
    # How many parts the command has with it.
    if ttl is None:
        return 3, b""
    return 5, _pack_parts((b"PX", b"%d" % max(1, round(ttl * 1000))))


def pack_step(
    digest: bytes, keys: tuple[bytes, ...], lease: bytes, token: bytes, nonce: bytes
) -> bytes:
    """Return the command that runs a step of the protocol.

    Args:
        digest: of its script.
        keys: that the script is given.
        lease: how long it lasts, in ms.
        token: of the writer.
        nonce: random bytes.
    """
    head = (_pack_step(digest, keys, lease), len(token), token, len(nonce), nonce)
    return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % head


@lru_cache(maxsize=4096)
def _pack_step(digest: bytes, keys: tuple[bytes, ...], lease: bytes) -> bytes:
    # All but the last two: who writes a row once does so again.
    known = (b"EVALSHA", digest, b"%d" % len(keys), *keys, lease)
    return b"*%d\r\n%b" % (len(known) + 2, pack(*known).partition(b"\r\n")[2])


class Link:
    """One connection; used by one thread at a time.

    Replies to commands that were sent without waiting are collected along with a later one. An
    error among them is raised by that one, after its own reply: an outage is noticed a moment
    later, and the link stays in step.

    Args:
        connection: a connection of redis-py that is connected.
        receive: returns the next reply; None: the next that the connection receives.
        before: what goes before each command.
    """

    __slots__ = ("_before", "_owed", "connection", "good_until", "identity", "receive")

    def __init__(
        self, connection: Any, receive: Callable[[], Any] | None = None, before: bytes = b""
    ) -> None:
        self.connection = connection
        self._before = before
        #: Returns the next reply.
        self.receive = receive or Replies(connection).next
        #: Until when the server's role need not be looked at again, on the monotonic clock.
        self.good_until = 0.0
        #: Who the server was when it was looked at last.
        self.identity = b""
        self._owed: list[Whole | None] = []

    def ask(self, command: bytes) -> Any:
        """Send a command and return its reply."""
        self._send(command)
        if self._owed:
            return self.finish()
        return self.receive()

    def start(self, command: bytes) -> None:
        """Send a command whose reply `finish` will return; nothing else is asked in between."""
        self._send(command)

    def finish(self) -> Any:
        """Return the reply to what was started last."""
        if not self._owed:
            return self.receive()
        again, error = self._collect()
        try:
            reply = self.receive()
        except errors.ResponseError:
            self._ask_again(again)
            raise
        self._ask_again(again)
        if error is not None:
            raise error
        return reply

    def ask_values(self, command: bytes, count: int) -> list[bytes | None]:
        """Send a command whose reply is so many values, and return them."""
        reply = self.ask(command)
        if type(reply) is not list or len(reply) != count:
            raise errors.InvalidResponse("not the values that were asked for")
        return reply

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands together and return their replies; an error takes its reply's place."""
        self.send(b"".join(commands))
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(self.receive())
            except errors.ResponseError as error:
                replies.append(error)
        return replies

    def send(self, command: bytes) -> None:
        """Send a command whose reply `receive` will return."""
        if self._owed:
            self.settle_debts()
        self._send(command)

    def tell(self, command: bytes, whole: Whole | None = None) -> None:
        """Send a command and leave its reply for the next one to collect.

        Args:
            command: what is sent now.
            whole: makes what is sent when the reply turns out to be that the script is unknown;
                None for commands on entries, which a full server may refuse.
        """
        if len(self._owed) >= _MOST_OWED:
            self.settle_debts()
        self._send(command)
        self._owed.append(whole)

    def _send(self, command: bytes) -> None:
        try:
            self.connection._sock.sendall(self._before + command)
        except TimeoutError as error:
            raise errors.TimeoutError("it did not take a command in time") from error

    def settle_debts(self) -> None:
        """Collect the replies of all commands that were sent without waiting."""
        again, error = self._collect()
        self._ask_again(again)
        if error is not None:
            raise error

    def _collect(self) -> tuple[list[Whole], errors.ResponseError | None]:
        owed, self._owed = self._owed, []
        again: list[Whole] = []
        found: errors.ResponseError | None = None
        for whole in owed:
            try:
                self.receive()
            except errors.NoScriptError as error:
                if whole is None:
                    found = error
                else:
                    again.append(whole)
            except errors.ResponseError as error:
                if whole is None and isinstance(error, errors.OutOfMemoryError):
                    logger.debug("an entry was not stored: %s", error)
                else:
                    found = error
        return again, found

    def _ask_again(self, again: Sequence[Whole]) -> None:
        for whole in again:
            self.ask(whole())

    def close(self) -> None:
        """Close the connection."""
        self.connection.disconnect()


def parse_info(reply: bytes) -> dict[str, str]:
    """Take the reply to INFO apart."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def number(text: str | None) -> int | None:
    """Return a figure of INFO; None where there is none, or none is set."""
    return int(text) if text and text.isdigit() and text != "0" else None

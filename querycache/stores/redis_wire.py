"""The wire of Redis: one packed command out, one reply in, and little in between.

redis-py opens connections (TLS, authentication, database) and parses replies. Its client and pool
cost more than the round trip itself on a local network, so they are left out: a command is one byte
string.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from querycache.stores.base import StoreUnusable

try:
    import redis
    from redis import exceptions as errors
except ImportError as error:  # pragma: no cover - needs an environment without redis-py
    raise StoreUnusable(
        'Redis needs the package "redis": pip install "querycache[redis]"'
    ) from error

__all__ = ["GARBLED", "Link", "errors", "number", "pack", "parse_info", "redis"]

logger = logging.getLogger("querycache.redis")

#: What redis-py makes of numbers that are none or too large and of lists in lists, and this code
#: of replies to another question.
GARBLED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)

# Replies that a link may owe before it is made to collect them.
_MOST_OWED = 64


def pack(*parts: bytes) -> bytes:
    """Return a command as it goes over the wire."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts]))


class Link:
    """One connection; used by one thread at a time.

    Args:
        connection: a connection of redis-py that is connected.
    """

    __slots__ = ("_owed", "connection", "good_until", "identity")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        #: Until when the server's role need not be looked at again, on the monotonic clock.
        self.good_until = 0.0
        #: Who the server was when it was looked at last.
        self.identity = b""
        self._owed: list[bytes] = []

    def ask(self, command: bytes) -> Any:
        """Send a command and return its reply."""
        connection = self.connection
        connection.send_packed_command((command,), check_health=False)
        if self._owed:
            again = self._collect()
            reply = connection.read_response(disable_decoding=True)
            for late in again:
                self.ask(late)
            return reply
        return connection.read_response(disable_decoding=True)

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
        self.connection.send_packed_command((command,), check_health=False)

    def receive(self) -> Any:
        """Return the reply to what was sent."""
        return self.connection.read_response(disable_decoding=True)

    def tell(self, command: bytes, otherwise: bytes = b"") -> None:
        """Send a command and leave its reply for the next one to collect.

        Args:
            command: what is sent now.
            otherwise: what is sent when the reply turns out to be that the script is unknown.
        """
        if len(self._owed) >= _MOST_OWED:
            self.settle_debts()
        self.connection.send_packed_command((command,), check_health=False)
        self._owed.append(otherwise)

    def settle_debts(self) -> None:
        """Collect the replies of all commands that were sent without waiting."""
        for command in self._collect():
            self.ask(command)

    def _collect(self) -> list[bytes]:
        owed, self._owed = self._owed, []
        again: list[bytes] = []
        for otherwise in owed:
            try:
                self.connection.read_response(disable_decoding=True)
            except errors.NoScriptError:
                again.append(otherwise)
            except errors.ResponseError as error:
                # An entry that was not stored, or a lease that runs out by itself.
                logger.debug("a command sent without waiting failed: %s", error)
        return again

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

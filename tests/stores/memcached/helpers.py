"""What the tests of the Memcached store share."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import Any

from pymemcache.client.base import Client

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreOptions
from querycache.stores.memcached import MemcachedStore
from tests.servers import MemcachedServer
from tests.stores.calls import LONG


def ask(server: MemcachedServer, command: str, *args: Any) -> Any:
    """Send one command behind the store's back."""
    client = Client(("127.0.0.1", server.port), default_noreply=False)
    try:
        return getattr(client, command)(*args)
    finally:
        client.close()


def figure(server: MemcachedServer, name: bytes) -> int:
    return int(ask(server, "stats")[name])


#: One command of those that go out together: a line, and an empty value where one is stored.
_COMMAND = re.compile(rb"set [^\r]*\r\n\r\n|[^\r]*\r\n")


class Tap:
    """What stands in for the module ``socket`` in pymemcache: it sees what is sent, and can wait.

    Args:
        before: called before each command that reads, which is sent when those before it are
            answered, and before each request of another kind.
        sip: how many bytes of replies come at once, at most.
    """

    def __init__(
        self, before: Callable[[bytes], None] | None = None, *, sip: int = 1 << 20
    ) -> None:
        self.before = before
        self.sip = sip
        #: What was sent in each round trip.
        self.requests: list[bytes] = []

    def socket(self, *args: Any) -> socket.socket:
        return _Tapped(self, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class _Tapped(socket.socket):
    def __init__(self, tap: Tap, *args: Any) -> None:
        super().__init__(*args)
        self._tap = tap
        self._asking = False

    def sendall(self, data: Any, *args: Any) -> None:
        if self._asking:
            self._tap.requests[-1] += data
        else:
            self._tap.requests.append(data)
        self._asking = True
        if self._tap.before is None:
            return super().sendall(data)
        commands = _COMMAND.findall(data) if data.startswith(b"gets ") else [data]
        answered = 0
        for command in commands:
            self._tap.before(command)
            super().sendall(command)
            if command is not commands[-1]:
                end = b"END\r\n" if command.startswith((b"gets ", b"stats")) else b"\r\n"
                answered = self._answered(answered, end)
        return None

    def _answered(self, least: int, end: bytes) -> int:
        seen = b""
        while len(seen) <= least or not seen.endswith(end):
            seen = super().recv(1 << 20, socket.MSG_PEEK)
        return len(seen)

    def recv(self, *args: Any) -> bytes:
        self._asking = False
        return super().recv(*args)

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self._asking = False
        return super().recv_into(memoryview(buffer)[: self._tap.sip], *args)


def open_(
    *servers: MemcachedServer, timeout: float = 5.0, prefix: str = "qc", tap: Tap | None = None
) -> MemcachedStore:
    options = StoreOptions(prefix=prefix, lease=LONG, timeout=timeout)
    extra = {} if tap is None else {"socket_module": tap}
    return MemcachedStore([("127.0.0.1", one.port) for one in servers], options, extra=extra)


def settled(store: Store, server: MemcachedServer, *stamps: bytes) -> list[bytes]:
    for stamp in stamps:
        ask(server, "set", stamp, protocol.settled(0, 0, os.urandom(16)))
    return list(store.settle(stamps))


def sequence(store: Store, stamp: bytes) -> int:
    """Return the number of a stamp that must be settled."""
    parsed = protocol.parse_settled(store.stamps([stamp])[0])
    assert parsed is not None
    return parsed.sequence

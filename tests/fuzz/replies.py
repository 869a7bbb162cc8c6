"""Servers that answer with anything: a store raises `StoreError`, or returns what it must."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import redis

from querycache.stores.base import Store, StoreError, StoreOptions, StoreUnusable
from querycache.stores.memcached import MemcachedStore
from querycache.stores.redis import RedisStore
from querycache.stores.redis_places import Address
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import Target

ENTRY, STAMPS = b"qc:e:entry", (b"qc:s:one", b"qc:s:two")
TOKEN = bytes(15) + b"t"
OPTIONS = StoreOptions(timeout=1.0)

# Replies are small: a socket takes them all before the client asks for the first.
_LARGEST = 8192

#: Pieces of one line each that a connection gives.
_MOST_LINES = 100


class _Replies(Target):
    """A server whose replies are all there before anything is asked.

    The first byte of an input chooses what is asked.
    """

    def make(self, mutator: Mutator) -> bytes:
        return bytes([mutator.random.randrange(8)]) + mutator.pick(self.corpus)[:_LARGEST]

    def check(self, data: bytes) -> bool:
        if not data:
            return False
        self.replies = data[1:]
        self._open: list[socket.socket] = []
        store = self.open()
        try:
            return self._asked(store, data[0] % 8)
        except (StoreError, StoreUnusable):
            return False
        finally:
            with suppress(StoreError):
                store.close()
            for end in self._open:
                end.close()

    @abstractmethod
    def open(self) -> Store:
        """Return a store that is connected to the server by its first call."""

    def connected(self) -> socket.socket:
        """Return a connection on which every reply has come."""
        ours, theirs = socket.socketpair()
        self._open += ours, theirs
        theirs.sendall(self.replies)
        theirs.shutdown(socket.SHUT_WR)
        return ours

    def _asked(self, store: Store, which: int) -> bool:
        if which < 2:
            entry, *found = store.read(ENTRY, STAMPS)
            _assert_values([entry, *found], 3)
        elif which == 2:
            _assert_values(store.stamps(STAMPS), 2)
        elif which == 3:
            _assert_values(store.settle(STAMPS), 2)
        elif which == 4:
            store.begin(STAMPS, TOKEN)
        elif which == 5:
            store.write(ENTRY, b"value", 60)
        elif which == 6:
            store.info()
        else:
            store.clear()
        return True


def _assert_values(found: Any, count: int) -> None:
    assert isinstance(found, list)
    assert len(found) == count


class RedisReplies(_Replies):
    """A Redis."""

    name = "redis"
    share = 5

    def __init__(self) -> None:
        info = b"redis_version:7.0.0\r\nrole:master\r\nrun_id:a\r\nmaster_replid:b\r\n"
        # redis-py says its own name and version first.
        self._hello = b"+OK\r\n" * 2 + b"$%d\r\n%b\r\n" % (len(info), info) * 2
        self._hello += b"*1\r\n$5\r\na:b@0\r\n*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n"
        stamp = b"$49\r\nS" + b"0" * 48 + b"\r\n"
        self._replies = [
            b"*3\r\n$5\r\nvalue\r\n" + stamp * 2,
            b"*3\r\n$-1\r\n$-1\r\n$-1\r\n",
            b"*2\r\n" + stamp * 2,
            b":1\r\n",
            b"+OK\r\n",
            b"$%d\r\n%b\r\n" % (len(info), info),
            b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n:1\r\n",
            b"-NOSCRIPT none\r\n:1\r\n",
            b"-OOM full\r\n",
            # Deeper than Python goes; each piece that comes of it is read from its beginning.
            b"*1\r\n" * 1100,
            b"*3\r\n:1\r\n*0\r\n$1\r\nx\r\n",
        ]
        self.corpus = [self._hello + reply for reply in self._replies]

    def make(self, mutator: Mutator) -> bytes:
        if mutator.random.randrange(4):
            # The greeting as it should be, so that what follows it is reached.
            reply = mutator.pick(self._replies)[:_LARGEST]
            return bytes([mutator.random.randrange(8)]) + self._hello + reply
        return super().make(mutator)

    def open(self) -> Store:
        outer = self

        class Connection(redis.Connection):
            def _connect(self) -> socket.socket:
                # What comes after redis-py's greeting is not for its own parser.
                return _Connected(outer.connected)

        place = Address(Connection, {"socket_timeout": 1.0, "protocol": 2})
        return RedisStore(place, OPTIONS)


class MemcachedReplies(_Replies):
    """A memcached."""

    name = "memcached"
    share = 5

    def __init__(self) -> None:
        stamp = b"S" + b"0" * 48
        time = b"STAT pid 1\r\nSTAT time 1700000000\r\nEND\r\n"
        stored = b"STORED\r\n"
        held = b"VALUE qc:s:one 0 49 7\r\n%b\r\nEND\r\n" % stamp
        era = b"VALUE qc:era 0 8 9\r\nEEEEEEEE\r\nEND\r\n"
        begun = time + stored + b"16\r\n" + era + stored * 2
        self.corpus = [
            b"VALUE qc:e:entry 0 13\r\nGGGGGGGGvalue\r\nVALUE qc:generation 0 8\r\nGGGGGGGG\r\n"
            b"VALUE qc:s:one 0 49\r\n%b\r\nEND\r\n" % stamp,
            b"END\r\n",
            held + time + stored * 2,
            held + time + b"15\r\n" + era + stored * 2,
            b"END\r\n" + time + b"15\r\n" + era + stored * 2,
            b"END\r\n" + time + b"NOT_FOUND\r\nEND\r\n" + stored + begun,
            b"VALUE qc:s:one 0 1000000000000000 7\r\n%b" % stamp,
            stored * 3,
            b"VALUE qc:generation 0 8\r\nGGGGGGGG\r\nEND\r\n" + stored,
            b"STAT version 1.6\r\nSTAT bytes 5\r\nSTAT limit_maxbytes 6\r\nEND\r\n",
            b"ERROR\r\n",
            b"SERVER_ERROR out of memory\r\n",
            b"CLIENT_ERROR bad data chunk\r\n",
        ]

    def open(self) -> Store:
        sockets = SimpleNamespace(
            **{name: getattr(socket, name) for name in dir(socket) if name.isupper()},
            error=OSError,
            getaddrinfo=lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("", 1))],
            socket=lambda *_: _Connected(self.connected),
        )
        return MemcachedStore([("there", 1)], OPTIONS, extra={"socket_module": sockets})


class _Connected(socket.socket):
    """A socket that is connected already, and on which one line comes at a time.

    What came along with the last reply that was asked for is nobody's. What has more lines than any
    greeting comes at once in the end: a reply is read from its beginning with each piece of it.

    Args:
        connect: makes the real one.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__(fileno=connect().detach())
        self._lines = 0

    def connect(self, address: object) -> None:
        """Nothing is left to do."""

    def setsockopt(self, *args: object) -> None:
        """A pair of sockets has no options of TCP."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(self._line(size), flags)

    def recv_into(self, buffer: Any, *args: int) -> int:
        return super().recv_into(buffer, self._line(len(buffer)))

    def _line(self, most: int) -> int:
        seen = super().recv(most, socket.MSG_PEEK)
        self._lines += 1
        if self._lines > _MOST_LINES:
            return most
        return seen.find(b"\n") + 1 or len(seen) or most

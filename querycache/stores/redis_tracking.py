"""Stamps that the process knows without asking: Redis tells when one changes.

The server is asked to tell, on a connection of its own, of every change of a key that begins as
stamps do (client tracking in broadcasting mode: https://redis.io/docs/latest/develop/reference/
client-side-caching/). What was read of a stamp is then known until its change is told. Before each
use the connection is looked at for messages. So what is known may be behind the server by as long
as a message takes. A connection that is lost takes all that is known with it. On one over which
nothing was heard for half a second the server is asked whether it is still there, and nothing
counts as known until it answers: what changed before has been told by then.
"""

from __future__ import annotations

import contextlib
import logging
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from querycache import stamps as protocol
from querycache.stores.base import Follower, StoreError
from querycache.stores.forks import watch_forks
from querycache.stores.redis_wire import errors, pack
from querycache.stores.resp import Malformed, Push, Replies

logger = logging.getLogger("querycache.redis")

#: Seconds of silence after which the server is asked whether it is still there. Nothing is known
#: until it answers.
QUIET = 0.5
#: Seconds after which a server that does not answer is lost.
SILENT = 1.0
#: Seconds between two attempts to connect.
RETRY = 1.0

_PIECE = 65536


class Tracking(Follower):
    """Follows the stamps of one prefix on one server; safe between threads and after a fork.

    Args:
        connect: opens a connection of redis-py to the server, or raises StoreError.
        prefix: what the keys of the stamps begin with.
        timeout: of answers while connecting, in seconds.
    """

    def __init__(self, connect: Callable[[], Any], prefix: bytes, timeout: float) -> None:
        self._connect = connect
        self._prefix = prefix
        self._timeout = timeout
        self._retry_at = 0.0
        self._forget()
        watch_forks(self)

    def known(self, keys: Sequence[bytes]) -> list[bytes] | None:
        if not self._known:
            return None
        with self._lock:
            self._hear()
            if self._asked:
                return None
            known = self._known
            try:
                return [known[key] for key in keys]
            except KeyError:
                return None

    def ticket(self) -> object:
        with self._lock:
            if self._connection is None:
                self._open()
            else:
                self._hear()
            return self._turn

    def note(self, ticket: object, keys: Sequence[bytes], found: Sequence[bytes | None]) -> None:
        with self._lock:
            if self._connection is None:
                return
            self._hear()
            # Any change since the ticket may be one of these, told before the answer came. One that
            # is told later takes away again what is noted now.
            if ticket is self._turn:
                for key, stamp in zip(keys, found, strict=True):
                    if stamp is not None and protocol.is_settled(stamp):
                        self._known[key] = stamp

    def forget(self, keys: Sequence[bytes]) -> None:
        with self._lock:
            self._turn = object()
            for key in keys:
                self._known.pop(key, None)

    def close(self) -> None:
        with self._lock:
            self._lose(None)

    def after_fork(self) -> None:
        """Leave the connection to the parent."""
        connection = self._connection
        self._forget()
        if connection is not None:
            # Closes this process's copy of the socket, and nothing else.
            with contextlib.suppress(errors.RedisError, OSError):
                connection.disconnect()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._socket: Any = None
        self._known: dict[bytes, bytes] = {}
        #: Another object after each message.
        self._turn = object()
        self._heard_at = self._asked_at = 0.0
        #: The server was asked whether it is there, and has not answered.
        self._asked = False

    # All below with the lock held.

    def _open(self) -> None:
        now = time.monotonic()
        if now < self._retry_at:
            return
        self._retry_at = now + RETRY
        try:
            connection = self._connect()
        except StoreError as error:
            logger.warning("the changes of stamps cannot be followed: %s", error)
            return
        self._connection, self._socket = connection, connection._sock
        self._replies = Replies()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        self._asked = False
        self._heard_at = now
        try:
            self._ask(pack(b"HELLO", b"3"))
            self._ask(pack(b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", self._prefix))
            self._socket.setblocking(False)
        except (OSError, Malformed) as error:
            self._lose(error)

    def _ask(self, command: bytes) -> None:
        """Send a command while connecting, and wait for its answer."""
        self._socket.settimeout(self._timeout)
        self._socket.sendall(command)
        while True:
            with contextlib.suppress(IndexError):
                reply = self._replies.next()
                if isinstance(reply, Malformed):
                    raise reply
                if not isinstance(reply, Push):
                    return
            data = self._socket.recv(_PIECE)
            if not data:
                raise ConnectionResetError("the server has closed the connection")
            self._replies.feed(data)

    def _hear(self) -> None:
        """Take all messages that have arrived."""
        if self._connection is None:
            return
        now = time.monotonic()
        try:
            if self._poll.poll(0) or self._pending():
                self._take()
                self._heard_at = now
                self._asked = False
            elif self._asked:
                if now - self._asked_at > SILENT:
                    raise TimeoutError("the server is silent")
            elif now - self._heard_at > QUIET:
                self._asked, self._asked_at = True, now
                self._socket.send(b"*1\r\n$4\r\nPING\r\n")
        except (OSError, Malformed) as error:
            self._lose(error)

    def _pending(self) -> bool:
        # What TLS has decrypted already does not show in the socket.
        pending = getattr(self._socket, "pending", None)
        return pending is not None and pending() > 0

    def _take(self) -> None:
        while True:
            try:
                data = self._socket.recv(_PIECE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # TLS asks to come back for more by an exception of its own.
                if type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError"):
                    break
                raise
            if not data:
                raise ConnectionResetError("the server has closed the connection")
            self._replies.feed(data)
            if len(data) < _PIECE:
                break
        with contextlib.suppress(IndexError):
            while True:
                self._told(self._replies.next())

    def _told(self, reply: Any) -> None:
        if not isinstance(reply, Push) or len(reply) != 2 or reply[0] != b"invalidate":
            return
        self._turn = object()
        if reply[1] is None:
            # Everything went at once (FLUSHALL).
            self._known = {}
            return
        for key in reply[1]:
            self._known.pop(key, None)

    def _lose(self, error: Exception | None) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        self._known = {}
        self._turn = object()
        if connection is not None:
            with contextlib.suppress(errors.RedisError, OSError):
                connection.disconnect()
        if error is not None:
            logger.warning("the changes of stamps are not followed any more: %s", error)

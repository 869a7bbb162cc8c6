"""Nodes of memcached: which one a key lives on, and connections that rest between calls."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from querycache.stores.base import StoreError, StoreOptions, StoreUnusable

try:
    from pymemcache.client.base import Client, check_key_helper
    from pymemcache.exceptions import (
        MemcacheError,
        MemcacheServerError,
        MemcacheUnexpectedCloseError,
        MemcacheUnknownError,
    )
except ImportError as error:  # pragma: no cover - needs an environment without pymemcache
    raise StoreUnusable(
        'Memcached needs the package "pymemcache": pip install "querycache[memcached]"'
    ) from error

__all__ = [
    "MemcacheServerError",
    "MemcacheUnexpectedCloseError",
    "MemcacheUnknownError",
    "Node",
    "address",
    "check_key_helper",
    "node_of",
]

Address = tuple[str, int] | str

# What pymemcache makes of answers to something else.
_GARBLED = (LookupError, OverflowError, TypeError, ValueError)


class Node:
    """One memcached server; safe between threads and after a fork.

    Args:
        where: host and port, or the path of a unix socket.
        options: of the store.
        extra: more arguments of pymemcache's client, such as a TLS context.
    """

    def __init__(self, where: Address, options: StoreOptions, extra: dict[str, Any]) -> None:
        self.where = where if isinstance(where, str) else "{}:{}".format(*where)
        #: The generation of entries that the last read has seen; None: none yet.
        self.generation: bytes | None = None
        #: Whether a key tells the server's time; None: nobody has asked for its figures yet.
        self.winds: bool | None = None
        self._server = where
        self._settings = {
            "no_delay": True,
            **extra,
            "connect_timeout": options.timeout,
            "timeout": options.timeout,
            # A refused command without a reply would be answered nevertheless, and that answer
            # would be taken for the next one's.
            "default_noreply": False,
            "ignore_exc": False,
        }
        self._idle: deque[Any] = deque()
        self._pid = os.getpid()

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        """Return ``work(client, *args)``.

        A connection that rested may have been closed by the server, which is no outage: the work is
        done once more on a new one. All work may be repeated: each change of a stamp begins with
        reading it.

        Raises:
            StoreError: the node does not answer or refuses.
        """
        if self._pid != os.getpid():
            # The sockets are the parent's: closing this process's copies ends no connection.
            self._pid = os.getpid()
            self.close()
        try:
            client = self._idle.pop()
        except IndexError:
            return self._call_new(work, args)
        try:
            result = work(client, *args)
        except (MemcacheUnexpectedCloseError, ConnectionError):
            client.close()
            self.close()
            return self._call_new(work, args)
        except BaseException as error:
            raise self._failed(client, error) from error
        self._idle.append(client)
        return result

    def _call_new(self, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        client = Client(self._server, **self._settings)
        try:
            result = work(client, *args)
        except BaseException as error:
            raise self._failed(client, error) from error
        self._idle.append(client)
        return result

    def _failed(self, client: Any, error: BaseException) -> BaseException:
        # Its answer may still be on the way.
        client.close()
        if isinstance(error, (MemcacheError, OSError, *_GARBLED)):
            return StoreError(f"memcached at {self.where}: {error or type(error).__name__}")
        return error

    def close(self) -> None:
        """Close the connections that rest."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took it
                return

    def __del__(self) -> None:
        self.close()


def node_of(nodes: Sequence[Node], key: bytes) -> Node:
    """Return the node of a key: always the same one, also while it is down.

    A ring that moved keys to another node and back would bring old stamps back.
    """
    return nodes[0] if len(nodes) == 1 else nodes[crc32(key) % len(nodes)]


def address(text: str) -> Address:
    """Return the address that ``host``, ``host:port``, ``[::1]:port`` or a socket's path names.

    Raises:
        StoreUnusable: it names none.
    """
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        return path
    match = re.fullmatch(r"(?:inet6?:)?(\[[^\]@]+\]|[^:/?#@\s]+)(?::(\d{1,5}))?", text)
    if match is None or int(match[2] or 0) > 65535:
        # Not repeated: somebody may have tried to give a password, and a comma in it cuts it.
        raise StoreUnusable(
            "not the addresses of memcached: host, host:port or a socket's path, separated by"
            " commas, without user and password"
        )
    return match[1].strip("[]"), int(match[2] or 11211)

"""Connections to a Redis server: one packed command out, one reply in, and little in between.

redis-py opens connections (TLS, authentication, database) and parses replies. Its client and pool
cost more than the round trip itself on a local network, so they are left out: links that rest
are a stack, and a command is one byte string.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from querycache.stores.base import StoreError, StoreOptions, StoreUnusable

try:
    import redis
    from redis import exceptions as errors
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:  # pragma: no cover - needs an environment without redis-py
    raise StoreUnusable(
        'Redis needs the package "redis": pip install "querycache[redis]"'
    ) from error

__all__ = ["Link", "Links", "errors", "pack"]

logger = logging.getLogger("querycache.redis")

_OLDEST = (6, 0)

# Replies that a link may owe before it is made to collect them.
_MOST_OWED = 64

# What redis-py puts into a pool's settings for the pool itself or for the third protocol version,
# whose server may send messages that nobody asked for.
_NOT_OURS = ("cache", "event_dispatcher", "himport_registry", "maint_", "orig_", "oss_cluster")


def pack(*parts: bytes) -> bytes:
    """Return a command as it goes over the wire."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts]))


class Link:
    """One connection; used by one thread at a time.

    Args:
        connection: a connection of redis-py that is connected.
    """

    __slots__ = ("_connection", "_owed", "connection")

    def __init__(self, connection: Any) -> None:
        self._connection = self.connection = connection
        self._owed: list[bytes] = []

    def ask(self, command: bytes) -> Any:
        """Send a command and return its reply."""
        connection = self._connection
        connection.send_packed_command((command,), check_health=False)
        if self._owed:
            again = self._collect()
            reply = connection.read_response(disable_decoding=True)
            for late in again:
                self.ask(late)
            return reply
        return connection.read_response(disable_decoding=True)

    def tell(self, command: bytes, otherwise: bytes = b"") -> None:
        """Send a command and leave its reply for the next one to collect.

        Args:
            command: what is sent now.
            otherwise: what is sent when the reply turns out to be that the script is unknown.
        """
        if len(self._owed) >= _MOST_OWED:
            self.settle_debts()
        self._connection.send_packed_command((command,), check_health=False)
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
                self._connection.read_response(disable_decoding=True)
            except errors.NoScriptError:
                again.append(otherwise)
            except errors.ResponseError as error:
                # An entry that was not stored, or a lease that runs out by itself.
                logger.debug("a command sent without waiting failed: %s", error)
        return again

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


class Links:
    """The links of one store to one server; safe between threads and after a fork.

    Args:
        connection_class: redis-py's class of connection.
        settings: what it is made with.
        check: what is done with each new link before it is used.
    """

    def __init__(
        self,
        connection_class: Callable[..., Any],
        settings: Mapping[str, Any],
        check: Callable[[Link], None],
    ) -> None:
        self._class = connection_class
        self._settings = dict(settings)
        self._check = check
        self._idle: deque[Link] = deque()
        self._pid = os.getpid()

    @property
    def place(self) -> str:
        """Where the server is; never a password."""
        settings = self._settings
        where = settings.get("path") or "{}:{}".format(
            settings.get("host", "localhost"), settings.get("port", 6379)
        )
        return f"{where}/{settings.get('db') or 0}"

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        """Return ``work(link, *args)``.

        A link that rested may have been closed by the server or by something between, which is no
        outage: the work is done once more on a new link. Everything that a store does may be
        repeated: reads change nothing, an entry is stored again as it was, `begin` renews its own
        lease, `touch` and `settle` change the stamp once more, and an `end` that had already been
        applied finds its lease gone and puts the stamp in quarantine, which costs hits and is safe.

        Raises:
            StoreError: the server does not answer or refuses.
        """
        if self._pid != os.getpid():
            self._forget()
        try:
            link = self._idle.pop()
        except IndexError:
            return self._call_new(work, args)
        try:
            reply = work(link, *args)
        except (errors.ConnectionError, OSError) as error:
            self._drop(link)
            if isinstance(error, (errors.BusyLoadingError, errors.AuthenticationError)):
                raise StoreError(f"Redis at {self.place}: {error}") from error
            # The others were closed along with it, most likely.
            self.close()
            return self._call_new(work, args)
        except errors.RedisError as error:
            raise self._failed(link, error) from error
        except BaseException:
            # The reply may still be on its way: the link must not be used again.
            self._drop(link)
            raise
        self._idle.append(link)
        return reply

    def _call_new(self, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        link = self._open()
        try:
            reply = work(link, *args)
        except (errors.RedisError, OSError) as error:
            raise self._failed(link, error) from error
        except BaseException:
            self._drop(link)
            raise
        self._idle.append(link)
        return reply

    def close(self) -> None:
        """Close the links that rest."""
        if self._pid != os.getpid():
            self._forget()
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread took it
                return
            # A socket that is closed with replies unread may take commands along that the server
            # has not read yet.
            with contextlib.suppress(errors.RedisError, OSError):
                link.settle_debts()
            self._drop(link)

    def connect(self) -> Any:
        """Return a connection of redis-py for somebody's own use, looked at as every other.

        Raises:
            StoreError: the server does not answer or refuses.
        """
        return self._open().connection

    def _open(self) -> Link:
        connection = self._class(**self._settings)
        link = Link(connection)
        try:
            connection.connect()
            self._check(link)
        except (errors.RedisError, OSError) as error:
            self._drop(link)
            raise StoreError(f"Redis at {self.place}: {error}") from error
        except BaseException:
            self._drop(link)
            raise
        return link

    def _failed(self, link: Link, error: Exception) -> StoreError:
        if isinstance(error, errors.ReadOnlyError):
            # The server is a replica now: each link must find the new primary.
            self._drop(link)
            self.close()
        elif isinstance(error, errors.ResponseError):
            # The server has answered; the link is in order.
            self._idle.append(link)
        else:
            self._drop(link)
        return StoreError(f"Redis at {self.place}: {error}")

    def _drop(self, link: Link) -> None:
        with contextlib.suppress(errors.RedisError, OSError):
            link.close()

    def _forget(self) -> None:
        # In the child of a fork: the sockets are the parent's; redis-py closes this process's copy
        # without ending the connection.
        idle, self._idle = self._idle, deque()
        self._pid = os.getpid()
        for link in idle:
            self._drop(link)


def settings_of_url(url: str, options: StoreOptions) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the connection class and settings that a URL names.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``.
        options: of the store; a timeout in the URL goes before.

    Raises:
        StoreUnusable: redis-py cannot read the URL.
    """
    scheme, separator, rest = url.partition("://")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    try:
        pool = redis.ConnectionPool.from_url(scheme + separator + rest)
    except (ValueError, TypeError, errors.RedisError) as error:
        # The URL may hold a password: it is not repeated.
        raise StoreUnusable(f"a Redis URL that cannot be read: {error}") from error
    given = {
        name: pool.connection_kwargs[name] for name in _TIMEOUTS if name in pool.connection_kwargs
    }
    return pool.connection_class, {**_settings(pool.connection_kwargs, options), **given}


def settings_of_pool(pool: Any, options: StoreOptions) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the connection class and settings of a client's own pool.

    Args:
        pool: ``client.connection_pool``.
        options: of the store; its timeout goes before the client's.

    Raises:
        StoreUnusable: the pool leads to no single server.
    """
    connection_class = getattr(pool, "connection_class", None)
    settings = getattr(pool, "connection_kwargs", None)
    if connection_class is None or settings is None or hasattr(pool, "sentinel_manager"):
        raise StoreUnusable(f"{type(pool).__name__} does not lead to one Redis server")
    if not issubclass(connection_class, redis.connection.AbstractConnection):
        # valkey-py's: the same words, but classes and exceptions of its own.
        plain = _PLAIN_CONNECTIONS.get(connection_class.__name__)
        if plain is None:
            raise StoreUnusable(f"{connection_class.__name__} is no connection of redis-py")
        settings = {
            name: value
            for name, value in settings.items()
            if name in _PLAIN_SETTINGS or name.startswith("ssl_")
        }
        connection_class = plain
    return connection_class, _settings(settings, options)


_PLAIN_CONNECTIONS = {
    "Connection": redis.Connection,
    "SSLConnection": redis.SSLConnection,
    "UnixDomainSocketConnection": redis.UnixDomainSocketConnection,
}
_PLAIN_SETTINGS = frozenset(
    [
        *("client_name", "db", "host", "password", "path", "port", "username"),
        *("socket_keepalive", "socket_keepalive_options", "socket_type"),
    ]
)
_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")


def _settings(given: Mapping[str, Any], options: StoreOptions) -> dict[str, Any]:
    settings = {name: value for name, value in given.items() if not name.startswith(_NOT_OURS)}
    settings.update(
        socket_timeout=options.timeout,
        socket_connect_timeout=options.timeout,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        retry_on_error=[],
        health_check_interval=0,
        decode_responses=False,
        protocol=2,
    )
    return settings


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def check_version(info: Mapping[str, str], place: str) -> None:
    """Raise StoreUnusable for a server that is too old; take an unknown version for a new one."""
    version = info.get("redis_version", "")
    if version and version_of(version) < _OLDEST:
        raise StoreUnusable(f"Redis at {place} is {version}; 6.0 or newer is needed")


def parse_info(reply: bytes) -> dict[str, str]:
    """Take the reply to INFO apart."""
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

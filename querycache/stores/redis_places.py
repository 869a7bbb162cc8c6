"""Where a Redis server is, from a URL or from a client of the project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from querycache.stores.base import StoreOptions, StoreUnusable
from querycache.stores.redis_wire import errors, redis
from querycache.stores.urls import split

# What redis-py puts into a pool's settings for the pool itself or for the third protocol version,
# whose server may send messages that nobody asked for.
_NOT_OURS = (
    *("cache", "connection_pool", "event_dispatcher", "himport_registry", "maint_", "orig_"),
    "oss_cluster",
)

Connect = Callable[..., Any]


class Address:
    """A server that is always at the same place.

    Args:
        connection_class: redis-py's class of connection.
        settings: what it is made with.
    """

    def __init__(self, connection_class: Connect, settings: Mapping[str, Any]) -> None:
        self._class = connection_class
        self._settings = dict(settings)

    @property
    def name(self) -> str:
        """Host and port, or the path of the socket, and the database."""
        settings = self._settings
        where = settings.get("path") or "{}:{}".format(
            settings.get("host", "localhost"), settings.get("port", 6379)
        )
        return f"{where}/{settings.get('db') or 0}"

    def connection(self) -> Any:
        """Return a new connection, not connected yet."""
        return self._class(**self._settings)

    def is_left(self, connection: Any) -> bool:
        """Nobody tells of another place."""
        return False

    def close(self) -> None:
        """Nothing is open."""


def settings_of_url(url: str, options: StoreOptions) -> tuple[Connect, dict[str, Any]]:
    """Return the connection class and settings that a URL names.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``valkey://`` or ``valkeys://``.
        options: of the store; a timeout in the URL goes before.

    Raises:
        StoreUnusable: redis-py cannot read the URL.
    """
    scheme, separator, rest = url.partition("://")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme.lower(), scheme.lower())
    try:
        if _cut_short(url):
            raise ValueError
        pool = redis.ConnectionPool.from_url(scheme + separator + rest)
    except (ValueError, TypeError, errors.RedisError):
        # Neither the URL nor what is said of it is repeated: there may be a password in it, or the
        # part of one that was taken for something else.
        raise StoreUnusable(
            "a Redis URL that cannot be read: the port and the database must be numbers, and in a"
            " user name or password '#', '/', '?', '@', ':' and '%' are written %23, %2F, %3F, %40,"
            " %3A and %25"
        ) from None
    given = {
        name: pool.connection_kwargs[name] for name in _TIMEOUTS if name in pool.connection_kwargs
    }
    return _taken(pool.connection_class, {**_settings(pool.connection_kwargs, options), **given})


def _cut_short(url: str) -> bool:
    """Tell whether a password, or a part of it, would be taken for what follows one."""
    parts = split(url)
    return ("@" in parts.path and parts.scheme != "unix") or not all(
        "=" in pair for pair in filter(None, parts.query.split("&"))
    )


def settings_of_pool(pool: Any, options: StoreOptions) -> tuple[Connect, dict[str, Any]]:
    """Return the connection class and settings of a client's own pool.

    Args:
        pool: ``client.connection_pool``.
        options: of the store; its timeout goes before the client's.

    Raises:
        StoreUnusable: the pool leads to no Redis server.
    """
    connection_class = getattr(pool, "connection_class", None)
    settings = getattr(pool, "connection_kwargs", None)
    if connection_class is None or settings is None:
        raise StoreUnusable(f"{type(pool).__name__} does not lead to a Redis server")
    name = connection_class.__name__.removeprefix("SentinelManaged")
    if name != connection_class.__name__ or not issubclass(
        connection_class, redis.connection.AbstractConnection
    ):
        # valkey-py's: the same words, but classes and exceptions of its own; or one that asks the
        # sentinels by itself.
        connection_class, settings = plain(name, settings)
    return _taken(connection_class, _settings(settings, options))


def _taken(connection_class: Connect, settings: dict[str, Any]) -> tuple[Connect, dict[str, Any]]:
    """Return a class and settings that it takes, which redis-py looks at with each connection.

    Raises:
        StoreUnusable: it does not take them.
    """
    try:
        connection_class(**settings)
    except (TypeError, ValueError, errors.RedisError):
        # What the parameter is called is not repeated: it may be the part of a password.
        raise StoreUnusable(
            f"a parameter that {connection_class.__name__} of redis-py does not take: those that"
            " begin with ssl_ need rediss://, and the timeout is QUERYCACHE['TIMEOUT'] or"
            " socket_timeout"
        ) from None
    return connection_class, settings


def plain(name: str, settings: Mapping[str, Any]) -> tuple[Connect, dict[str, Any]]:
    """Return redis-py's class of a name, and those settings that concern the connection.

    Raises:
        StoreUnusable: there is no such class.
    """
    connection_class = _PLAIN_CONNECTIONS.get(name)
    if connection_class is None:
        raise StoreUnusable(f"{name} is no connection of redis-py")
    return connection_class, {
        name: value
        for name, value in settings.items()
        if name in _PLAIN_SETTINGS or name.startswith("ssl_")
    }


_PLAIN_CONNECTIONS: dict[str, Connect] = {
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

"""Redis or Valkey whose primary is named by sentinels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode

from querycache.stores.base import StoreError, StoreOptions, StoreUnusable
from querycache.stores.redis_links import Links
from querycache.stores.redis_places import Address, Connect, settings_of_pool, settings_of_url
from querycache.stores.redis_primary import PrimaryStore
from querycache.stores.redis_wire import Link, pack
from querycache.stores.urls import hosts, split

_PORT = 26379
_FORM = "redis+sentinel://user:password@host:26379,host:26379/service/0"

# What a sentinel has no use for, or is asked with in another way.
_NOT_FOR_SENTINELS = ("db", "username", "password", "client_name", "path")


class Primary:
    """The server that sentinels name as the primary of a service.

    Most of the listed sentinels must answer, and what the one says that knows of the latest
    failover is taken. One that a broken network has cut off from the others, together with a former
    primary, is not believed.

    Args:
        service: its name.
        sentinels: their addresses.
        connection_class: redis-py's class of connection to the primary.
        settings: what it is made with, besides host and port.
    """

    def __init__(
        self,
        service: str,
        sentinels: Sequence[Address],
        connection_class: Connect,
        settings: Mapping[str, Any],
    ) -> None:
        self._service = service
        self._class = connection_class
        self._settings = dict(settings)
        self._question = pack(b"SENTINEL", b"MASTER", service.encode())
        self._sentinels = [Links(sentinel, _no_check) for sentinel in sentinels]

    @property
    def name(self) -> str:
        """The service, the sentinels and the database."""
        sentinels = ",".join(one.place.name.partition("/")[0] for one in self._sentinels)
        return f"{self._service}@{sentinels}/{self._settings.get('db') or 0}"

    def connection(self) -> Any:
        """Return a new connection to the primary of now."""
        host, port = self._find()
        return self._class(**{**self._settings, "host": host, "port": port})

    def is_left(self, connection: Any) -> bool:
        """Tell whether the sentinels name another server than the one behind a connection."""
        return (connection.host, connection.port) != self._find()

    def close(self) -> None:
        """Close the links to the sentinels."""
        for one in self._sentinels:
            one.close()

    def _find(self) -> tuple[str, int]:
        found: list[tuple[int, str, int]] = []
        complaint = ""
        for one in self._sentinels:
            try:
                fields = one.call(Link.ask, self._question)
                state = dict(zip(fields[::2], fields[1::2], strict=True))
                epoch, port = int(state[b"config-epoch"]), int(state[b"port"])
                found.append((epoch, state[b"ip"].decode(), port))
            except StoreError as error:
                complaint = f" ({error})"
        if len(found) <= len(self._sentinels) // 2:
            raise StoreError(
                f"{len(found)} of {len(self._sentinels)} sentinels name a primary of "
                f"{self._service!r}, which is not most of them{complaint}"
            )
        _, host, port = max(found)
        return host, port


class SentinelStore(PrimaryStore):
    """A primary that sentinels name.

    Limits:
        Sentinels: most of those that are listed must answer, else the store is down. All should be
        listed: those that are not cannot be asked.
        Failover: an outage until the new primary is known, and a moment longer, see
        `querycache.stores.redis_identity`; all stamps are given up.
        Following: none; a former primary that is still there would not tell what the new one does.
    """

    @classmethod
    def from_url(cls, url: str, options: StoreOptions, *, defer: bool = True) -> Self:
        """Make a store of a URL; nothing is connected.

        Args:
            url: ``redis+sentinel://user:password@host:port,host:port/service/db`` or
                ``rediss+sentinel://…``. The user and the password are the primary's; those of the
                sentinels are the parameters ``sentinel_username`` and ``sentinel_password``. With
                ``rediss`` both are reached over TLS. Other parameters are redis-py's.
            options: what every store is opened with.
            defer: see `RedisCommands`.

        Raises:
            StoreUnusable: the URL cannot be read.
        """
        scheme = url.partition("+")[0]
        parts = split(url)
        login, at, _ = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        # With an '@' the path begins within a password.
        if not service or "@" in parts.path or not (database or "0").isdigit():
            raise StoreUnusable(f"the URL of a store behind sentinels has the form {_FORM}")
        query = dict(parse_qsl(parts.query))
        own = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        unknown = sorted(name for name in query if name.startswith("sentinel_"))
        if unknown:
            raise StoreUnusable(
                f"unknown parameter {unknown[0]!r} in the store's URL; the sentinels' own are "
                "sentinel_username and sentinel_password"
            )
        connect, settings = settings_of_url(
            f"{scheme}://{login}{at}primary/{database or 0}?{urlencode(query)}", options
        )
        shared = {k: v for k, v in settings.items() if k not in _NOT_FOR_SENTINELS}
        shared |= {name: value for name, value in own.items() if value is not None}
        sentinels = [
            Address(connect, {**shared, "host": host, "port": port})
            for host, port in hosts(url, _PORT)
        ]
        return cls(Primary(unquote(service), sentinels, connect, settings), options, defer=defer)

    @classmethod
    def from_client(cls, client: Any, options: StoreOptions, *, defer: bool = True) -> Self:
        """Make a store that asks the sentinels that a client of redis-py (or valkey-py) asks.

        Args:
            client: one whose pool is a ``SentinelConnectionPool``, for the primary or for replicas.
            options: what every store is opened with.
            defer: see `RedisCommands`.

        Raises:
            StoreUnusable: the client leads to no sentinels.
        """
        pool = getattr(client, "connection_pool", None)
        manager = getattr(pool, "sentinel_manager", None)
        if pool is None or manager is None:
            raise StoreUnusable(f"{type(client).__name__} asks no sentinels")
        sentinels = [
            Address(*settings_of_pool(one.connection_pool, options)) for one in manager.sentinels
        ]
        primary = Primary(pool.service_name, sentinels, *settings_of_pool(pool, options))
        return cls(primary, options, defer=defer)


def _no_check(link: Link) -> None:
    """Sentinels hold nothing that could be old."""

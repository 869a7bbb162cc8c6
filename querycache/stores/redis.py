"""One Redis or Valkey server that is always at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from querycache.stores.base import StoreOptions, StoreUnusable
from querycache.stores.redis_places import Address, settings_of_pool, settings_of_url
from querycache.stores.redis_primary import PrimaryStore
from querycache.stores.redis_tracking import Tracking


class RedisStore(PrimaryStore):
    """A standalone Redis 6.0 or newer, or Valkey, over TCP, TLS or a unix socket.

    Args:
        place: where the server is.
        options: what every store is opened with.
        defer: see `RedisCommands`.
    """

    def __init__(self, place: Address, options: StoreOptions, *, defer: bool = True) -> None:
        super().__init__(place, options, defer=defer)
        self._follower: Tracking | None = None

    @classmethod
    def from_url(cls, url: str, options: StoreOptions, *, defer: bool = True) -> Self:
        """Make a store of a URL; nothing is connected.

        Args:
            url: ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://``, as
                redis-py reads it.
            options: what every store is opened with.
            defer: see `RedisCommands`.

        Raises:
            StoreUnusable: the URL cannot be read.
        """
        return cls(Address(*settings_of_url(url, options)), options, defer=defer)

    @classmethod
    def from_client(cls, client: Any, options: StoreOptions, *, defer: bool = True) -> Self:
        """Make a store that connects as a client of redis-py (or valkey-py) does.

        The store has connections of its own, with its own timeouts and without decoding.

        Args:
            client: the client, such as the one of Django's cache backend.
            options: what every store is opened with.
            defer: see `RedisCommands`.

        Raises:
            StoreUnusable: the client leads to no single server.
        """
        pool = getattr(client, "connection_pool", None)
        if hasattr(pool, "sentinel_manager"):
            raise StoreUnusable("the client asks sentinels where its server is")
        return cls(Address(*settings_of_pool(pool, options)), options, defer=defer)

    def follow(self) -> Tracking:
        if self._follower is None:
            prefix = self.options.prefix.encode() + b":s:"
            self._follower = Tracking(self._links.connect, prefix, self.options.timeout)
        return self._follower

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
        super().close()

    def _changed(self, stamps: Sequence[bytes]) -> None:
        if self._follower is not None:
            self._follower.forget(stamps)

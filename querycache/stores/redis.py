"""Entries and stamps in one Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

from querycache.stores.base import Follower, StoreInfo, StoreOptions, StoreUnusable
from querycache.stores.redis_commands import RedisCommands, figures, told
from querycache.stores.redis_identity import remove
from querycache.stores.redis_links import Links, Place
from querycache.stores.redis_places import Address, settings_of_pool, settings_of_url
from querycache.stores.redis_tracking import Tracking
from querycache.stores.redis_wire import Link, pack


class RedisStore(RedisCommands):
    """A standalone Redis 6.0 or newer, or Valkey, over TCP, TLS or a unix socket.

    Reads are one plain MGET; each step of the protocol is one script, by the server's clock.

    Limits:
        Eviction: a stamp that is evicted costs one lease of misses, never a stale row; with
        a ``volatile-*`` policy stamps are not evicted, nor are entries without a ttl.
        Full: with ``noeviction`` and no memory left writes of the project find the store failed.
        Failover: a server that starts from a dump or is promoted gives up all stamps, when a
        connection to it is opened and once a second after. Behind a proxy that keeps connections
        over a failover that may be a second late.
        Replicas: never read from; a server that is a replica counts as down.

    Args:
        place: where the server is.
        options: what every store is opened with.
        defer: whether `write`, `delete` and `end` return without waiting for the server's answer,
            which saves a round trip each; others may then see them a moment later.
    """

    def __init__(
        self,
        place: Place,
        options: StoreOptions,
        *,
        defer: bool = False,
    ) -> None:
        super().__init__(options, options.prefix.encode(), defer=defer)
        self._place = place
        self._links = Links(place, self._check)
        self._follower: Tracking | None = None

    @classmethod
    def from_url(cls, url: str, options: StoreOptions, *, defer: bool = False) -> Self:
        """Make a store of a URL; nothing is connected.

        Args:
            url: ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://``, as
                redis-py reads it.
            options: what every store is opened with.
            defer: see the class.

        Raises:
            StoreUnusable: the URL cannot be read.
        """
        return cls(Address(*settings_of_url(url, options)), options, defer=defer)

    @classmethod
    def from_client(cls, client: Any, options: StoreOptions, *, defer: bool = False) -> Self:
        """Make a store that connects as a client of redis-py (or valkey-py) does.

        The store has connections of its own, with its own timeouts and without decoding.

        Args:
            client: the client, such as the one of Django's cache backend.
            options: what every store is opened with.
            defer: see the class.

        Raises:
            StoreUnusable: the client leads to no single server.
        """
        pool = getattr(client, "connection_pool", None)
        if hasattr(pool, "sentinel_manager"):
            raise StoreUnusable("this client asks sentinels: SentinelStore is for those")
        return cls(Address(*settings_of_pool(pool, options)), options, defer=defer)

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        values: list[bytes | None] = self._links.call(Link.ask, pack(b"MGET", entry, *stamps))
        return values

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        if not stamps:
            return []
        values: list[bytes | None] = self._links.call(Link.ask, pack(b"MGET", *stamps))
        return values

    def follow(self) -> Follower | None:
        if self._follower is None:
            prefix = self.options.prefix.encode() + b":s:"
            self._follower = Tracking(self._links.connect, prefix, self.options.timeout)
        return self._follower

    def clear(self) -> None:
        self._links.call(remove, self._entries)

    def info(self) -> StoreInfo:
        return told(self._place.name, [self._links.call(figures)])

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._links.close()
        self._place.close()

    def _call(self, key: bytes, work: Callable[..., Any], *args: Any) -> Any:
        return self._links.call(work, *args)

    def _check(self, link: Link) -> None:
        self._identity.check(link, self._place.name)

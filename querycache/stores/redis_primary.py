"""Entries and stamps on one server: the primary, wherever it is."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from querycache.stores import places
from querycache.stores.base import StoreInfo, StoreOptions
from querycache.stores.redis_commands import RedisCommands, figures, told
from querycache.stores.redis_identity import remove
from querycache.stores.redis_links import Links, Place
from querycache.stores.redis_scripts import BEGIN, MOST_KEYS
from querycache.stores.redis_wire import Link, pack_read, pack_stamps


class PrimaryStore(RedisCommands):
    """Reads are one plain MGET; each step of the protocol is one script, by the server's clock.

    Limits:
        Eviction: a stamp that is evicted costs one lease of misses, never a stale row; with
        a ``volatile-*`` policy stamps are not evicted, nor are entries without a ttl.
        Full: with ``noeviction`` and no memory left writes of the project find the store failed.
        Failover: a server that starts from a dump or is promoted gives up all stamps, when a
        connection to it is opened and, should it stay open, when a second has passed.
        Replicas: never read from; a server that is a replica counts as down.

    Args:
        place: where the server is.
        options: what every store is opened with.
        defer: see `RedisCommands`.
    """

    begins_ahead: ClassVar[bool] = True

    def __init__(self, place: Place, options: StoreOptions, *, defer: bool = True) -> None:
        super().__init__(options, options.prefix.encode(), defer=defer)
        self._place = place
        self._links = Links(place, self._check)
        # The server drops what it has not run yet of a client that is gone.
        atexit.register(_close_at_exit, weakref.ref(self._links))

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        values: list[bytes | None] = self._links.call(
            Link.ask_values, pack_read(entry, tuple(stamps)), 1 + len(stamps)
        )
        return values

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        if not stamps:
            return []
        values: list[bytes | None] = self._links.call(
            Link.ask_values, pack_stamps(tuple(stamps)), len(stamps)
        )
        return values

    def begin_ahead(self, stamps: Sequence[bytes], token: bytes) -> Callable[[], bool] | None:
        if not 0 < len(stamps) <= MOST_KEYS:
            return None
        command, _ = self._packed(BEGIN, stamps, token)
        link = self._links.start(command)
        if link is None:
            return None

        def acknowledged() -> bool:
            try:
                return self._links.finish(link)
            finally:
                self._changed(stamps)

        return acknowledged

    @property
    def place(self) -> str:
        server, _, number = self._place.name.rpartition("/")
        return f"redis {places.reached(server)} database {number} {self.options.prefix}"

    def clear(self) -> None:
        self._links.call(remove, self._entries)

    def info(self) -> StoreInfo:
        return told(self._place.name, [self._links.call(figures)])

    def close(self) -> None:
        self._links.close()
        self._place.close()

    def _call(self, key: bytes, work: Callable[..., Any], *args: Any) -> Any:
        return self._links.call(work, *args)

    def _check(self, link: Link) -> None:
        self._identity.check(link, self._place.name)


def _close_at_exit(links: weakref.ref[Links]) -> None:
    found = links()
    if found is not None:
        found.close()

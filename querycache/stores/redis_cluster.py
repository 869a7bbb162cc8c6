"""Entries and stamps in a Redis or Valkey Cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from redis import cluster
from redis.crc import key_slot

from querycache.stores.base import StoreError, StoreInfo, StoreOptions, StoreUnusable
from querycache.stores.redis_commands import RedisCommands, figures, told
from querycache.stores.redis_identity import remove
from querycache.stores.redis_links import Links
from querycache.stores.redis_places import Address, Connect, settings_of_url
from querycache.stores.redis_topology import Topology, Where
from querycache.stores.redis_wire import Link, errors, pack, pack_stamps
from querycache.stores.urls import hosts, split

_PORT = 6379
_MOST_HOPS = 5
_PAUSE = 0.005
_ASKING = pack(b"ASKING")

# Older releases of redis-py read what nodes of a cluster answer with a parser for it alone.
_PARSER = {"parser_class": cluster.ClusterParser} if hasattr(cluster, "ClusterParser") else {}

# What a node answers while a slot is moved or has no server; a `MovedError` is an `AskError`.
_ELSEWHERE = (errors.AskError, errors.TryAgainError)


class ClusterStore(RedisCommands):
    """All stamps of a key prefix in one slot, the entries in all slots.

    A read asks two nodes side by side: the one with the stamps and the one with the entry. A step
    is one script on the node with the stamps, which also holds the counter and that node's
    identity.

    Limits:
        Nodes: one that is down is an outage of the store, until its replica has taken over and a
        moment longer, see `querycache.stores.redis_identity`.
        Slots: while that of the stamps is moved, calls wait for it, for the timeout at most; when
        it has moved, all stamps are given up.
        Load: the node with the stamps has part in every read.

    Args:
        seeds: host and port of nodes that tell of the others.
        connection_class: redis-py's class of connection.
        settings: what it is made with, besides host and port.
        options: what every store is opened with.
    """

    def __init__(
        self,
        seeds: Sequence[Where],
        connection_class: Connect,
        settings: Mapping[str, Any],
        options: StoreOptions,
    ) -> None:
        prefix = options.prefix.encode()
        # What is in braces decides about the slot.
        tagged = b"{%b}" % prefix
        # A slot that has moved is found out by the reply.
        super().__init__(options, tagged, defer=False)
        self._tagged, self._length = tagged, len(prefix)
        self._slot = key_slot(tagged)

        def place(where: Where) -> Address:
            host, port = where
            return Address(connection_class, {**settings, **_PARSER, "host": host, "port": port})

        self._topology = Topology(seeds, place, self._identity.check, self._slot)

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> Self:
        """Make a store of a URL; nothing is connected.

        Args:
            url: ``redis+cluster://user:password@host:port,host:port`` or ``rediss+cluster://…``,
                with redis-py's parameters. Not all nodes need to be named.
            options: what every store is opened with.

        Raises:
            StoreUnusable: the URL cannot be read.
        """
        parts = split(url)
        if parts.path.strip("/") not in ("", "0"):
            raise StoreUnusable("a Redis Cluster has no databases: leave the path of the URL empty")
        login, at, _ = parts.netloc.rpartition("@")
        scheme = parts.scheme.partition("+")[0]
        connect, settings = settings_of_url(
            f"{scheme}://{login}{at}node/0?{parts.query}".rstrip("?"), options
        )
        return cls(hosts(url, _PORT), connect, settings, options)

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        get, slot = pack(b"MGET", entry), key_slot(entry)
        if not stamps:
            values: list[bytes | None] = self._at(slot, Link.ask, get)
            return values
        mget = pack_stamps(tuple(self._stamp_keys(stamps)))
        home, there = self._topology.node(self._slot), self._topology.node(slot)
        try:
            if home is there:
                found, value = home.links.call(_both, mget, get)
            else:
                found, value = home.links.call(_beside, mget, there.links, get)
        except StoreError:
            moved = self._topology.is_elsewhere(self._slot, home)
            if not moved and self._topology.node(slot) is there:
                raise
            found = value = None
        if not isinstance(found, list):
            found = self._at(self._slot, Link.ask, mget)
        if not isinstance(value, list):
            value = self._at(slot, Link.ask, get)
        return [*value, *found]

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        if not stamps:
            return []
        mget = pack_stamps(tuple(self._stamp_keys(stamps)))
        values: list[bytes | None] = self._at(self._slot, Link.ask, mget)
        return values

    def clear(self) -> None:
        for node in self._topology.nodes():
            node.links.call(remove, self._entries)

    def info(self) -> StoreInfo:
        nodes = self._topology.nodes()
        return told(f"cluster {self._topology.name}", [node.links.call(figures) for node in nodes])

    def close(self) -> None:
        self._topology.close()

    def _stamp_keys(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        return [self._tagged + stamp[self._length :] for stamp in stamps]

    def _call(self, key: bytes, work: Callable[..., Any], *args: Any) -> Any:
        return self._at(key_slot(key), work, *args)

    def _at(self, slot: int, work: Callable[..., Any], *args: Any) -> Any:
        """Return ``work(link, *args)`` on the node that serves a slot, wherever it moves."""
        topology, hops = self._topology, 0
        over = time.monotonic() + self.options.timeout
        node = topology.node(slot)
        while True:
            try:
                answer = node.links.call(_guarded, work, *args)
                if isinstance(answer, errors.AskError):
                    where = answer.host or node.where[0], answer.port
                    if isinstance(answer, errors.MovedError):
                        node = topology.moved(slot, where)
                    else:
                        answer = topology.at(where).links.call(_guarded, _asking, work, *args)
            except StoreError:
                if hops or not topology.is_elsewhere(slot, node):
                    raise
                hops, node = 1, topology.node(slot)
                continue
            if not isinstance(answer, _ELSEWHERE):
                return answer
            if isinstance(answer, errors.MovedError):
                hops += 1
                if hops <= _MOST_HOPS:
                    continue
            elif time.monotonic() < over:
                time.sleep(_PAUSE)
                continue
            raise StoreError(
                f"slot {slot} of the Redis Cluster at {topology.name} is under way: {answer}"
            )


def _asking(link: Link, work: Callable[..., Any], *args: Any) -> Any:
    def receive() -> Any:
        try:
            link.receive()
        except errors.ResponseError:
            # The command has a reply as well.
            with contextlib.suppress(errors.ResponseError):
                link.receive()
            raise
        return link.receive()

    return work(Link(link.connection, receive, before=_ASKING), *args)


def _guarded(link: Link, work: Callable[..., Any], *args: Any) -> Any:
    # Returned and not raised: the link is in order.
    try:
        return work(link, *args)
    except _ELSEWHERE as error:
        return error


def _both(link: Link, first: bytes, second: bytes) -> list[Any]:
    answers = link.ask_all((first, second))
    for answer in answers:
        if isinstance(answer, errors.ResponseError) and not isinstance(answer, _ELSEWHERE):
            raise answer
    return answers


def _beside(link: Link, first: bytes, there: Links, second: bytes) -> tuple[Any, Any]:
    link.send(first)
    value = there.call(_guarded, Link.ask, second)
    return _guarded(link, lambda link: link.receive()), value

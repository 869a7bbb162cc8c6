"""Entries and stamps in Redis or Valkey."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Self

from querycache import stamps as protocol
from querycache.stores import redis_wire as wire
from querycache.stores.base import Store, StoreError, StoreInfo, StoreOptions
from querycache.stores.redis_scripts import BEGIN, CLOCK, END, MOST_KEYS, SETTLE, TOUCH, Script
from querycache.stores.redis_tracking import Tracking
from querycache.stores.redis_wire import Link, Links, errors, pack

logger = logging.getLogger("querycache.redis")

_SCAN_STEP = b"1000"
_NO_TOKEN = b""

# The counter is kept as 16 digits and its era.
_ERA = 16
_COUNTER_BYTES = _ERA + protocol.ERA_BYTES


class RedisStore(Store):
    """A standalone Redis 6.0 or newer, or Valkey, over TCP, TLS or a unix socket.

    Reads are one plain MGET; each step of the protocol is one script, by the server's clock.

    Limits:
        Eviction: a stamp that is evicted costs one lease of misses, never a stale row; with
        a ``volatile-*`` policy stamps are not evicted, nor are entries without a ttl.
        Full: with ``noeviction`` and no memory left writes of the project find the store failed.
        Failover: a server that starts from a dump or is promoted gives up all stamps, on the first
        new connection. Behind a proxy that keeps connections over a failover nobody can tell.
        Replicas: never read from; a server that is a replica counts as down.
        Cluster: not this class.

    Args:
        connection_class: redis-py's class of connection.
        settings: what it is made with.
        options: what every store is opened with.
        defer: whether `write`, `delete` and `end` return without waiting for the server's answer,
            which saves a round trip each; others may then see them a moment later.
    """

    durable = False
    remote = True

    def __init__(
        self,
        connection_class: Any,
        settings: dict[str, Any],
        options: StoreOptions,
        *,
        defer: bool = False,
    ) -> None:
        super().__init__(options)
        self.defer = defer
        self._end_is_known = False
        prefix = options.prefix.encode()
        self._lease = b"%d" % options.lease
        self._counter = prefix + b":sequence"
        self._epoch = prefix + b":epoch"
        self._entries = _literal(prefix) + b":e:*"
        self._stamps = _literal(prefix) + b":s:*"
        self._links = Links(connection_class, settings, self._check)
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
        return cls(*wire.settings_of_url(url, options), options, defer=defer)

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
        return cls(*wire.settings_of_pool(pool, options), options, defer=defer)

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        values: list[bytes | None] = self._links.call(Link.ask, pack(b"MGET", entry, *stamps))
        return values

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        if not stamps:
            return []
        values: list[bytes | None] = self._links.call(Link.ask, pack(b"MGET", *stamps))
        return values

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        if ttl is None:
            command = pack(b"SET", entry, value)
        else:
            command = pack(b"SET", entry, value, b"PX", b"%d" % max(1, round(ttl * 1000)))
        if self.defer:
            self._links.call(Link.tell, command)
        else:
            self._links.call(_store, command)

    def delete(self, entry: bytes) -> None:
        self._links.call(Link.tell if self.defer else Link.ask, pack(b"UNLINK", entry))

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        for part in _parts(stamps):
            self._step(BEGIN, part, token)

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        for part in _parts(stamps):
            if self.defer and self._end_is_known:
                # The lease makes it safe: an `end` that never arrives costs hits until it runs out.
                self._links.call(Link.tell, *self._packed(END, part, token))
            else:
                self._step(END, part, token)
                self._end_is_known = True

    def touch(self, stamps: Sequence[bytes]) -> None:
        for part in _parts(stamps):
            self._step(TOUCH, part, _NO_TOKEN)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        settled: list[bytes] = []
        for part in _parts(stamps):
            settled += self._step(SETTLE, part, _NO_TOKEN)
        return settled

    def clock(self) -> protocol.Clock:
        asked = (b"1", self._counter)
        commands = (pack(b"EVALSHA", CLOCK.digest, *asked), pack(b"EVAL", CLOCK.text, *asked))
        counter, (seconds, micros) = self._links.call(_run, *commands)
        wall = int(seconds) * 1000 + int(micros) // 1000
        if counter is None or len(counter) != _COUNTER_BYTES or not counter[:_ERA].isdigit():
            return protocol.Clock(0, b"", wall)
        return protocol.Clock(int(counter[:_ERA]), counter[_ERA:], wall)

    def follow(self) -> Tracking:
        if self._follower is None:
            prefix = self.options.prefix.encode() + b":s:"
            self._follower = Tracking(self._links.connect, prefix, self.options.timeout)
        return self._follower

    def clear(self) -> None:
        self._links.call(_remove, self._entries)

    def info(self) -> StoreInfo:
        info: dict[str, str] = self._links.call(_info, b"all")
        product = "valkey" if "valkey_version" in info else "redis"
        shown = (
            "maxmemory_policy",
            "evicted_keys",
            "role",
            "connected_slaves",
            "uptime_in_seconds",
        )
        return StoreInfo(
            name=f"{product} {self._links.place}",
            version=info.get(f"{product}_version", "unknown"),
            used=_number(info.get("used_memory")),
            limit=_number(info.get("maxmemory")),
            details={name: info[name] for name in shown if name in info},
        )

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
        self._links.close()

    def _step(self, script: Script, stamps: Sequence[bytes], token: bytes) -> Any:
        try:
            return self._links.call(_run, *self._packed(script, stamps, token))
        finally:
            if self._follower is not None:
                self._follower.forget(stamps)

    def _packed(self, script: Script, stamps: Sequence[bytes], token: bytes) -> tuple[bytes, bytes]:
        # The command, and the one for a server that does not know the script (yet, or any more).
        keys = (*stamps, self._counter, self._epoch)
        rest = (b"%d" % len(keys), *keys, self._lease, token, os.urandom(16))
        return pack(b"EVALSHA", script.digest, *rest), pack(b"EVAL", script.text, *rest)

    def _check(self, link: Link) -> None:
        """Look at the server behind a new link before it is used.

        A server that was started or promoted since may hold old stamps, which entries of their time
        match. So its identity is kept beside them, and when it is another one all stamps go:
        what is absent is always safe.
        """
        try:
            info = _info(link, b"server") | _info(link, b"replication")
        except errors.ResponseError as error:
            logger.warning(
                "Redis at %s does not tell who it is (%s): a restart from a dump or a failover "
                "cannot be noticed",
                self._links.place,
                error,
            )
            return
        wire.check_version(info, self._links.place)
        if info.get("role", "master") != "master":
            raise StoreError(f"Redis at {self._links.place} is a replica")
        epoch = f"{info.get('run_id')}:{info.get('master_replid')}".encode()
        if link.ask(pack(b"GET", self._epoch)) != epoch:
            # Set last: whoever comes in between removes them too. The counter may be an old one as
            # well, and this server's clock behind the other's.
            _remove(link, self._stamps)
            link.ask(pack(b"UNLINK", self._counter))
            link.ask(pack(b"SET", self._epoch, epoch))


def _run(link: Link, command: bytes, otherwise: bytes) -> Any:
    try:
        return link.ask(command)
    except errors.NoScriptError:
        return link.ask(otherwise)


def _store(link: Link, command: bytes) -> None:
    try:
        link.ask(command)
    except errors.OutOfMemoryError as error:
        # An entry may be dropped at any time, so it may be dropped at once.
        logger.debug("an entry was not stored: %s", error)


def _info(link: Link, section: bytes) -> dict[str, str]:
    return wire.parse_info(link.ask(pack(b"INFO", section)))


def _remove(link: Link, pattern: bytes) -> None:
    cursor = b"0"
    while True:
        cursor, keys = link.ask(pack(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _SCAN_STEP))
        if keys:
            link.ask(pack(b"UNLINK", *keys))
        if cursor == b"0":
            return


def _parts(stamps: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    # Steps are atomic per stamp, so they may go in several calls.
    if len(stamps) <= MOST_KEYS:
        if stamps:
            yield stamps
        return
    for start in range(0, len(stamps), MOST_KEYS):
        yield stamps[start : start + MOST_KEYS]


def _literal(prefix: bytes) -> bytes:
    return re.sub(rb"([\\*?\[\]^])", rb"\\\1", prefix)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and text != "0" else None

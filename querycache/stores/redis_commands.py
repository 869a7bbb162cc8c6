"""What all Redis stores share: steps as scripts, and commands for one key."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError, StoreInfo, StoreOptions
from querycache.stores.redis_identity import Identity, literal
from querycache.stores.redis_scripts import BEGIN, CLOCK, END, MOST_KEYS, SETTLE, TOUCH, Script
from querycache.stores.redis_wire import (
    Link,
    Whole,
    errors,
    number,
    pack,
    pack_step,
    pack_write,
    parse_info,
)

logger = logging.getLogger("querycache.redis")

_NO_TOKEN = b""

# The counter is kept as 16 digits and its era.
_ERA = 16
_COUNTER_BYTES = _ERA + protocol.ERA_BYTES

_SHOWN = ("maxmemory_policy", "evicted_keys", "role", "connected_slaves", "uptime_in_seconds")


class RedisCommands(Store):
    """Everything but where a command goes.

    Args:
        options: what every store is opened with.
        prefix: what the keys of stamps, of the counter and of the identity begin with.
        defer: whether `write`, `delete` and `end` return without waiting for the server's answer,
            which saves a round trip each; others may then see them a moment later, and an error is
            raised by what is asked next.
    """

    durable = False
    remote = True
    companions = True

    def __init__(self, options: StoreOptions, prefix: bytes, *, defer: bool) -> None:
        super().__init__(options)
        self.defer = defer
        self._end_is_known = False
        self._lease = b"%d" % options.lease
        self._entries = literal(options.prefix.encode()) + b":e:*"
        self._identity = Identity(prefix, options)
        self._counter = self._identity.counter

    @abstractmethod
    def _call(self, key: bytes, work: Callable[..., Any], *args: Any) -> Any:
        """Return ``work(link, *args)`` on a link to the server where a key lives."""

    def _stamp_keys(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        """Return the keys that stamps have in the server."""
        return stamps

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        command = pack_write(entry, value, ttl)
        self._call(entry, Link.tell if self.defer else _store, command)

    def delete(self, entry: bytes) -> None:
        self._call(entry, Link.tell if self.defer else Link.ask, pack(b"UNLINK", entry))

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        for part in _parts(stamps):
            self._step(BEGIN, part, token)

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        for part in _parts(stamps):
            if self.defer and self._end_is_known:
                # The lease makes it safe: an `end` that never arrives costs hits until it runs out.
                self._call(self._counter, Link.tell, *self._packed(END, part, token))
                self._changed(part)
            else:
                self._step(END, part, token)
                self._end_is_known = True

    def touch(self, stamps: Sequence[bytes]) -> None:
        for part in _parts(stamps):
            self._step(TOUCH, part, _NO_TOKEN)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        # The script looks at companions, and has to have settled those that were lost themselves.
        companions = (protocol.companion_of(stamp) for stamp in stamps)
        asked = list(dict.fromkeys((*filter(None, companions), *stamps)))
        settled: dict[bytes, bytes] = {}
        for part in _parts(asked):
            now = self._step(SETTLE, part, _NO_TOKEN)
            if type(now) is not list or len(now) != len(part):
                raise StoreError("Redis: not the stamps that were to be settled")
            settled.update(zip(part, now, strict=True))
        return [settled[stamp] for stamp in stamps]

    def clock(self) -> protocol.Clock:
        asked = (b"1", self._counter)
        command = pack(b"EVALSHA", CLOCK.digest, *asked)
        whole = partial(pack, b"EVAL", CLOCK.text, *asked)
        counter, (seconds, micros) = self._call(self._counter, run, command, whole)
        wall = int(seconds) * 1000 + int(micros) // 1000
        if counter is None or len(counter) != _COUNTER_BYTES or not counter[:_ERA].isdigit():
            return protocol.Clock(0, b"", wall)
        return protocol.Clock(int(counter[:_ERA]), counter[_ERA:], wall)

    def _introduce(self, key: bytes, identity: bytes) -> None:
        self._call(key, Link.ask, pack(b"SET", key, identity, b"NX"))

    def _changed(self, stamps: Sequence[bytes]) -> None:
        """Take note that this process has changed stamps, or may have."""

    def _step(self, script: Script, stamps: Sequence[bytes], token: bytes) -> Any:
        try:
            return self._call(self._counter, run, *self._packed(script, stamps, token))
        finally:
            self._changed(stamps)

    def _packed(self, script: Script, stamps: Sequence[bytes], token: bytes) -> tuple[bytes, Whole]:
        # The command, and the one for a server that does not know the script (yet, or any more).
        keys = (*self._stamp_keys(stamps), self._counter, self._identity.key)
        rest = (self._lease, token, os.urandom(protocol.NONCE_BYTES))
        return pack_step(script.digest, keys, *rest), partial(_pack_whole, script, keys, *rest)


def _pack_whole(script: Script, keys: Sequence[bytes], *rest: bytes) -> bytes:
    return pack(b"EVAL", script.text, b"%d" % len(keys), *keys, *rest)


def run(link: Link, command: bytes, whole: Whole) -> Any:
    """Run a script by its digest, or whole where the server does not know it."""
    try:
        return link.ask(command)
    except errors.NoScriptError:
        return link.ask(whole())


def figures(link: Link) -> dict[str, str]:
    """Return all that a server tells about itself."""
    return parse_info(link.ask(pack(b"INFO", b"all")))


def told(place: str, servers: Sequence[dict[str, str]]) -> StoreInfo:
    """Return what `info` tells of one server, or of all primaries of a cluster.

    Args:
        place: where they are.
        servers: `figures` of each of them.
    """
    first = servers[0]
    product = "valkey" if "valkey_version" in first else "redis"
    details = {name: first[name] for name in _SHOWN if name in first}
    if len(servers) > 1:
        evicted = sum(number(one.get("evicted_keys")) or 0 for one in servers)
        details |= {"evicted_keys": str(evicted), "nodes": str(len(servers))}
    return StoreInfo(
        name=f"{product} {place}",
        version=first.get(f"{product}_version", "unknown"),
        used=sum(number(one.get("used_memory")) or 0 for one in servers) or None,
        limit=sum(number(one.get("maxmemory")) or 0 for one in servers) or None,
        details=details,
    )


def _store(link: Link, command: bytes) -> None:
    try:
        link.ask(command)
    except errors.OutOfMemoryError as error:
        # An entry may be dropped at any time, so it may be dropped at once.
        logger.debug("an entry was not stored: %s", error)


def _parts(stamps: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    # Steps are atomic per stamp, so they may go in several calls.
    if len(stamps) <= MOST_KEYS:
        if stamps:
            yield stamps
        return
    for start in range(0, len(stamps), MOST_KEYS):
        yield stamps[start : start + MOST_KEYS]

"""Entries and stamps in memcached."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

from querycache import stamps as protocol
from querycache.stores import memcached_commands as commands
from querycache.stores import places
from querycache.stores.base import Store, StoreError, StoreInfo, StoreOptions, StoreUnusable
from querycache.stores.memcached_wire import (
    Address,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    Node,
    address,
    node_of,
)

# A round is lost only when another writer's is won, so that many lost ones are no bad luck.
_ROUNDS = 200

# From here on memcached takes an expiry for a point of time, and from 2038 on for one long past.
_RELATIVE = 30 * 86400

_GENERATION_BYTES = 8

# Called with a stamp and `step`.
Change = Callable[..., bytes]


class MemcachedStore(Store):
    """One or several memcached servers, each key on one of them for good.

    Limits:
        Clock: the server's, in whole seconds, so a lease lasts up to two seconds longer.
        Nodes: one that is down is an outage of its keys; the list of nodes and its order must be
        the same in every process, and changing it needs a restart of all.
        Size: an entry above the server's item size (1 MB by default) is not stored.
        Steps: two round trips for each node, one more on a node without the counter where stamps
        are settled, and both again where another writer was quicker.
        Trust: memcached asks for no password; whoever reaches it can remove entries and stamps.

    Args:
        addresses: host and port or socket path of each node.
        options: what every store is opened with.
        extra: more arguments of pymemcache's client, such as ``tls_context``.
    """

    durable = False
    remote = True
    tick = 1000

    def __init__(
        self,
        addresses: Sequence[Address],
        options: StoreOptions,
        *,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(options)
        self._nodes = [Node(where, options, extra or {}) for where in addresses]
        if not self._nodes:
            raise StoreUnusable("no address of a memcached is given")
        self._counter = f"{options.prefix}:sequence".encode()
        self._era = f"{options.prefix}:era".encode()
        self._generation = f"{options.prefix}:generation".encode()
        # Each node has one of its own.
        clock = f"{options.prefix}:clock".encode()
        self._left, self._wind = commands.left(clock), commands.wind(clock)
        self._home = node_of(self._nodes, self._counter)
        # An era begins before its counter does and is asked for after it: so no number of a new
        # counter passes for one of the old era.
        self._take = (commands.increase(self._counter), commands.values([self._era]))

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> Self:
        """Make a store of a URL; nothing is connected.

        Args:
            url: ``memcached://host:port,host:port`` or ``memcached:///path/of.sock``.
            options: what every store is opened with.

        Raises:
            StoreUnusable: the URL cannot be read.
        """
        places = url.partition("://")[2]
        if not places.startswith("/"):
            places = places.rstrip("/")
        return cls([address(place) for place in places.split(",")], options)

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        home = node_of(self._nodes, entry)
        if len(self._nodes) == 1:
            found = home.call(_get, [entry, self._generation, *stamps])
        else:
            # The entry before its stamps: these must not be older.
            found = home.call(_get, [entry, self._generation]) | self._get(stamps)
        value, generation = found.get(entry), found.get(self._generation)
        home.generation = generation
        if value is not None:
            fits = generation is not None and value[:_GENERATION_BYTES] == generation
            value = value[_GENERATION_BYTES:] if fits else None
        return [value, *map(found.get, stamps)]

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        return list(map(self._get(stamps).get, stamps))

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        node = node_of(self._nodes, entry)
        generation = node.generation or node.call(self._current_generation)
        node.generation = generation
        node.call(_set, entry, generation + value, ttl)

    def delete(self, entry: bytes) -> None:
        node_of(self._nodes, entry).call(_delete, entry)

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        self._apply(stamps, lambda stamp, step: protocol.begin(stamp, token, step), settles=False)

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        self._apply(stamps, partial(protocol.end, token=token))

    def touch(self, stamps: Sequence[bytes]) -> None:
        self._apply(stamps, protocol.touch)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        now = self._apply(stamps, protocol.settle)
        return [now[stamp] for stamp in stamps]

    def clock(self) -> protocol.Clock:
        clock: protocol.Clock = self._home.call(self._clock)
        return clock

    def clear(self) -> None:
        # memcached cannot list its keys. Each entry carries the generation that it was written in,
        # and a read fetches the current one along with the entry; the others are no hits any more
        # and leave by eviction.
        for node in self._nodes:
            generation = os.urandom(_GENERATION_BYTES)
            node.call(_set_generation, self._generation, generation)
            node.generation = generation

    def _known_as(self, key: bytes) -> bytes | None:
        # It belongs to no generation of entries.
        found: bytes | None = node_of(self._nodes, key).call(_get, [key]).get(key)
        return found

    def _introduce(self, key: bytes, identity: bytes) -> None:
        node_of(self._nodes, key).call(lambda client: client.add(key, identity))

    @property
    def place(self) -> str:
        nodes = ",".join(places.reached(node.where) for node in self._nodes)
        return f"memcached {nodes} {self.options.prefix}"

    def info(self) -> StoreInfo:
        figures: list[dict[bytes, Any]] = [node.call(_stats) for node in self._nodes]
        evicted = _sum(figures, b"evictions")
        versions = {_text(stats.get(b"version", b"unknown")) for stats in figures}
        return StoreInfo(
            name="memcached " + ",".join(node.where for node in self._nodes),
            version=", ".join(sorted(versions)),
            used=_sum(figures, b"bytes") or None,
            limit=_sum(figures, b"limit_maxbytes") or None,
            details={"nodes": str(len(self._nodes)), "evicted_keys": str(evicted)},
        )

    def close(self) -> None:
        for node in self._nodes:
            node.close()

    def _by_node(self, keys: Iterable[bytes]) -> dict[Node, list[bytes]]:
        different = list(dict.fromkeys(keys))
        if len(self._nodes) == 1:
            return {self._home: different} if different else {}
        shares: dict[Node, list[bytes]] = {}
        for key in different:
            shares.setdefault(node_of(self._nodes, key), []).append(key)
        return shares

    def _get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for node, share in self._by_node(keys).items():
            found |= node.call(_get, share)
        return found

    def _apply(
        self, stamps: Sequence[bytes], change: Change, *, settles: bool = True
    ) -> dict[bytes, bytes]:
        """Change each stamp; returns what they are now.

        Args:
            stamps: the keys.
            change: the step.
            settles: whether the step may settle a stamp, which takes a number.
        """
        now: dict[bytes, bytes] = {}
        for node, share in self._by_node(stamps).items():
            now |= node.call(self._change, node, share, change, settles)
        return now

    def _change(
        self, client: Any, node: Node, keys: list[bytes], change: Change, settles: bool
    ) -> dict[bytes, bytes]:
        now: dict[bytes, bytes] = {}
        for _ in range(_ROUNDS):
            found, step = self._look(client, node, keys, settles)
            swaps: list[commands.Swap] = []
            for key in keys:
                old, unique = found.get(key, (None, None))
                now[key] = new = change(old, step=step)
                if new != old:
                    swaps.append((key, new, unique))
            keys = commands.swap(client, swaps)
            if not keys:
                return now
        raise StoreError(f"stamps in memcached change faster than {_ROUNDS} tries can follow")

    def _look(
        self, client: Any, node: Node, keys: list[bytes], settles: bool
    ) -> tuple[commands.Values, protocol.Step]:
        """Read stamps, and then what a step on them needs to know.

        Then, and anew for each try: a write that was over before has a smaller number and no later
        time, and one that begins or ends afterwards changes the stamps, so that the step fails. A
        number from before may be older than a commit that the stamp stands for, and a quarantine
        that is counted from before shorter than the leases that were lost.
        """
        at_home = settles and node is self._home
        found, seconds, *taken = self._ask_timed(
            client, node, commands.values(keys), *(self._take if at_home else ())
        )
        sequence, era = 0, b""
        if at_home:
            sequence, era = self._next_sequence(client, taken)
        elif settles:
            sequence, era = self._home.call(self._next_sequence)
        clock = seconds * 1000
        # One second more, since the clock may be about to tick.
        lease = self.options.lease + 1000
        nonce = era + os.urandom(protocol.NONCE_BYTES - len(era))
        return found, protocol.Step(clock, clock, lease, sequence, nonce, self.durable)

    def _next_sequence(self, client: Any, taken: Sequence[Any] = ()) -> tuple[int, bytes]:
        """Return a number and its era.

        Args:
            client: of the counter's node.
            taken: what it has just answered to `_take`.
        """
        for _ in range(_ROUNDS):
            number, eras = taken or commands.ask(client, *self._take)
            era, _unique = eras.get(self._era, (b"", b""))
            if number is not None and len(era) == protocol.ERA_BYTES:
                return number, era
            taken = ()
            client.set(self._era, os.urandom(protocol.ERA_BYTES))
            if number is None:
                # Microseconds, so that it seldom goes back.
                client.add(self._counter, b"%d" % (commands.seconds(client) * 1_000_000))
        raise StoreError("memcached keeps no counter")

    def _clock(self, client: Any) -> protocol.Clock:
        # The era before the counter: should a new one begin in between, the old era fits no stamp
        # that is settled later. memcached reads in the order that it is given.
        found, seconds = self._ask_timed(
            client, self._home, commands.values([self._era, self._counter])
        )
        if len(found) < 2:
            return protocol.Clock(0, b"", seconds * 1000)
        (era, _), (number, _) = found[self._era], found[self._counter]
        return protocol.Clock(int(number), era, seconds * 1000)

    def _ask_timed(
        self, client: Any, node: Node, first: commands.Command, *others: commands.Command
    ) -> list[Any]:
        """Return the reply to a command, a node's clock since then, and the replies to others.

        Args:
            client: of the node.
            node: whose clock; in whole seconds since 1970.
            first: what is asked before the clock is read.
            others: what is asked besides; the clock may be read after it, where its key is lost.
        """
        found = commands.ask(client, first, self._left if node.winds else commands.FIGURES, *others)
        told: int | commands.Figures | None = found[1]
        if isinstance(told, commands.Figures):
            if node.winds is None:
                node.winds = told.tells_left
            told = told.seconds
        elif told is None:
            told = self._wound(client, node)
        found[1] = told
        return found

    def _wound(self, client: Any, node: Node) -> int:
        """Store the key that tells the clock, which was lost or never stored; return the clock."""
        figures: commands.Figures
        _, told, figures = commands.ask(client, self._wind, self._left, commands.FIGURES)
        # A second may have begun between the two.
        node.winds = told is not None and 0 <= figures.seconds - told <= 1
        return figures.seconds

    def _current_generation(self, client: Any) -> bytes:
        generation = os.urandom(_GENERATION_BYTES)
        for _ in range(_ROUNDS):
            if client.add(self._generation, generation):
                return generation
            found: bytes | None = client.get(self._generation)
            if found is not None:
                return found
        raise StoreError("memcached keeps no key")


def _get(client: Any, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes]
    (found,) = commands.ask(client, commands.get(keys))
    return found


def _set(client: Any, key: bytes, value: bytes, ttl: float | None) -> None:
    expiry = 0 if ttl is None else max(1, math.ceil(ttl))
    if expiry >= _RELATIVE:
        expiry += commands.seconds(client)
        if expiry > commands.LATEST:
            expiry = 0
    try:
        client.set(key, value, expire=expiry)
    except MemcacheUnexpectedCloseError:
        # An outage, or a connection that rested for too long; it is a server's error to pymemcache.
        raise
    except MemcacheServerError:
        # Larger than an item may be, or no memory for it; what was there before is gone too.
        client.close()


def _set_generation(client: Any, key: bytes, value: bytes) -> None:
    client.set(key, value)


def _delete(client: Any, key: bytes) -> None:
    client.delete(key)


def _stats(client: Any) -> dict[bytes, Any]:
    figures: dict[bytes, Any] = client.stats()
    return figures


def _sum(figures: list[dict[bytes, Any]], name: bytes) -> int:
    try:
        return sum(int(stats.get(name, 0)) for stats in figures)
    except ValueError as error:
        raise StoreError(f"memcached does not tell its {name.decode()}") from error


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

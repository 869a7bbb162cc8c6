"""Which node of a Redis Cluster serves which slot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from querycache.stores.base import StoreError
from querycache.stores.forks import watch_forks
from querycache.stores.redis_links import TRUSTED, Links, Place
from querycache.stores.redis_wire import Link, pack

_SLOTS = 16384
_QUESTION = pack(b"CLUSTER", b"SLOTS")

Where = tuple[str, int]


class Node:
    """One node of a cluster.

    Args:
        where: host and port.
        place: the same, for links.
        check: looks at links before stamps or entries are read over them.
    """

    __slots__ = ("guide", "links", "where")

    def __init__(self, where: Where, place: Place, check: Callable[[Link], None]) -> None:
        self.where = where
        self.links = Links(place, check)
        #: For questions about the cluster, which replicas answer too.
        self.guide = Links(place, _no_check)

    def close(self) -> None:
        """Close the links that rest."""
        self.links.close()
        self.guide.close()


class Topology:
    """The nodes of a cluster, looked up again every second and when one of them points elsewhere.

    A primary that did not answer for a while may have been replaced, and not know it yet. So it is
    another node that is asked who serves the stamps.

    Args:
        seeds: where nodes are that tell of the others.
        place: makes the place of a node.
        check: looks at new links to a node.
        slot: that of the stamps.
    """

    def __init__(
        self,
        seeds: Sequence[Where],
        place: Callable[[Where], Place],
        check: Callable[[Link, str], None],
        slot: int,
    ) -> None:
        self._seeds = list(seeds)
        self._place = place
        self._check = check
        self._slot = slot
        self._known: dict[Where, Node] = {}
        self._owners: list[Node | None] = [None] * _SLOTS
        self._good_until = 0.0
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The nodes that were named at first."""
        return ",".join("{}:{}".format(*seed) for seed in self._seeds)

    def node(self, slot: int) -> Node:
        """Return the node that serves a slot.

        Raises:
            StoreError: there is none, or nobody tells.
        """
        if monotonic() >= self._good_until:
            self.renew()
        found = self._owners[slot]
        if found is None:
            self._good_until = 0.0
            raise StoreError(f"no node of the Redis Cluster at {self.name} serves slot {slot}")
        return found

    def nodes(self) -> list[Node]:
        """Return all nodes that serve slots."""
        self.node(self._slot)
        return self._primaries()

    def at(self, where: Where) -> Node:
        """Return the node at a place, which need not be known yet."""
        found = self._known.get(where)
        if found is None:
            place = self._place(where)
            node = Node(where, place, lambda link: self._check(link, place.name))
            found = self._known.setdefault(where, node)
        return found

    def moved(self, slot: int, where: Where) -> Node:
        """Note that a slot is served elsewhere, as the node that was asked says; return that.

        The others may not know it yet, so the note lasts until they are asked only.
        """
        node = self.at(where)
        # Links to it may be from an earlier time when it was a primary.
        node.links.look_again()
        self._owners[slot] = node
        return node

    def is_elsewhere(self, slot: int, node: Node) -> bool:
        """Look up again who serves a slot; tell whether it is another node than before."""
        self._good_until = 0.0
        try:
            self.renew()
        except StoreError:
            return False
        return self._owners[slot] is not node

    def renew(self) -> None:
        """Ask a node about all others.

        Raises:
            StoreError: none answers.
        """
        with self._lock:
            now = monotonic()
            if now < self._good_until:
                return
            before = self._owners[self._slot]
            complaint: StoreError | None = None
            for node in self._guides():
                try:
                    found = node.guide.call(Link.ask, _QUESTION)
                except StoreError as error:
                    complaint = error
                    continue
                self._take(node, found)
                if before is not (after := self._owners[self._slot]) and after is not None:
                    after.links.look_again()
                self._good_until = now + TRUSTED
                return
            raise StoreError(
                f"no node of the Redis Cluster at {self.name} tells of the others"
                + (f" ({complaint})" if complaint else "")
            )

    def close(self) -> None:
        """Close all links that rest."""
        for node in list(self._known.values()):
            node.close()

    def _primaries(self) -> list[Node]:
        return [node for node in dict.fromkeys(self._owners) if node is not None]

    def _guides(self) -> Iterator[Node]:
        primaries = self._primaries()
        owner = self._owners[self._slot]
        asked = [node for node in primaries if node is not owner or len(primaries) == 1]
        yield from asked
        for seed in self._seeds:
            node = self.at(seed)
            if node not in asked and (node is not owner or len(primaries) < 2):
                yield node

    def _take(self, asked: Node, found: Sequence[Any]) -> None:
        owners: list[Node | None] = [None] * _SLOTS
        for first, last, primary, *_ in found:
            host, port = primary[0], int(primary[1])
            # A node that does not know its own address leaves it out.
            where = (host.decode() if host else asked.where[0], port)
            owners[first : last + 1] = [self.at(where)] * (last + 1 - first)
        self._owners = owners


def _no_check(link: Link) -> None:
    """Questions about the cluster may go to any node."""

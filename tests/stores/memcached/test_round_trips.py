"""How often a step asks, in what order, and who changes the stamps in between."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store
from querycache.stores.memcached import MemcachedStore
from querycache.stores.memcached_wire import node_of
from tests.servers import MemcachedServer
from tests.stores.calls import ENTRY, LONG, OTHER, STAMP, until
from tests.stores.memcached.helpers import Tap, ask, figure, open_, sequence, settled

THIRD = b"qc:s:third"
THREE = [STAMP, OTHER, THIRD]


def trips(tap: Tap, work: Callable[[], object]) -> int:
    tap.requests.clear()
    work()
    return len(tap.requests)


def test_round_trips_of_each_step(own: MemcachedServer) -> None:
    tap, token = Tap(), secrets.token_bytes(16)
    store = open_(own, tap=tap)
    settled(store, own, *THREE)
    # The first number begins a counter.
    store.touch(THREE)
    assert trips(tap, lambda: store.read(ENTRY, THREE)) == 1
    assert trips(tap, lambda: store.begin(THREE, token)) == 2
    assert trips(tap, lambda: store.end(THREE, token)) == 2
    assert trips(tap, lambda: store.touch(THREE)) == 2
    assert trips(tap, lambda: store.settle(THREE)) == 1
    ask(own, "delete", OTHER)
    assert trips(tap, lambda: store.settle(THREE)) == 2
    assert trips(tap, store.clock) == 1


def test_round_trips_to_several_nodes(servers: list[MemcachedServer]) -> None:
    """Each node is asked by itself; the number is on one of them."""
    tap, token = Tap(), secrets.token_bytes(16)
    store = open_(*servers, prefix="several", tap=tap)
    stamps = [on_node(store, node) for node in range(3)]
    store.begin(stamps, token)
    store.end(stamps, token)
    assert trips(tap, lambda: store.begin(stamps, token)) == 2 + 2 + 2
    assert trips(tap, lambda: store.end(stamps, token)) == 2 + 3 + 3


def test_more_replies_than_a_socket_has_room_for_are_never_on_the_way(
    own: MemcachedServer,
) -> None:
    tap, token = Tap(), secrets.token_bytes(16)
    store = open_(own, tap=tap)
    many = [b"qc:s:%d" % number for number in range(2001)]
    store.clock()
    store.clock()
    assert trips(tap, lambda: store.begin(many, token)) == 1 + 3
    assert all(token in protocol.leases(value) for value in store.stamps(many))


def test_only_the_stamp_that_was_lost_is_tried_again(own: MemcachedServer) -> None:
    """With a new number: a writer that commits between two tries must not be hidden by the old."""
    rival, token, theirs = open_(own), secrets.token_bytes(16), secrets.token_bytes(16)
    clocks: list[protocol.Clock] = []

    def before(command: bytes) -> None:
        if command.startswith(b"cas ") and not clocks:
            rival.begin([OTHER], theirs)
            clocks.append(rival.clock())
            # Here it commits.
            rival.end([OTHER], theirs)

    tap = Tap()
    store = open_(own, tap=tap)
    settled(store, own, *THREE)
    store.begin(THREE, token)
    tap.before = before
    assert trips(tap, lambda: store.end(THREE, token)) == 4
    looked = [request.split(b"\r\n")[0] for request in tap.requests[::2]]
    assert looked == [b"gets " + b" ".join(THREE), b"gets " + OTHER]
    assert tap.requests[1].count(b"cas ") == 3
    assert tap.requests[3].count(b"cas ") == 1
    tap.before = None
    first = sequence(store, STAMP)
    assert sequence(store, THIRD) == first <= clocks[0].sequence
    assert sequence(store, OTHER) > clocks[0].sequence


def test_a_stamp_that_somebody_made_meanwhile_is_tried_again(own: MemcachedServer) -> None:
    rival, token, theirs = open_(own), secrets.token_bytes(16), secrets.token_bytes(16)

    def before(command: bytes) -> None:
        if command.startswith(b"add "):
            tap.before = None
            rival.begin([OTHER], theirs)

    tap = Tap(before)
    store = open_(own, tap=tap)
    store.begin(THREE, token)
    held = [set(protocol.leases(stamp)) for stamp in store.stamps(THREE)]
    ours = {protocol.QUARANTINE, token}
    assert held == [ours, ours | {theirs}, ours]


def test_a_stamp_that_is_lost_meanwhile_is_tried_again(own: MemcachedServer) -> None:
    token = secrets.token_bytes(16)

    def before(command: bytes) -> None:
        if command.startswith(b"cas "):
            tap.before = None
            ask(own, "delete", OTHER)

    tap = Tap()
    store = open_(own, tap=tap)
    settled(store, own, *THREE)
    tap.before = before
    store.begin(THREE, token)
    held = [set(protocol.leases(stamp)) for stamp in store.stamps(THREE)]
    assert held == [{token}, {protocol.QUARANTINE, token}, {token}]


@pytest.mark.parametrize("at_home", [True, False])
def test_number_is_taken_after_the_stamps_were_read(
    start: Callable[..., MemcachedServer], at_home: bool
) -> None:
    """Else a write that was over in between would be hidden by an older number."""
    nodes = [start(), start()]
    rival = open_(*nodes)
    home = rival._nodes.index(node_of(rival._nodes, b"qc:sequence"))
    where = home if at_home else 1 - home
    stamp = on_node(rival, where)
    clocks: list[protocol.Clock] = []

    def before(command: bytes) -> None:
        if command.startswith(b"gets " + stamp):
            clocks.append(rival.clock())
            rival.touch([stamp])

    tap = Tap()
    store = open_(*nodes, tap=tap)
    settled(store, nodes[where], stamp)
    store.touch([stamp])
    tap.before = before
    store.touch([stamp])
    tap.before = None
    assert len(clocks) == 1
    assert sequence(store, stamp) > clocks[0].sequence


def test_era_is_asked_for_after_the_number(own: MemcachedServer) -> None:
    """Else a number of a new counter, which may be lower, passes for one of the old era."""
    rival, seen = open_(own), 0

    def before(command: bytes) -> None:
        nonlocal seen
        seen += command.startswith((b"incr ", b"gets qc:era"))
        if seen == 2:
            tap.before = None
            ask(own, "delete", b"qc:sequence")
            ask(own, "delete", b"qc:era")
            rival.touch([OTHER])

    tap = Tap()
    store = open_(own, tap=tap)
    settled(store, own, STAMP, OTHER)
    store.touch([STAMP])
    ask(own, "set", b"qc:sequence", b"%d" % (protocol.MAX_NUMBER // 2))
    clock = store.clock()
    tap.before = before
    store.touch([STAMP])
    assert tap.before is None
    (stamp,) = store.stamps([STAMP])
    assert stamp is not None
    assert not protocol.unchanged_since(stamp, clock)


def test_quarantine_counts_from_when_the_stamp_was_missed(own: MemcachedServer) -> None:
    """Else it may be over before the leases that were lost are."""
    looked: list[int] = []

    def before(command: bytes) -> None:
        if command.startswith(b"gets "):
            now = figure(own, b"time")
            until(lambda: figure(own, b"time") > now)
            looked.append(figure(own, b"time"))

    tap = Tap(before)
    store = open_(own, tap=tap)
    store.begin([STAMP], secrets.token_bytes(16))
    deadline = protocol.leases(store.stamps([STAMP])[0])[protocol.QUARANTINE]
    assert deadline >= looked[0] * 1000 + 999 + LONG


def on_node(store: Store, node: int) -> bytes:
    """Return a stamp that lives on a node."""
    assert isinstance(store, MemcachedStore)
    names = (f"{store.options.prefix}:s:{number}".encode() for number in range(1000))
    return next(key for key in names if node_of(store._nodes, key) is store._nodes[node])

"""A server's clock is read off a key where it tells it so, and else off its figures."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import Any

import pytest

from querycache import stamps as protocol
from querycache.stores import memcached_commands as commands
from querycache.stores.memcached_commands import LATEST
from tests.servers import MemcachedServer
from tests.stores.calls import STAMP
from tests.stores.memcached.helpers import Tap, ask, figure, open_, sequence, settled

CLOCK = b"qc:clock"


class Other(Tap):
    """Another server than there is: something else reaches it than what is sent.

    Args:
        old: what is sent.
        new: what reaches the server.
    """

    def __init__(self, old: bytes, new: bytes) -> None:
        super().__init__()
        self._change = old, new

    def socket(self, *args: Any) -> socket.socket:
        made: Any = super().socket(*args)
        send = made.sendall
        made.sendall = lambda data: send(data.replace(*self._change))
        return made


def asked_for_figures(tap: Tap, work: Callable[[], object]) -> tuple[int, int]:
    """Return how often something was asked, and in how many of these figures were."""
    tap.requests.clear()
    work()
    return len(tap.requests), sum(b"stats" in request for request in tap.requests)


def test_time_is_what_the_figures_tell(own: MemcachedServer) -> None:
    tap, told = Tap(), []
    store = open_(own, tap=tap)
    for _ in range(2):
        store.clock()
    before = figure(own, b"time")
    assert asked_for_figures(tap, lambda: told.append(store.clock().wall // 1000)) == (1, 0)
    assert before <= told[0] <= figure(own, b"time")


def test_figures_are_asked_for_twice(own: MemcachedServer) -> None:
    """Once for the version, and once when the key is stored."""
    tap = Tap()
    store = open_(own, tap=tap)
    assert asked_for_figures(tap, store.clock) == (1, 1)
    assert b"mg " not in tap.requests[0]
    assert asked_for_figures(tap, store.clock) == (2, 1)
    assert asked_for_figures(tap, store.clock) == (1, 0)
    token = secrets.token_bytes(16)
    settled(store, own, STAMP)
    store.touch([STAMP])
    assert asked_for_figures(tap, lambda: store.begin([STAMP], token)) == (2, 0)
    assert asked_for_figures(tap, lambda: store.end([STAMP], token)) == (2, 0)
    # The next one finds the key.
    other = Tap()
    another = open_(own, tap=other)
    another.clock()
    assert asked_for_figures(other, another.clock) == (1, 0)


def test_a_key_that_was_lost_is_stored_again(own: MemcachedServer) -> None:
    tap, token = Tap(), secrets.token_bytes(16)
    store = open_(own, tap=tap)
    settled(store, own, STAMP)
    for _ in range(2):
        store.touch([STAMP])
    store.begin([STAMP], token)
    ask(own, "delete", CLOCK)
    assert asked_for_figures(tap, lambda: store.end([STAMP], token)) == (3, 1)
    asked = [line.split()[0] for line in tap.requests[1].splitlines() if line]
    assert asked == [b"set", b"mg", b"stats"]
    (stamp,) = store.stamps([STAMP])
    parsed = protocol.parse_settled(stamp)
    assert parsed is not None
    assert 0 <= figure(own, b"time") - parsed.wall // 1000 <= 2
    assert asked_for_figures(tap, store.clock) == (1, 0)


def test_a_write_is_not_hidden_by_a_clock_that_is_asked_for_again(own: MemcachedServer) -> None:
    rival = open_(own)
    clocks: list[protocol.Clock] = []

    def before(command: bytes) -> None:
        if command.startswith(b"set "):
            clocks.append(rival.clock())
            # Here it commits.
            rival.touch([STAMP])

    tap = Tap()
    store = open_(own, tap=tap)
    settled(store, own, STAMP)
    for _ in range(2):
        store.touch([STAMP])
    ask(own, "delete", CLOCK)
    tap.before = before
    store.touch([STAMP])
    tap.before = None
    assert len(clocks) == 1
    assert sequence(store, STAMP) > clocks[0].sequence


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((b"mg ", b"me_not "), id="no such command"),
        pytest.param((b" 0 %d 0\r\n" % LATEST, b" 0 0 0\r\n"), id="kept for good"),
        pytest.param((b" 0 %d 0\r\n" % LATEST, b" 0 -1 0\r\n"), id="gone at once, as from 2038"),
        pytest.param((b" 0 %d 0\r\n" % LATEST, b" 0 %d 0\r\n" % (LATEST - 9)), id="too late"),
    ],
)
def test_a_server_that_tells_no_time_so_is_asked_for_its_figures(
    own: MemcachedServer, change: tuple[bytes, bytes]
) -> None:
    tap, token = Other(*change), secrets.token_bytes(16)
    store = open_(own, tap=tap)
    settled(store, own, STAMP)
    for _ in range(2):
        store.touch([STAMP])
    assert store._nodes[0].winds is False
    assert asked_for_figures(tap, lambda: store.begin([STAMP], token)) == (2, 1)
    assert asked_for_figures(tap, lambda: store.end([STAMP], token)) == (2, 1)
    before = figure(own, b"time")
    assert before <= store.clock().wall // 1000 <= figure(own, b"time")


def test_an_old_server_is_never_asked_what_a_key_has_left(
    own: MemcachedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions before 1.6 answered in other ways."""
    monkeypatch.setattr(commands, "_TELLS_LEFT", (99, 0))
    tap = Tap()
    store = open_(own, tap=tap)
    for _ in range(3):
        assert asked_for_figures(tap, store.clock) == (1, 1)
        assert b"mg " not in tap.requests[0]


def test_each_node_has_a_clock(servers: list[MemcachedServer]) -> None:
    store = open_(*servers, prefix="clocks")
    for _ in range(2):
        store.touch([b"clocks:s:%d" % number for number in range(50)])
    assert all(node.winds for node in store._nodes)
    assert all(ask(server, "get", b"clocks:clock") == b"" for server in servers)

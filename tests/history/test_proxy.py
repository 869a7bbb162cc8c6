"""The proxy: bytes arrive unchanged, later, or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.history.lanes import Lanes
from tests.history.proxy import DOWN, UP


class Echo:
    """A server that answers with what it is told, and remembers it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        self.heard: list[bytes] = []
        self.told = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            while data := client.recv(1000):
                with self.told:
                    self.heard.append(data)
                    self.told.notify_all()
                client.sendall(data)

    def has_heard(self, data: bytes) -> bool:
        with self.told:
            return self.told.wait_for(lambda: data in self.heard, 60)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture(scope="module")
def lanes() -> Iterator[Lanes]:
    with Lanes() as opened:
        yield opened


@pytest.fixture
def lane(request: pytest.FixtureRequest, lanes: Lanes, echo: Echo) -> Iterator[str]:
    name = request.node.name
    lanes.port(name, echo.address)
    yield name
    lanes.cut(name, True)


@pytest.fixture
def client(lanes: Lanes, lane: str, echo: Echo) -> Iterator[socket.socket]:
    with connect(lanes, lane, echo) as opened:
        yield opened


def connect(lanes: Lanes, lane: str, echo: Echo) -> socket.socket:
    return socket.create_connection(("127.0.0.1", lanes.port(lane, echo.address)), 60)


def is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True


def test_bytes_pass_in_both_directions(client: socket.socket) -> None:
    client.sendall(b"hello")
    assert client.recv(100) == b"hello"


def test_late_bytes_arrive_in_their_order(client: socket.socket, lanes: Lanes, lane: str) -> None:
    lanes.delay(lane, 0, 0.01)
    received = b""
    for number in range(20):
        client.sendall(b"%d," % number)
    while received.count(b",") < 20:
        received += client.recv(1000)
    assert received == b"".join(b"%d," % number for number in range(20))


def test_held_bytes_do_not_arrive_until_they_are_let_go(
    client: socket.socket, lanes: Lanes, lane: str, echo: Echo
) -> None:
    lanes.hold(lane, True, UP)
    client.sendall(b"held")
    # Another lane to the same server works meanwhile.
    lanes.port("other", echo.address)
    with connect(lanes, "other", echo) as other:
        other.sendall(b"other")
        assert other.recv(100) == b"other"
    assert b"held" not in echo.heard
    lanes.hold(lane, False, UP)
    assert client.recv(100) == b"held"


def test_answers_can_be_held_alone(
    client: socket.socket, lanes: Lanes, lane: str, echo: Echo
) -> None:
    lanes.hold(lane, True, DOWN)
    client.sendall(b"told")
    assert echo.has_heard(b"told")
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    client.settimeout(60)
    lanes.hold(lane, False, DOWN)
    assert client.recv(100) == b"told"


def test_lane_that_is_cut_lets_nobody_through(
    client: socket.socket, lanes: Lanes, lane: str, echo: Echo
) -> None:
    client.sendall(b"before")
    assert client.recv(100) == b"before"
    lanes.cut(lane, True)
    assert is_cut(client)
    with connect(lanes, lane, echo) as refused:
        assert is_cut(refused)
    lanes.cut(lane, False)
    with connect(lanes, lane, echo) as again:
        again.sendall(b"after")
        assert again.recv(100) == b"after"


@pytest.mark.parametrize("mute", [False, True], ids=["dropped", "mute"])
def test_trap_cuts_the_connection_that_says_a_word(
    client: socket.socket, lanes: Lanes, lane: str, echo: Echo, mute: bool
) -> None:
    assert lanes.trap(lane, "COMMIT", mute=mute) == 0
    client.sendall(b"other")
    assert client.recv(100) == b"other"
    client.sendall(b"commit;")
    assert is_cut(client)
    if mute:
        assert echo.has_heard(b"commit;")
    # It springs once.
    assert lanes.trap(lane, "", mute=False) == 1
    with connect(lanes, lane, echo) as again:
        again.sendall(b"commit again")
        assert again.recv(100) == b"commit again"
    assert (b"commit;" in echo.heard) is mute

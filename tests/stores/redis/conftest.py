"""Redis servers: one for a file of tests, and those of one test alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import RedisServer, Unavailable, require
from tests.stores.redis.helpers import opened


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    try:
        running = RedisServer().start()
    except Unavailable as reason:
        require(reason)
    with running:
        yield running


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the stores of a test: what is left open is complained of when it is collected."""
    yield
    while opened:
        opened.pop().close()


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., RedisServer]]:
    """Start servers of this test alone, for tests that kill or flush them."""
    started: list[RedisServer] = []

    def start(**options: Any) -> RedisServer:
        try:
            started.append(RedisServer(**options).start())
        except Unavailable as reason:
            require(reason)
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def own(start: Callable[..., RedisServer]) -> RedisServer:
    return start()

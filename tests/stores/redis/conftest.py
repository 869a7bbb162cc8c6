"""Redis servers: one for a file of tests, and those of one test alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers import RedisServer, required
from tests.stores.redis.helpers import opened


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with required():
        running = RedisServer().start()
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
    with ExitStack() as stack:

        def start(**options: Any) -> RedisServer:
            with required():
                return stack.enter_context(RedisServer(**options))

        yield start


@pytest.fixture
def own(start: Callable[..., RedisServer]) -> RedisServer:
    return start()

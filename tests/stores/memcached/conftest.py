"""Memcached servers: three for a file of tests, and those of one test alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers import MemcachedServer, required


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MemcachedServer]]:
    with ExitStack() as stack:
        with required():
            started = [stack.enter_context(MemcachedServer()) for _ in range(3)]
        yield started


@pytest.fixture
def start() -> Iterator[Callable[..., MemcachedServer]]:
    """Start servers of this test alone, for tests that kill or flush them."""
    with ExitStack() as stack:

        def start(*options: str) -> MemcachedServer:
            with required():
                return stack.enter_context(MemcachedServer(options=options))

        yield start


@pytest.fixture
def own(start: Callable[..., MemcachedServer]) -> MemcachedServer:
    return start()

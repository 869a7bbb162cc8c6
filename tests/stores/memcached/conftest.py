"""Memcached servers: three for a file of tests, and those of one test alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers import MemcachedServer, Unavailable, require


@pytest.fixture(scope="module")
def servers() -> Iterator[list[MemcachedServer]]:
    started: list[MemcachedServer] = []
    try:
        started.extend(MemcachedServer().start() for _ in range(3))
        yield started
    except Unavailable as reason:
        require(reason)
    finally:
        for one in started:
            one.close()


@pytest.fixture
def start() -> Iterator[Callable[..., MemcachedServer]]:
    """Start servers of this test alone, for tests that kill or flush them."""
    started: list[MemcachedServer] = []

    def start(*options: str) -> MemcachedServer:
        try:
            started.append(MemcachedServer(options=options).start())
        except Unavailable as reason:
            require(reason)
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def own(start: Callable[..., MemcachedServer]) -> MemcachedServer:
    return start()

"""What the tests of the contract stand on: handles on the store under test, and polling."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreOptions

NewStore = Callable[[StoreOptions], Store]

#: A lease that runs out while a test polls, and one that never does during a test, in ms.
SHORT, LONG = 150, 600_000

#: How long a test polls before it fails, in seconds.
PATIENCE = 30.0


class StoreCase:
    """One store under test: what its author gives, the fixtures and the polling of all tests."""

    #: Whether other processes see the same data; False for a store inside the process, which must
    #: be new and empty in a forked child.
    shared: ClassVar[bool] = True

    #: The largest value in bytes that the store must take.
    largest: ClassVar[int] = 1024 * 1024 - 1024

    #: Threads, and rounds of each, in the tests of atomicity.
    threads: ClassVar[int] = 6
    rounds: ClassVar[int] = 40

    # -- what a store author gives -------------------------------------------------------------

    @pytest.fixture
    def new_store(self) -> NewStore:
        """A function that opens one more handle on this test's data with the options it is given.

        With the same options a store inside the process may return the same object again.
        """
        raise NotImplementedError("override the fixture new_store() in the subclass")

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        """Put raw bytes under a stamp's key behind the store's back; None removes it."""
        raise NotImplementedError("override plant() in the subclass")

    def lose(self, store: Store, stamp: bytes) -> None:
        """Make the store forget a stamp, as an eviction would."""
        self.plant(store, stamp, None)

    def clock(self, store: Store) -> int:
        """Return the store's clock in ms, as a lease that starts now shows it."""
        scratch, token = self.stamp(store, "clock"), secrets.token_bytes(16)
        store.begin([scratch], token)
        deadline = protocol.leases(self._one(store, scratch))[token]
        store.end([scratch], token)
        return deadline - store.options.lease

    def entry(self, store: Store, name: str) -> bytes:
        """Return the key of an entry of the store's prefix."""
        return f"{store.options.prefix}:e:{name}".encode()

    def stamp(self, store: Store, name: str) -> bytes:
        """Return the key of a stamp of the store's prefix."""
        return f"{store.options.prefix}:s:{name}".encode()

    # -- fixtures ------------------------------------------------------------------------------

    @pytest.fixture
    def prefix(self) -> str:
        """A prefix of this test alone, so that tests may share a server."""
        return "t" + secrets.token_hex(6)

    @pytest.fixture
    def open_handle(self, new_store: NewStore, prefix: str) -> Iterator[Callable[..., Store]]:
        """Open handles, and close them when the test is over."""
        opened: list[Store] = []

        def open_handle(lease: int = LONG, prefix: str = prefix) -> Store:
            opened.append(new_store(StoreOptions(prefix=prefix, lease=lease, timeout=5.0)))
            return opened[-1]

        yield open_handle
        for handle in opened:
            handle.close()

    @pytest.fixture
    def eager_threads(self) -> Iterator[None]:
        """Have the interpreter change threads as often as it can, so that what can meet does."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(before)

    @pytest.fixture
    def store(self, open_handle: Callable[..., Store]) -> Store:
        """A store whose leases outlast the test."""
        return open_handle()

    @pytest.fixture
    def other(self, store: Store, open_handle: Callable[..., Store]) -> Store:
        """A second handle on the data of `store`."""
        return open_handle()

    @pytest.fixture
    def brief(self, open_handle: Callable[..., Store]) -> Store:
        """A store whose leases run out while a test polls."""
        return open_handle(lease=SHORT)

    # -- helpers -------------------------------------------------------------------------------

    def _one(self, store: Store, stamp: bytes) -> bytes | None:
        (value,) = store.stamps([stamp])
        return value

    def _settled(self, store: Store, keys: Sequence[bytes]) -> list[bytes]:
        """Make new stamps settled without waiting for the quarantine of a long lease."""
        if not store.durable and store.options.lease > SHORT:
            for key in keys:
                wall = int(time.time() * 1000)
                self.plant(store, key, protocol.settled(0, wall, secrets.token_bytes(16)))
        self._until(
            lambda: all(protocol.is_settled(value) for value in store.settle(keys)),
            "the stamps never settled",
        )
        return list(store.settle(keys))

    def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        over = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < over, complaint
            # A clock of whole seconds goes no faster when it is asked all the time.
            time.sleep(0.002)

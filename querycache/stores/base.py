"""The contract that every store keeps.

A store holds two kinds of values under keys that it is given whole (prefix included; ASCII without
white space, at most 200 bytes): *entries*, which it may drop whenever it likes, and *stamps*, which
it changes only by the steps of `querycache.stamps`, each step atomic per stamp.

`querycache.testing.StoreContract` is the test suite of this contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from querycache.stamps import Clock
from querycache.stores import places


class StoreError(Exception):
    """The store did not answer, or answered that it cannot do what was asked."""


class StoreUnusable(Exception):
    """The store can never work as configured: a missing extra, a wrong URL, a version too old."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What every store is opened with.

    Args:
        prefix: what all keys of this store begin with, ASCII without white space.
        lease: how long a writer's lease lasts, in ms.
        timeout: connect and read timeout of a store that is reached over a socket, in seconds.
    """

    prefix: str = "qc"
    lease: int = 5000
    timeout: float = 0.25


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store tells of itself to people.

    Args:
        name: kind and place, such as ``"lmdb /dev/shm/…"``; never a password.
        version: of the server or of the library.
        entries: number of entries of this prefix, None where counting them would be slow.
        used: bytes in use, None when unknown.
        limit: bytes at most, None when unbounded or unknown.
        details: anything else worth showing, name → value.
    """

    name: str
    version: str
    entries: int | None = None
    used: int | None = None
    limit: int | None = None
    details: dict[str, str] = field(default_factory=dict)


class Follower(ABC):
    """What knows stamps without asking for them, as a store tells it of every change.

    What it knows may be behind the store by as long as a message takes; each class says by how much
    more where the connection is dead. Safe between threads and after a fork; raises nothing.
    """

    @abstractmethod
    def known(self, keys: Sequence[bytes]) -> list[bytes] | None:
        """Return the settled stamps of these keys, None where it does not know them all."""

    @abstractmethod
    def ticket(self) -> object:
        """Return what to `note` the answer with to a question that is asked from now on."""

    @abstractmethod
    def note(self, ticket: object, keys: Sequence[bytes], found: Sequence[bytes | None]) -> None:
        """Take over what the store has answered, unless a change was told since the ticket."""

    @abstractmethod
    def forget(self, keys: Sequence[bytes]) -> None:
        """Know these no more: this process has changed them, and need not wait to be told."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection and of all that is known."""


class Store(ABC):
    """Entries and stamps behind one small interface; safe to use from threads and after a fork.

    Opening a store connects to nothing; the first call does. Every method raises `StoreError` when
    the store does not answer within the timeout, and nothing else for trouble of the store's own.
    """

    #: Whether stamps are never lost while any process of the store runs (see
    #: `stamps.Step.durable`).
    durable: ClassVar[bool] = False

    #: Whether steps look at the companions of stamps (see `stamps.companion_of`), so that a
    #: quarantine may be over before its time.
    companions: ClassVar[bool] = False

    #: How finely the wall clock in `clock` and in settled stamps tells the time, in ms.
    tick: ClassVar[int] = 1

    #: Whether values cross a network, so that large ones are worth compressing.
    remote: ClassVar[bool] = True

    #: Whether `begin_ahead` may save time, as where the answer to a `begin` takes some.
    begins_ahead: ClassVar[bool] = False

    def __init__(self, options: StoreOptions) -> None:
        self.options = options

    @abstractmethod
    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the entry's value followed by the stamps' values, in one round trip.

        The stamps must be at least as fresh as the moment of the call: never from a replica, never
        from a cache. None stands for what is absent. The entry may come from an earlier moment.
        """

    @abstractmethod
    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the stamps' values, in one round trip; None for what is absent."""

    @abstractmethod
    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        """Store an entry, for `ttl` seconds at most (None: as long as there is room).

        It and `delete` may return before that is done, and the next call may raise for them.
        """

    def flush(self) -> None:
        """Let other processes find what was written; called when a request is over.

        Some stores put entries aside for a moment, to write several together.
        """
        return

    @abstractmethod
    def delete(self, entry: bytes) -> None:
        """Drop an entry if it is there."""

    @abstractmethod
    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        """Apply `stamps.begin` to each stamp; returns when all of them hold the lease.

        The same token again renews its leases.
        """

    def begin_ahead(self, stamps: Sequence[bytes], token: bytes) -> Callable[[], bool] | None:
        """Send a `begin` on its way while its caller still has to prepare what it announces.

        Returns:
            What waits until all stamps hold the lease and tells whether they do; it is called once.
            None where nothing was sent: there is nothing to gain, or it cannot be done just now.
        """
        return None

    @abstractmethod
    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        """Apply `stamps.end` to each stamp.

        It may return before that is done, and even where it is never done: the lease that it takes
        off runs out by itself. The next call may raise for it.
        """

    @abstractmethod
    def touch(self, stamps: Sequence[bytes]) -> None:
        """Apply `stamps.touch` to each stamp; returns when all of them have changed."""

    @abstractmethod
    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        """Apply `stamps.settle` to each stamp and return what they are now."""

    @abstractmethod
    def clock(self) -> Clock:
        """Return the counter that sequences are taken from, and the time, as they are now.

        Every stamp that is settled from now on for a write that is not over yet has a greater
        sequence, or another era in the first bytes of its nonce.
        """

    def identity(self, proposed: bytes) -> bytes:
        """Return what tells this store from every other, kept beside the stamps.

        Args:
            proposed: kept from now on where the store has nothing: 32 hexadecimal digits.
        """
        key = f"{self.options.prefix}:store".encode()
        found = self._known_as(key)
        if found is None:
            self._introduce(key, proposed)
            # Another process may have come first.
            found = self._known_as(key) or proposed
        return found

    def _known_as(self, key: bytes) -> bytes | None:
        """Return what is under the key of the identity."""
        return self.read(key, ())[0]

    def _introduce(self, key: bytes, identity: bytes) -> None:
        """Put an identity under its key, where nothing is there."""
        self.write(key, identity, None)

    @property
    def place(self) -> str:
        """Where the store is, for people, without passwords; two stores at one place are one."""
        return f"{type(self).__name__} {self.options.prefix} on {places.machine()}"

    def follow(self) -> Follower | None:
        """Return what follows the stamps of this store; None where the store does not tell."""
        return None

    @abstractmethod
    def clear(self) -> None:
        """Drop every entry of this prefix; stamps stay."""

    @abstractmethod
    def info(self) -> StoreInfo:
        """Tell people about the store."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and files; a later call opens them again."""

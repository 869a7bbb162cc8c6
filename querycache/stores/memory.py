"""A store inside the process: for one process, and for tests."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from querycache import stamps as protocol
from querycache.generations import Generations
from querycache.stores import places
from querycache.stores.base import Store, StoreInfo, StoreOptions, StoreUnusable
from querycache.stores.forks import watch_forks
from querycache.stores.urls import parse_size, query_of, split

DEFAULT_SIZE = 64 * 1024 * 1024

# What an entry takes besides its value: key, tuple, two object headers, its share of a dict.
_OVERHEAD = 300


class MemoryStore(Store):
    """Entries and stamps in dicts of this process, bounded in bytes.

    A forked child starts with an empty store: a copy would not see the writes of its parent.

    Args:
        options: what every store is opened with.
        size: bytes that entries take at most, their overhead estimated; stamps are not counted.
    """

    durable: ClassVar[bool] = True
    remote: ClassVar[bool] = False

    def __init__(self, options: StoreOptions, size: int = DEFAULT_SIZE) -> None:
        super().__init__(options)
        self.size = size
        self._entries: Generations[tuple[bytes, float | None]] = Generations(size)
        self.after_fork()
        watch_forks(self)

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> MemoryStore:
        """Open ``memory://?size=64mb``."""
        parts = split(url)
        if parts.netloc or parts.path.strip("/"):
            raise StoreUnusable("memory:// takes no host and no path, only ?size=64mb")
        query = query_of(url, {"size"})
        return cls(options, parse_size(query["size"]) if "size" in query else DEFAULT_SIZE)

    def after_fork(self) -> None:
        """Begin empty, with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()
        self._entries.empty()
        self._stamps: dict[bytes, bytes] = {}
        self._sequence = 0
        self._era = os.urandom(protocol.ERA_BYTES)
        self._identity = os.urandom(16).hex().encode()

    # -- entries -------------------------------------------------------------------------------

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        item = self._entries.get(entry)
        get = self._stamps.get
        if item is None or (item[1] is not None and time.monotonic() >= item[1]):
            return [None, *map(get, stamps)]
        return [item[0], *map(get, stamps)]

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        deadline = None if ttl is None else time.monotonic() + ttl
        self._entries.put(entry, (value, deadline), len(entry) + len(value) + _OVERHEAD)

    def delete(self, entry: bytes) -> None:
        self._entries.drop(entry)

    def clear(self) -> None:
        self._entries.drop_all(f"{self.options.prefix}:".encode())

    # -- stamps --------------------------------------------------------------------------------

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        return [*map(self._stamps.get, stamps)]

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        # It settles nothing.
        self._change(stamps, lambda stamp, step: protocol.begin(stamp, token, step), settles=False)

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        self._change(stamps, lambda stamp, step: protocol.end(stamp, token, step))

    def touch(self, stamps: Sequence[bytes]) -> None:
        self._change(stamps, protocol.touch)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        known = [*map(self._stamps.get, stamps)]
        if all(map(protocol.is_settled, known)):
            return [stamp for stamp in known if stamp is not None]
        return self._change(stamps, protocol.settle)

    def _change(
        self,
        stamps: Sequence[bytes],
        change: Callable[[bytes | None, protocol.Step], bytes],
        *,
        settles: bool = True,
    ) -> list[bytes]:
        nonce = os.urandom(protocol.NONCE_BYTES - protocol.ERA_BYTES) if settles else b""
        with self._lock:
            self._sequence += settles
            step = protocol.Step(
                now=time.monotonic_ns() // 1_000_000,
                wall=time.time_ns() // 1_000_000,
                lease=self.options.lease,
                sequence=self._sequence,
                nonce=self._era + nonce,
                durable=True,
            )
            known = self._stamps
            changed = [change(known.get(stamp), step) for stamp in stamps]
            known.update(zip(stamps, changed, strict=True))
            return changed

    def clock(self) -> protocol.Clock:
        # Raised before any stamp shows it, so what is settled later is always above it.
        return protocol.Clock(self._sequence, self._era, time.time_ns() // 1_000_000)

    def identity(self, proposed: bytes) -> bytes:
        return self._identity

    @property
    def place(self) -> str:
        return f"memory {self.options.prefix} of {places.process()}"

    # -- the rest ------------------------------------------------------------------------------

    def info(self) -> StoreInfo:
        with self._lock:
            return StoreInfo(
                name="memory of this process",
                version=f"Python {platform.python_version()}",
                entries=len(self._entries),
                used=self._entries.cost,
                limit=self.size,
                details={"stamps": str(len(self._stamps))},
            )

    def close(self) -> None:
        """Nothing is let go of: stamps that were lost here could not be told from new ones."""

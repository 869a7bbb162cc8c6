"""The embedded store: shared by all processes of a machine, without a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

from querycache import stamps as protocol
from querycache.stores import places
from querycache.stores.base import Store, StoreError, StoreInfo, StoreOptions, StoreUnusable
from querycache.stores.lmdb_entries import Entries
from querycache.stores.lmdb_files import check_folder, default_path, environment, lmdb
from querycache.stores.urls import parse_size, query_of, split

__all__ = ["DEFAULT_SIZE", "LmdbStore", "default_path"]

DEFAULT_SIZE = 256 * 1024 * 1024
SMALLEST_SIZE = 4 * 1024 * 1024

# Room for half a million stamps; the file is as large as what is in it. It must be the same for
# all processes, so it does not depend on the size that each of them is configured with.
_STAMPS_SIZE = 64 * 1024 * 1024
_RESERVE = 1024 * 1024
_PRUNE_EVERY = 64

# No stamp has this key, since none begins with a zero byte.
_SEQUENCE = b"\0sequence"
_IDENTITY = b"\0store:"
# It is never below a clock that does not go back, so it has one era.
_ERA = bytes(protocol.ERA_BYTES)

_T = TypeVar("_T")
_Change = Callable[["bytes | None", protocol.Step], bytes]


class LmdbStore(Store):
    """Entries and stamps in two LMDB environments of one folder, read where they lie in memory.

    Stamps have an environment of their own, so that entries never take their room, and writing
    an entry never makes a stamp's step wait.

    Args:
        path: the folder, for this user alone; it is made when first used.
        options: what every store is opened with.
        size: bytes that entries take at most.

    Raises:
        StoreUnusable: py-lmdb is missing, the size is too small, or the folder is not this user's.
    """

    durable: ClassVar[bool] = True
    remote: ClassVar[bool] = False

    def __init__(
        self, path: str | os.PathLike[str], options: StoreOptions, size: int = DEFAULT_SIZE
    ) -> None:
        super().__init__(options)
        if lmdb is None:
            raise StoreUnusable('the LMDB store needs py-lmdb: run `pip install "lmdb>=1.6.2"`')
        if size < SMALLEST_SIZE:
            raise StoreUnusable(f"an LMDB store needs at least 4 MB, not {size} bytes")
        self.path = Path(path)
        try:
            check_folder(self.path)
        except FileNotFoundError:
            pass  # made when first used
        except (OSError, ValueError) as error:
            raise StoreUnusable(f"{self.path} cannot be used: {error}") from error
        self._stamps = environment(self.path, "stamps", _STAMPS_SIZE, reserve=_RESERVE)
        self._entries = Entries(self.path, size)

    @classmethod
    def from_url(cls, url: str, options: StoreOptions) -> LmdbStore:
        """Open ``lmdb:///path?size=256mb``; without a path, the default one of the key prefix."""
        parts = split(url)
        if parts.netloc:
            raise StoreUnusable(
                "lmdb:// takes an absolute path after three slashes: lmdb:///path?size=256mb"
            )
        query = query_of(url, {"size"})
        path = Path(unquote(parts.path)) if parts.path else default_path(options.prefix)
        return cls(path, options, parse_size(query["size"]) if "size" in query else DEFAULT_SIZE)

    # -- entries -------------------------------------------------------------------------------

    def read(self, entry: bytes, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        try:
            value = self._entries.read(entry)
        except _TROUBLE as error:
            raise self._failed(self._entries.files, error) from error
        return [value, *self.stamps(stamps)]

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        self._on_entries(lambda: self._entries.write(entry, value, ttl))

    def flush(self) -> None:
        self._on_entries(self._entries.flush)

    def delete(self, entry: bytes) -> None:
        self._on_entries(lambda: self._entries.delete(entry))

    def clear(self) -> None:
        self._on_entries(lambda: self._entries.clear(f"{self.options.prefix}:".encode()))

    def _on_entries(self, action: Callable[[], None]) -> None:
        try:
            action()
        except _TROUBLE as error:
            raise self._failed(self._entries.files, error) from error

    # -- stamps --------------------------------------------------------------------------------

    def stamps(self, stamps: Sequence[bytes]) -> Sequence[bytes | None]:
        files = self._stamps
        files.check_process()
        try:
            while True:
                with files.reading:
                    if not files.deleted():
                        txn = files.begin()
                        try:
                            return [*map(txn.get, stamps)]
                        finally:
                            txn.abort()
                files.close()
        except _TROUBLE as error:
            raise self._failed(files, error) from error

    def begin(self, stamps: Sequence[bytes], token: bytes) -> None:
        # It settles nothing.
        self._change(stamps, lambda stamp, step: protocol.begin(stamp, token, step), settles=False)

    def end(self, stamps: Sequence[bytes], token: bytes) -> None:
        self._change(stamps, lambda stamp, step: protocol.end(stamp, token, step))

    def touch(self, stamps: Sequence[bytes]) -> None:
        self._change(stamps, protocol.touch)

    def settle(self, stamps: Sequence[bytes]) -> Sequence[bytes]:
        # Readers call this while others write: most often there is nothing to change.
        known = self.stamps(stamps)
        step = self._step(0)
        if all(protocol.settle(stamp, step) == stamp for stamp in known):
            return [stamp for stamp in known if stamp is not None]
        return self._change(stamps, protocol.settle)

    def clock(self) -> protocol.Clock:
        (found,) = self.stamps([_SEQUENCE])
        return protocol.Clock(int(found or 0), _ERA, time.time_ns() // 1_000_000)

    def identity(self, proposed: bytes) -> bytes:
        # Beside the stamps: what lets go of entries leaves it alone.
        key = _IDENTITY + self.options.prefix.encode()
        found = self.stamps([key])[0]
        return found or self._change([key], lambda known, _: known or proposed)[0]

    @property
    def place(self) -> str:
        try:
            # Makes the folder where there is none.
            self.stamps(())
            found = self.path.stat()
        except (OSError, StoreError):
            return super().place
        # Containers may have one name, and each a folder of its own behind one path.
        where = f"{os.path.realpath(self.path)} ({found.st_dev}:{found.st_ino})"
        return f"lmdb {where} on {places.machine()} {self.options.prefix}"

    def _change(
        self, stamps: Sequence[bytes], change: _Change, *, settles: bool = True
    ) -> list[bytes]:
        files = self._stamps
        files.check_process()
        try:
            for attempt in range(3):
                with files.writing:
                    if not files.deleted():
                        try:
                            return self._change_locked(stamps, change, settles)
                        except lmdb.MapFullError:
                            if attempt == 2:
                                raise
                            # Pages that only a dead reader held are free once it is known dead.
                            files.env.reader_check()
                            with files.begin(write=True) as txn:
                                self._prune(txn)
                            continue
                files.close()
            raise StoreError(f"the files in {self.path} are deleted again and again")
        except _TROUBLE as error:
            raise self._failed(files, error) from error

    def _change_locked(
        self, stamps: Sequence[bytes], change: _Change, settles: bool
    ) -> list[bytes]:
        with self._stamps.begin(write=True) as txn:
            sequence = 0
            if settles:
                # Never below the clock, so that it does not go back when the files are deleted.
                sequence = max(int(txn.get(_SEQUENCE) or 0) + 1, time.monotonic_ns() // 1000)
            # The clock is asked when the transaction has begun: a lease must not grow old waiting.
            step = self._step(sequence)
            changed = []
            settled = False
            for stamp in stamps:
                before = txn.get(stamp)
                after = change(before, step)
                if after != before:
                    txn.put(stamp, after)
                    settled = settled or protocol.is_settled(after)
                changed.append(after)
            if settled:
                txn.put(_SEQUENCE, b"%d" % sequence)
            if txn.id() % _PRUNE_EVERY == 0 and self._crowded(txn):
                self._prune(txn)
            return changed

    def _step(self, sequence: int) -> protocol.Step:
        """Return a step as of now; with the sequence 0 it settles nothing."""
        nonce = os.urandom(protocol.NONCE_BYTES - protocol.ERA_BYTES) if sequence else _ERA
        return protocol.Step(
            # The same in all processes, and it cannot be set; it stands still while the machine
            # sleeps, and so do the writers.
            now=time.monotonic_ns() // 1_000_000,
            wall=time.time_ns() // 1_000_000,
            lease=self.options.lease,
            sequence=sequence,
            nonce=_ERA + nonce,
            durable=True,
        )

    def _crowded(self, txn: Any) -> bool:
        stat = txn.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return bool(pages * stat["psize"] * 2 > self._stamps.map_size)

    def _prune(self, txn: Any) -> None:
        """Drop the stamps that nobody holds, as there is no room for all.

        Here an absent stamp is settled at once, under a nonce that no entry knows: dropping one is
        as safe as changing it, as long as no writer holds it.
        """
        now = self._step(0).now
        cursor = txn.cursor()
        there = cursor.first()
        while there:
            held = any(deadline > now for deadline in protocol.leases(cursor.value()).values())
            there = cursor.next() if held or cursor.key()[:1] == b"\0" else cursor.delete()

    # -- the rest ------------------------------------------------------------------------------

    def info(self) -> StoreInfo:
        try:
            entries, used = self._entries.count()
            with self._stamps.reading, self._stamps.begin() as txn:
                stamps = txn.stat()["entries"]
        except _TROUBLE as error:
            raise self._failed(self._entries.files, error) from error
        return StoreInfo(
            name=f"lmdb {self.path}",
            version="LMDB {}.{}.{}, py-lmdb {}".format(*lmdb.version(), lmdb.__version__),
            entries=entries,
            used=used,
            limit=self._entries.size,
            details={"stamps": str(stamps)},
        )

    def close(self) -> None:
        self._stamps.close()
        self._entries.close()

    def _failed(self, files: Any, error: Exception) -> StoreError:
        if isinstance(error, _broken()):
            files.close()
        return StoreError(f"lmdb {self.path}: {error}")


_TROUBLE: tuple[type[Exception], ...] = (OSError, StoreUnusable)
if lmdb is not None:
    _TROUBLE = (*_TROUBLE, lmdb.Error)


def _broken() -> tuple[type[Exception], ...]:
    """Errors after which an environment has to be opened anew."""
    return (lmdb.PanicError, lmdb.InvalidError, lmdb.BadRslotError, lmdb.MapResizedError)

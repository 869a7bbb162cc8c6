"""The entries of the LMDB store: a bounded file in which the oldest entries make room for new ones.

One tree holds three kinds of keys:

- an entry's key → head (deadline, when it was made, place in the order, number of further pieces),
  first piece;
- the same with a zero byte and a number → a further piece;
- a zero byte and a place in the order → the key of the entry that is there.

Every piece fits one page. LMDB needs neighbouring free pages for a longer value, and in a file that
is always full it looks for them through all its free pages: milliseconds for each write. For the
same reason room is made a few entries at a time, by the write that needs it: free pages that come
by the ten thousand have to be written down again and again.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

from querycache.stores.lmdb_files import environment, lmdb
from querycache.stores.lmdb_waiting import Item, Waiting

_HEAD = Struct(">QQQH")
_PIECE = Struct(">H")
_PLACE = Struct(">Q")
_NEVER = 2**64 - 1

# No entry's key begins with a zero byte, or has one.
_ZERO = b"\0"
_FIRST_PLACE = _ZERO + _PLACE.pack(0)
_AFTER_PLACES = b"\1"

# LMDB's own header on the page of a value that has a page to itself.
_PAGE_HEADER = 16

# The rest of the file is for the copies that LMDB makes of pages it changes, and for those freed
# but not yet free to use.
_SHARE = 0.8
_LARGEST_SHARE = 0.1
_HITS = 4096
_SECOND_CHANCES = 16
_BATCH = 64
_ATTEMPTS = 4


class Entries:
    """Entries in the order they were written; the oldest go first, unless they were asked for.

    Reading never writes and never waits for a writer: what a process has read it remembers, and
    gives a second chance when it is the one that makes room.

    Args:
        root: the folder of the store.
        size: bytes that the file takes at most.
    """

    def __init__(self, root: Path, size: int) -> None:
        # A file system that is smaller (a container's /dev/shm has 64 MB) must not be filled; its
        # total is the same for all processes, its free space is not.
        self.size = min(size, _disk_total(root) // 2) // 65536 * 65536
        # The size is part of the name, since all users of a file have to agree on it.
        self.files = environment(root, f"entries-{self.size}", self.size)
        self._hits: set[bytes] = set()
        # One for the environment, as all stores of this process in one folder have one.
        with self.files.writing:
            if self.files.waiting is None:
                self.files.waiting = Waiting(self._write_all)
            self._waiting = self.files.waiting

    def read(self, entry: bytes) -> bytes | None:
        """Return an entry's value; None when there is none, or it has ended."""
        files = self.files
        files.check_process()
        if self._waiting.items:
            waits = self._waiting.items.get(entry)
            self._waiting.flush_old()
            if waits is not None:
                return waits.value if waits.deadline > _now() else None
        with files.reading:
            txn = files.begin()
            try:
                item = txn.get(entry)
                if item is None:
                    return None
                deadline, _, _, further = _HEAD.unpack_from(item)
                pieces = [txn.get(key) for key in _pieces(entry, further)] if further else ()
            finally:
                txn.abort()
        if deadline <= _now():
            return None
        if len(self._hits) >= _HITS:
            self._hits.clear()
        self._hits.add(entry)
        value: bytes = item[_HEAD.size :]
        return b"".join((value, *pieces)) if pieces else value

    def write(self, entry: bytes, value: bytes, ttl: float | None) -> None:
        """Store an entry if there is room for it, or room can be made."""
        if len(value) > self.size * _LARGEST_SHARE:
            self.delete(entry)
            return
        now = time.monotonic_ns()
        deadline = _NEVER if ttl is None else now // 1_000_000 + math.ceil(max(ttl, 0) * 1000)
        self._waiting.put(entry, Item(value, min(deadline, _NEVER), now))

    def _write_all(self, items: dict[bytes, Item]) -> None:
        self.files.leave_deleted()
        there = self._waiting.items
        for _ in range(_ATTEMPTS):
            with self.files.writing:
                # Not what was deleted meanwhile, or has another value.
                items = {entry: item for entry, item in items.items() if there.get(entry) is item}
                try:
                    self._put(items)
                    return
                except lmdb.Error as error:
                    if not _full(error):
                        raise
                    self._make_room()
        # There is no room and none can be made (a full disk, a reader that stands still): entries
        # need not be kept.

    def delete(self, entry: bytes) -> None:
        """Drop an entry if it is there."""
        self.files.leave_deleted()
        with self.files.writing, self.files.begin(write=True) as txn:
            self._waiting.items.pop(entry, None)
            _drop(txn, entry)

    def clear(self, start: bytes) -> None:
        """Drop all entries whose keys begin with `start`, some at a time."""
        self.files.leave_deleted()
        more = True
        while more:
            with self.files.writing, self.files.begin(write=True) as txn:
                self._waiting.drop(start)
                cursor = txn.cursor()
                more = cursor.set_range(start)
                for _ in range(_BATCH):
                    if not more or not cursor.key().startswith(start):
                        more = False
                        break
                    if _ZERO not in cursor.key():
                        txn.delete(_ZERO + cursor.value()[16:24])
                        cursor.set_range(start)
                    more = cursor.delete()

    def flush(self) -> None:
        """Write what waits."""
        self._waiting.flush()

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        self._waiting.flush_quietly()
        self.files.close()

    def count(self) -> tuple[int, int]:
        """Return the number of entries and the bytes that they take."""
        self._waiting.flush()
        self.files.leave_deleted()
        with self.files.reading, self.files.begin() as txn:
            cursor = txn.cursor()
            entries = 0
            there = cursor.set_range(_FIRST_PLACE)
            while there and cursor.key() < _AFTER_PLACES:
                entries += 1
                there = cursor.next()
            return entries, _bytes(txn.stat())

    def _put(self, items: dict[bytes, Item]) -> None:
        with self.files.begin(write=True) as txn:
            stat = txn.stat()
            piece = stat["psize"] - _PAGE_HEADER
            first = piece - _HEAD.size
            # Another process may have made a later one, and written it sooner.
            items = {
                entry: item for entry, item in items.items() if not _is_later(txn, entry, item)
            }
            for entry in items:
                _drop(txn, entry)
            if _bytes(stat) > self.size * _SHARE:
                wanted = sum(len(item.value) + stat["psize"] for item in items.values())
                self._evict(txn, wanted)
            for place, (entry, item) in enumerate(items.items(), _last_place(txn) + 1):
                value = item.value
                parts = range(first, len(value), piece)
                txn.put(_ZERO + _PLACE.pack(place), entry)
                head = _HEAD.pack(item.deadline, item.made, place, len(parts))
                txn.put(entry, head + value[:first])
                for key, at in zip(_pieces(entry, len(parts)), parts, strict=True):
                    txn.put(key, value[at : at + piece])

    def _evict(self, txn: Any, wanted: int) -> None:
        """Drop the oldest entries until `wanted` bytes are free."""
        chances = _SECOND_CHANCES
        place = _last_place(txn)
        cursor = txn.cursor()
        while wanted > 0 and cursor.set_range(_FIRST_PLACE) and cursor.key() < _AFTER_PLACES:
            key, entry = cursor.item()
            txn.delete(key)
            if chances and entry in self._hits:
                self._hits.discard(entry)
                item = txn.get(entry)
                deadline, made, _, further = _HEAD.unpack_from(item)
                if deadline > _now():
                    chances -= 1
                    place += 1
                    txn.put(_ZERO + _PLACE.pack(place), entry)
                    head = _HEAD.pack(deadline, made, place, further)
                    txn.put(entry, head + item[_HEAD.size :])
                    continue
            wanted -= _drop(txn, entry)

    def _make_room(self) -> None:
        self.files.env.reader_check()
        # Twice, since LMDB uses freed pages from the second transaction after on.
        for _ in range(2):
            try:
                with self.files.begin(write=True) as txn:
                    self._evict(txn, self.size // 50)
            except lmdb.Error as error:
                if not _full(error):
                    raise


def _is_later(txn: Any, entry: bytes, item: Item) -> bool:
    """Tell whether an entry is there that was made later than another."""
    there = txn.get(entry)
    # One from the future is of a process with another clock, and must not stay for ever.
    return there is not None and item.made < _HEAD.unpack_from(there)[1] <= time.monotonic_ns()


def _drop(txn: Any, entry: bytes) -> int:
    """Drop an entry, and return about how many bytes that frees."""
    item = txn.pop(entry)
    if item is None:
        return 0
    _, _, place, further = _HEAD.unpack_from(item)
    txn.delete(_ZERO + _PLACE.pack(place))
    freed = len(item) + len(entry)
    for key in _pieces(entry, further):
        freed += len(txn.pop(key) or b"")
    return freed


def _pieces(entry: bytes, further: int) -> Iterator[bytes]:
    for number in range(further):
        yield entry + _ZERO + _PIECE.pack(number)


def _last_place(txn: Any) -> int:
    cursor = txn.cursor()
    there = cursor.prev() if cursor.set_range(_AFTER_PLACES) else cursor.last()
    key = cursor.key() if there else b""
    return int(_PLACE.unpack_from(key, 1)[0]) if key.startswith(_ZERO) else 0


def _bytes(stat: dict[str, int]) -> int:
    pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return pages * stat["psize"]


def _full(error: Exception) -> bool:
    # py-lmdb has a class for a full map; a full disk or quota is known by its text alone.
    if isinstance(error, lmdb.MapFullError | lmdb.TxnFullError):
        return True
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _disk_total(root: Path) -> int:
    folder = root.absolute()
    while not folder.exists():
        folder = folder.parent
    if not hasattr(os, "statvfs"):
        return 2**62
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize or 2**62

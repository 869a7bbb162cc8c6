"""What workers write down: records of fixed size in files that outlive a killed process."""

from __future__ import annotations

import enum
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Kind(enum.IntEnum):
    """What a record says."""

    READ = 1
    #: Two values that are always written together were read by one statement.
    PAIR = 2
    #: A write was begun; where nothing follows, its process was killed.
    BEGUN = 3
    COMMITTED = 4
    ROLLED_BACK = 5
    #: The write failed in a way that leaves open whether it has committed.
    DOUBTFUL = 6
    #: A transaction read what it had written itself: `value` was seen, `other` is right.
    OWN = 7
    #: A transaction that sees one state has read something again: `other` was seen before.
    AGAIN = 8
    #: A read raised an error.
    FAILED = 9
    #: A write was refused by the cache, and so is rolled back.
    REFUSED = 10
    #: All is quiet: the cache served `value`, the database says `other`.
    QUIET = 11
    #: All is quiet, and the cache serves nothing.
    UNSERVED = 12
    #: A worker has ended; the store has failed its process `value` times.
    LEFT = 13


#: Flags of a record: the first of its read; the read was served without the database; it is of a
#: register that the reading worker writes itself.
HEAD, HIT, OWNER = 1, 2, 4


class Record(NamedTuple):
    """One thing that a worker did or saw.

    Args:
        kind: a `Kind`.
        way: how it was done, see `workload.WAYS`.
        register: what was read or written.
        flags: `HEAD`, `HIT` and `OWNER`.
        begin: before it began, in ns of the system's monotonic clock.
        end: after it had ended.
        value: what was written or read.
        other: see `Kind`.
    """

    kind: int
    way: int
    register: int
    flags: int
    begin: int
    end: int
    value: int
    other: int = 0


_LAYOUT = struct.Struct("<BBHIqqqq")
_FILE_BYTES = _LAYOUT.size * 100_000


class Recorder:
    """Writes the records of one worker into memory that belongs to a file, so no kill loses any.

    Args:
        folder: where its files go.
        name: of the worker; unique among those of a run.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._files = 0
        self._place = _FILE_BYTES
        self._memory: mmap.mmap | None = None

    def add(
        self,
        kind: int,
        way: int,
        register: int,
        flags: int,
        begin: int,
        end: int,
        value: int,
        other: int = 0,
    ) -> None:
        """Write a record down; see `Record`."""
        if self._place == _FILE_BYTES:
            self._next_file()
        memory = self._memory
        assert memory is not None
        place = self._place
        _LAYOUT.pack_into(memory, place, 0, way, register, flags, begin, end, value, other)
        # Last, so that a record is whole or not there.
        memory[place] = kind
        self._place = place + _LAYOUT.size

    def _next_file(self) -> None:
        path = self._folder / f"{self._name}.{self._files}.records"
        with path.open("xb+") as file:
            file.truncate(_FILE_BYTES)
            self._memory = mmap.mmap(file.fileno(), _FILE_BYTES)
        self._files += 1
        self._place = 0


def load(folder: Path) -> Iterator[tuple[int, ...]]:
    """Give the records of all workers, as plain tuples in the order of `Record`'s fields."""
    for path in sorted(folder.glob("*.records")):
        for found in _LAYOUT.iter_unpack(path.read_bytes()):
            if not found[0]:
                break
            yield found

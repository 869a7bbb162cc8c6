"""What a cache that keeps the promise must ask of its store at the least, and nothing else.

One round trip to a store before rows are served, another before a write and one after it: whoever
leaves one out is stale one day (`docs/explanation/protocol.md`). Here nothing is hashed, compared,
encoded or decoded, and nothing is looked up but what a dict finds: what is left between this and a
cache is what the cache can do about.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from benchmarks.contenders.bare import Floor

#: Of the stamp of a table, and of an entry for each of its rows.
STAMP_BYTES = 49
ROW_BYTES = 150

#: What a read depends on (the whole database, a table, its new rows, some rows), and what a write
#: changes.
STAMPS = tuple(b"stamp:%d" % number for number in range(4))
WRITTEN = STAMPS[:2]

# The setting that says where the store is.
_STORE = "LIMIT_STORE"

#: Entries that are written together where a transaction costs more than what is in it.
TOGETHER = 32


class BareStore(ABC):
    """A store without a library around it."""

    @abstractmethod
    def read(self, entry: bytes) -> None:
        """Fetch an entry, whether it is there or not, and the stamps."""

    @abstractmethod
    def write(self, entry: bytes, value: bytes) -> None:
        """Write an entry, some time soon."""

    @abstractmethod
    def begin(self) -> None:
        """Change the stamps of a write that is about to commit, and wait for it to be done."""

    @abstractmethod
    def end(self) -> None:
        """Change the stamps of a write that has committed; the next command is later."""


class BareLmdb(BareStore):
    """LMDB as the library opens it.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        import lmdb

        folder.mkdir(exist_ok=True)
        self._env = lmdb.open(str(folder), map_size=2**28, sync=False, metasync=False)
        self._waiting: dict[bytes, bytes] = {}
        self._change(STAMPS)

    def read(self, entry: bytes) -> None:
        txn = self._env.begin()
        try:
            txn.get(entry)
            for stamp in STAMPS:
                txn.get(stamp)
        finally:
            txn.abort()

    def write(self, entry: bytes, value: bytes) -> None:
        self._waiting[entry] = value
        if len(self._waiting) >= TOGETHER:
            with self._env.begin(write=True) as txn:
                for key, waits in self._waiting.items():
                    txn.put(key, waits)
            self._waiting.clear()

    def begin(self) -> None:
        self._change(WRITTEN)

    def end(self) -> None:
        self._change(WRITTEN)

    def _change(self, stamps: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as txn:
            for stamp in stamps:
                txn.put(stamp, bytes(STAMP_BYTES))


class BareRedis(BareStore):
    """Redis on a socket: what is sent was made before, and what comes back is not looked at.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((str(place.hostname), int(place.port or 6379)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Bytes of answers that nobody has waited for.
        self._due = 0
        # Entry → the command that fetches it, and how long the answer is.
        self._reads: dict[bytes, tuple[bytes, int]] = {}
        stamps = [part for stamp in STAMPS for part in (stamp, bytes(STAMP_BYTES))]
        self._ask(_packed(b"MSET", *stamps), _OK)
        written = [part for stamp in WRITTEN for part in (stamp, bytes(STAMP_BYTES))]
        self._change = _packed(b"MSET", *written)

    def read(self, entry: bytes) -> None:
        found = self._reads.get(entry)
        if found is None:
            found = self._reads[entry] = (_packed(b"MGET", entry, *STAMPS), _NOTHING + _ANSWER)
        self._ask(*found)

    def write(self, entry: bytes, value: bytes) -> None:
        command, _ = self._reads[entry]
        self._reads[entry] = command, _bulk(len(value)) + _ANSWER
        self._send(_packed(b"SET", entry, value), _OK)

    def begin(self) -> None:
        self._ask(self._change, _OK)

    def end(self) -> None:
        self._send(self._change, _OK)

    def _send(self, command: bytes, answer: int) -> None:
        self._socket.sendall(command)
        self._due += answer

    def _ask(self, command: bytes, answer: int) -> None:
        self._send(command, answer)
        while self._due > 0:
            self._due -= len(self._socket.recv(65536))


def _packed(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in parts)


def _bulk(size: int) -> int:
    return len(b"$%d\r\n" % size) + size + 2


_OK = len(b"+OK\r\n")
_NOTHING = len(b"$-1\r\n")
# Of an MGET, without the entry.
_ANSWER = len(b"*%d\r\n" % (1 + len(STAMPS))) + len(STAMPS) * _bulk(STAMP_BYTES)


class Limit(Floor):
    """The floor, and with each query or write the least that a store must be asked."""

    __slots__ = ()
    kinds: ClassVar[frozenset[str]] = frozenset({"hit", "miss", "write"})

    def missing(self) -> str | None:
        if self.store == "lmdb":
            from importlib.util import find_spec

            return None if find_spec("lmdb") else "lmdb is not installed"
        return None

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        return {_STORE: store or str(folder / "bare")}

    def install(self) -> None:
        """Put the store beside every SELECT, and around every write."""
        from django.conf import settings

        place: str = getattr(settings, _STORE)
        store = BareLmdb(Path(place)) if self.store == "lmdb" else BareRedis(place)
        self._can(
            lambda key: store.read(_name(key)),
            lambda key, result: store.write(_name(key), bytes(ROW_BYTES * _rows(result))),
        )
        _surround_writes(store)


def _name(key: Any) -> bytes:
    # What a dict has found by it is known to be equal; its hash is made already.
    return b"entry:%x" % hash(key)


def _rows(result: Any) -> int:
    return sum(map(len, result)) if type(result) is list else 1


def _surround_writes(store: BareStore) -> None:
    """Announce every INSERT and UPDATE, or the transaction that it is in, before and after it."""
    from django.db.backends.base import base
    from django.db.models.sql.compiler import SQLInsertCompiler, SQLUpdateCompiler

    written: set[Any] = set()
    outermost = True

    def around(execute: Callable[..., Any]) -> Callable[..., Any]:
        def execute_sql(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal outermost
            if self.connection.in_atomic_block:
                written.add(self.connection)
            if self.connection.in_atomic_block or not outermost:
                return execute(self, *args, **kwargs)
            store.begin()
            outermost = False
            try:
                return execute(self, *args, **kwargs)
            finally:
                outermost = True
                store.end()

        return execute_sql

    for compiler in (SQLInsertCompiler, SQLUpdateCompiler):
        for name in ("execute_sql", "execute_returning_sql"):
            if name in vars(compiler):
                setattr(compiler, name, around(getattr(compiler, name)))
    wrapper: Any = base.BaseDatabaseWrapper
    commit = wrapper._commit

    def _commit(self: Any) -> None:
        if self not in written:
            commit(self)
            return
        store.begin()
        try:
            commit(self)
        finally:
            written.discard(self)
            store.end()

    wrapper._commit = _commit

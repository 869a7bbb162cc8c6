"""Entries are written several at a time, a moment later: who finds them, and who loses them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from querycache.stores import lmdb_waiting
from querycache.stores.lmdb import LmdbStore
from querycache.stores.lmdb_waiting import MOST, MOST_BYTES, Item
from tests.stores.lmdb.helpers import MB, OPTIONS, in_child

ENTRY = b"l:e:1"

#: Writes an entry into the folder that it is given, or looks for it there.
OTHER = f"""
import sys
from querycache.stores.base import StoreOptions
from querycache.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], StoreOptions(prefix="l"), size={8 * MB})
if sys.argv[2] == "write":
    store.write({ENTRY!r}, b"theirs", None)
else:
    sys.stdout.write(repr(store.read({ENTRY!r}, [])[0]))
"""


def in_another_process(store: LmdbStore, what: str) -> str:
    command = [sys.executable, "-c", OTHER, str(store.path), what]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def transactions(store: LmdbStore) -> int:
    """How many have changed the file so far."""
    with store._entries.files.begin() as txn:
        return int(txn.id())


@pytest.fixture
def held(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> LmdbStore:
    """A store whose entries wait for as long as nothing else writes them."""
    monkeypatch.setattr(lmdb_waiting, "DELAY", 2**63)
    return store


def test_many_share_a_transaction(held: LmdbStore) -> None:
    before = transactions(held)
    for number in range(4 * MOST):
        held.write(b"l:e:%d" % number, b"v", None)
    assert transactions(held) == before + 4
    held.write(b"l:e:large", bytes(MOST_BYTES), None)
    assert transactions(held) == before + 5
    assert held.info().entries == 4 * MOST + 1


def test_what_waits_is_found_by_its_own_process_alone(held: LmdbStore) -> None:
    before = transactions(held)
    held.write(ENTRY, b"ours", None)
    assert held.read(ENTRY, []) == [b"ours"]
    assert LmdbStore(held.path, OPTIONS, size=8 * MB).read(ENTRY, []) == [b"ours"]
    assert in_another_process(held, "read") == "None"
    held.write(ENTRY, b"newer", 3600)
    assert held.read(ENTRY, []) == [b"newer"]
    held.write(ENTRY, b"over", 0)
    assert held.read(ENTRY, []) == [None]
    assert transactions(held) == before


def test_what_has_waited_is_written_along_with_the_next(
    held: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.write(ENTRY, b"ours", None)
    before = transactions(held)
    monkeypatch.setattr(lmdb_waiting, "DELAY", 0)
    held.write(b"l:e:2", b"v", None)
    assert transactions(held) == before + 1
    assert in_another_process(held, "read") == "b'ours'"


@pytest.mark.parametrize("asked", [ENTRY, b"l:e:none"])
def test_what_has_waited_is_written_by_who_reads(
    held: LmdbStore, asked: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.write(ENTRY, b"ours", None)
    before = transactions(held)
    monkeypatch.setattr(lmdb_waiting, "DELAY", 0)
    for _ in range(2):
        assert held.read(asked, []) == [b"ours" if asked == ENTRY else None]
    assert transactions(held) == before + 1
    assert in_another_process(held, "read") == "b'ours'"


def test_no_time_is_asked_for_where_nothing_waits(
    held: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush_old() -> None:
        raise AssertionError("it was asked for")

    held.stamps([])
    monkeypatch.setattr(held._entries._waiting, "flush_old", flush_old)
    assert held.read(ENTRY, []) == [None]


def test_other_processes_find_it_when_it_is_flushed(held: LmdbStore) -> None:
    held.write(ENTRY, b"ours", None)
    held.flush()
    assert in_another_process(held, "read") == "b'ours'"
    before = transactions(held)
    held.flush()
    assert transactions(held) == before


def test_a_process_that_ends_leaves_nothing_waiting(store: LmdbStore) -> None:
    store.stamps([])
    in_another_process(store, "write")
    assert store.read(ENTRY, []) == [b"theirs"]


def test_deleted_and_cleared_ones_are_not_written(held: LmdbStore) -> None:
    elsewhere = b"other:e:1"
    for entry in (ENTRY, b"l:e:2", elsewhere):
        held.write(entry, b"v", None)
    held.delete(ENTRY)
    assert held.read(ENTRY, []) == [None]
    held.clear()
    assert held.read(b"l:e:2", []) == [None]
    assert held.info().entries == 1
    assert held.read(elsewhere, []) == [b"v"]


def test_a_later_one_of_another_process_is_kept(held: LmdbStore) -> None:
    """What waits here may be written later than what was made there after it."""
    held.write(ENTRY, b"ours", None)
    in_another_process(held, "write")
    held._entries._waiting.flush()
    assert held.read(ENTRY, []) == [b"theirs"]
    held.write(ENTRY, b"newer", None)
    held._entries._waiting.flush()
    assert held.read(ENTRY, []) == [b"newer"]
    # A process whose clock is another: it is not taken for later.
    ahead = time.monotonic_ns() + 10**15
    held._entries._write_all({ENTRY: _waits(held, Item(b"ahead", 2**64 - 1, ahead))})
    held._entries._waiting.items.clear()
    held.write(ENTRY, b"last", None)
    held._entries._waiting.flush()
    assert held.read(ENTRY, []) == [b"last"]


def _waits(store: LmdbStore, item: Item) -> Item:
    store._entries._waiting.items[ENTRY] = item
    return item


@pytest.mark.parametrize("how", ["delete", "clear"])
def test_what_is_deleted_while_it_is_written(
    held: LmdbStore, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = held._entries.files
    leave_deleted = files.leave_deleted

    def delete_first() -> None:
        # Whoever writes has taken what waits, and not begun.
        monkeypatch.setattr(files, "leave_deleted", leave_deleted)
        held.clear() if how == "clear" else held.delete(ENTRY)

    held.write(ENTRY, b"ours", None)
    monkeypatch.setattr(files, "leave_deleted", delete_first)
    held._entries._waiting.flush()
    assert held.read(ENTRY, []) == [None]
    assert held.info().entries == 0


def test_a_child_finds_what_waits_and_writes_its_own(held: LmdbStore) -> None:
    held.write(ENTRY, b"ours", None)

    def child() -> None:
        assert held.read(ENTRY, [])[0] == b"ours"
        held.write(b"l:e:2", b"theirs", None)
        held.flush()
        os._exit(0)

    in_child(child)
    assert held.read(b"l:e:2", []) == [b"theirs"]
    held.flush()
    assert in_another_process(held, "read") == "b'ours'"


def test_no_thread_is_needed(store: LmdbStore) -> None:
    """One that wants to write wakes up at every call that lets others in, and seldom gets in."""
    before = threading.enumerate()
    store.write(ENTRY, b"ours", None)
    assert threading.enumerate() == before


def test_what_cannot_be_written_is_dropped(held: LmdbStore) -> None:
    held.stamps([])
    held.write(ENTRY, b"ours", None)
    (boot,) = held.path.iterdir()
    boot.chmod(0o755)
    held.close()
    boot.chmod(0o700)
    assert held.read(ENTRY, []) == [None]

"""Its size is a limit: what goes when there is no room, on the disk either."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from querycache import stamps as protocol
from querycache.stores import lmdb as lmdb_store
from querycache.stores.base import StoreError
from querycache.stores.lmdb import LmdbStore
from tests.stores.lmdb.helpers import MB, OPTIONS, in_child, is_value_of, value_of


class TestRoom:
    def test_it_never_takes_more_than_its_size(self, store: LmdbStore) -> None:
        choose = random.Random(1)
        for _ in range(3000):
            entry = b"l:e:%d" % choose.randrange(2000)
            if choose.random() < 0.1:
                store.delete(entry)
            else:
                store.write(entry, value_of(entry, choose.choice((10, 900, 3000, 30_000))), None)
            entry = b"l:e:%d" % choose.randrange(2000)
            value = store.read(entry, [])[0]
            assert value is None or is_value_of(entry, value)
        info = store.info()
        assert info.limit == 8 * MB
        assert info.entries is not None
        assert info.entries > 100
        assert info.used is not None
        assert info.used > 5 * MB
        on_disk = sum(file.stat().st_size for file in store.path.rglob("entries-*/data.mdb"))
        assert on_disk <= 8 * MB

    def test_the_oldest_go_first_unless_they_are_asked_for(self, store: LmdbStore) -> None:
        entries = [b"l:e:%d" % number for number in range(900)]
        store.write(b"l:e:hot", b"hot", None)
        store.write(b"l:e:cold", b"cold", None)
        for entry in entries:
            store.write(entry, bytes(30_000), None)
            assert store.read(b"l:e:hot", [])[0] == b"hot"
        assert store.read(b"l:e:cold", [])[0] is None
        there = [store.read(entry, [])[0] is not None for entry in entries]
        # All of the newest and none of the oldest.
        assert there == sorted(there)
        assert 100 < sum(there) < 300

    def test_every_place_in_the_order_belongs_to_an_entry(self, store: LmdbStore) -> None:
        choose = random.Random(3)
        for number in range(1500):
            entry = b"l:e:%d" % choose.randrange(300)
            store.write(entry, bytes(choose.randrange(40_000)), choose.choice([None, 0.001]))
            store.read(b"l:e:%d" % choose.randrange(300), [])
            if number % 7 == 0:
                store.delete(b"l:e:%d" % choose.randrange(300))
        with store._entries.files.begin() as txn:
            tree = dict(iter(txn.cursor()))
        order = {value: key[1:] for key, value in tree.items() if key[:1] == b"\0"}
        heads = {key: value for key, value in tree.items() if b"\0" not in key}
        assert {key: value[16:24] for key, value in heads.items()} == order
        pieces = sum(int.from_bytes(value[24:26], "big") for value in heads.values())
        assert len(tree) == len(order) + len(heads) + pieces
        store.clear()
        with store._entries.files.begin() as txn:
            assert txn.stat()["entries"] == 0

    def test_stamps_are_not_in_the_way_of_entries(self, store: LmdbStore) -> None:
        keys = [b"l:s:%d" % number for number in range(200)]
        before = store.settle(keys)
        for number in range(800):
            store.write(b"l:e:%d" % number, bytes(30_000), None)
        assert store.stamps(keys) == before

    def test_stamps_without_end_drop_only_those_nobody_holds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lmdb_store, "_STAMPS_SIZE", 2 * MB)
        store, token = LmdbStore(tmp_path / "store", OPTIONS), secrets.token_bytes(16)
        held = [b"l:s:held%d" % number for number in range(50)]
        store.settle(held[:25])
        store.begin(held, token)
        before = store.stamps(held)
        sequence = 0
        for number in range(400):
            keys = [b"l:s:%d-%d" % (number, n) for n in range(100)]
            store.touch(keys)
            parsed = protocol.parse_settled(store.settle(keys[:1])[0])
            assert parsed is not None
            assert parsed.sequence > sequence
            sequence = parsed.sequence
        assert store.stamps(held) == before
        assert store.stamps([b"l:s:0-0"]) == [None]
        store.close()

    def test_one_step_on_more_stamps_than_there_is_room_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lmdb_store, "_STAMPS_SIZE", 1 * MB)
        store, token = LmdbStore(tmp_path / "store", OPTIONS), secrets.token_bytes(16)
        with pytest.raises(StoreError, match="MAP_FULL"):
            store.begin([b"l:s:%d" % number for number in range(30_000)], token)
        store.begin([b"l:s:1"], token)
        assert token in protocol.leases(store.stamps([b"l:s:1"])[0])
        store.close()

    def test_full_disk_is_an_error_and_kills_nobody(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=0755", "tmpfs", str(disk)]
        if (
            sys.platform != "linux"
            or subprocess.run(mount, check=False, capture_output=True).returncode
        ):
            pytest.skip("needs to mount a small file system")
        try:
            # In a child, since what must not happen would end the process.
            in_child(lambda: self._use_a_full_disk(disk))
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)

    def _use_a_full_disk(self, disk: Path) -> None:
        store = LmdbStore(disk / "store", OPTIONS)
        assert store.info().limit == 6 * MB
        keys = [b"l:s:%d" % number for number in range(300)]
        store.settle(keys)
        store.write(b"l:e:first", b"first", None)
        with (disk / "junk").open("wb", buffering=0) as junk:
            while True:
                try:
                    if not junk.write(bytes(4096)):
                        break
                except OSError:
                    break
        for number in range(300):
            entry, token = b"l:e:%d" % number, secrets.token_bytes(16)
            store.write(entry, value_of(entry, 20_000), None)
            value = store.read(entry, [])[0]
            assert value is None or is_value_of(entry, value)
            store.begin(keys[number : number + 1], token)
            store.end(keys[number : number + 1], token)
            store.touch(keys)
        other = LmdbStore(disk / "other", OPTIONS)
        with pytest.raises(StoreError):
            other.info()
        with pytest.raises(StoreError):
            other.settle(keys)
        (disk / "junk").unlink()
        store.write(b"l:e:last", value_of(b"l:e:last", 500_000), None)
        value = store.read(b"l:e:last", [])[0]
        assert value is not None
        assert is_value_of(b"l:e:last", value)
        other.settle(keys)

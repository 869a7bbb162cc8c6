"""Processes that are killed, forked, or share the files."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from querycache import stamps as protocol
from querycache.stores import lmdb as lmdb_store
from querycache.stores.base import StoreOptions
from querycache.stores.lmdb import LmdbStore
from querycache.testing import SHORT
from tests.stores.lmdb.helpers import MB, OPTIONS, in_child, is_value_of, until, value_of


class TestProcesses:
    def test_a_killed_process_blocks_and_corrupts_nothing(self, tmp_path: Path) -> None:
        """Writers are killed at any point, in the middle of transactions too, again and again."""
        options = StoreOptions(prefix="l", lease=SHORT)
        stamps = [b"l:s:%d" % number for number in range(6)]
        entries = [b"l:e:%d" % number for number in range(60)]
        store = LmdbStore(tmp_path / "store", options, size=4 * MB)

        def hammer(pipe: int, seed: int) -> None:
            choose = random.Random(seed)
            while True:
                token = choose.randbytes(16)
                mine = choose.sample(stamps, 3)
                store.begin(mine, token)
                entry = choose.choice(entries)
                store.write(entry, value_of(entry, choose.choice((50, 5_000, 60_000))), None)
                store.read(choose.choice(entries), stamps)
                store.end(mine, token)
                os.write(pipe, b".")

        def start(seed: int) -> tuple[int, int]:
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                try:
                    hammer(writing, seed)
                finally:
                    os._exit(1)
            os.close(writing)
            return pid, reading

        choose = random.Random(7)
        running = [start(seed) for seed in range(3)]
        seen: dict[bytes, set[bytes]] = {stamp: set() for stamp in stamps}
        latest: dict[bytes, bytes] = {}
        try:
            for kill in range(40):
                victim = running.pop(0)
                # After a random number of rounds, wherever it is then.
                for _ in range(choose.randrange(1, 30)):
                    assert os.read(victim[1], 1), "a writer failed"
                os.kill(victim[0], signal.SIGKILL)
                os.waitpid(victim[0], 0)
                os.close(victim[1])
                running.append(start(100 + kill))
                token = choose.randbytes(16)
                store.begin(stamps, token)
                for entry in choose.sample(entries, 20):
                    value = store.read(entry, [])[0]
                    assert value is None or is_value_of(entry, value)
                store.end(stamps, token)
                for stamp, state in zip(stamps, store.stamps(stamps), strict=True):
                    assert protocol.is_settled(state) or protocol.is_writing(state)
                    assert state is not None
                    if protocol.is_settled(state) and latest.get(stamp) != state:
                        assert state not in seen[stamp], "a stamp came back"
                        seen[stamp].add(state)
                    latest[stamp] = state
        finally:
            for pid, pipe in running:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                os.close(pipe)
        until(
            lambda: all(protocol.is_settled(state) for state in store.settle(stamps)),
            "the leases of killed writers never ran out",
        )
        store.write(b"l:e:after", b"v", None)
        assert store.read(b"l:e:after", [])[0] == b"v"
        store.close()

    def test_killed_readers_leave_room_for_others(self, tmp_path: Path) -> None:
        """More transactions than there are reader slots end with their processes, while open."""
        store = LmdbStore(tmp_path / "store", OPTIONS)
        store.settle([b"l:s:1"])
        program = """
import os, signal, sys
from querycache.stores.base import StoreOptions
from querycache.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], StoreOptions(prefix="l"))
transactions = [store._stamps.begin() for _ in range(300)]
assert transactions[-1].get(b"l:s:1")
os.kill(os.getpid(), signal.SIGKILL)
"""
        for _ in range(5):
            # The store stays open here: LMDB forgets all readers when nobody has a file open.
            command = [sys.executable, "-c", program, str(store.path)]
            ended = subprocess.run(command, check=False, capture_output=True)
            assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        for _ in range(2000):
            store.touch([b"l:s:%d" % n for n in range(20)])
        assert store.read(b"l:e:1", [b"l:s:1"])[1] is not None
        store.close()

    def test_what_dead_readers_hold_is_room_in_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader killed in a transaction pins every page; a full file is when it is noticed."""
        monkeypatch.setattr(lmdb_store, "_STAMPS_SIZE", 1 * MB)
        store = LmdbStore(tmp_path / "store", OPTIONS, size=4 * MB)
        store.settle([b"l:s:1"])
        store.write(b"l:e:1", b"v", None)
        program = """
import os, signal, sys
from querycache.stores import lmdb
from querycache.stores.base import StoreOptions
lmdb._STAMPS_SIZE = 1024 * 1024
store = lmdb.LmdbStore(sys.argv[1], StoreOptions(prefix="l"), size=4 * 1024 * 1024)
transactions = [store._stamps.begin(), store._entries.files.begin()]
os.kill(os.getpid(), signal.SIGKILL)
"""
        command = [sys.executable, "-c", program, str(store.path)]
        ended = subprocess.run(command, check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        for number in range(500):
            store.touch([b"l:s:%d" % n for n in range(20)])
            entry = b"l:e:%d" % number
            store.write(entry, value_of(entry, 30_000), None)
            assert store.read(entry, [])[0] is not None
        store.close()

    def test_nothing_is_open_across_a_fork(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        assert store._stamps.env is not None

        def child() -> None:
            assert store._stamps.env is None
            assert store._entries.files.env is None
            opened = [
                str(link.readlink())
                for link in Path("/proc/self/fd").iterdir()
                if link.is_symlink()
            ]
            assert not [name for name in opened if name.endswith(".mdb")]

        in_child(child)
        assert store.stamps([b"l:s:1"])[0] is not None

    def test_fork_beside_reading_threads(self, store: LmdbStore) -> None:
        keys, done = [b"l:s:1", b"l:s:2"], threading.Event()
        store.settle(keys)
        store.write(b"l:e:1", bytes(100_000), None)

        def read() -> None:
            while not done.is_set():
                value, *states = store.read(b"l:e:1", keys)
                assert value is not None
                assert None not in states

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            try:
                for _ in range(20):
                    in_child(lambda: store.touch(keys))
            finally:
                done.set()
            for reader in readers:
                reader.result()

    @pytest.mark.parametrize(
        "hooks",
        [
            pytest.param(False, id="none"),
            pytest.param(
                True,
                id="only-after",
                marks=pytest.mark.skipif(
                    sys.version_info >= (3, 13), reason="such a fork ends the interpreter itself"
                ),
            ),
        ],
    )
    def test_a_fork_by_c_code_hurts_no_parent(self, tmp_path: Path, hooks: bool) -> None:
        """Without the hook before it the child must not use, close or free what is open."""
        program = f"""
import ctypes, gc, os, sys
from querycache.stores.base import StoreError, StoreOptions
from querycache.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], StoreOptions(prefix="l", lease=600000))
store.settle([b"l:s:1"])
store.write(b"l:e:1", b"v", None)
readers = store._stamps.env.readers()
assert str(os.getpid()) in readers
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    try:
        if {hooks}:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            # What the interpreter's hook would do; without it no thread of the child can start.
            assert store._stamps._pid != os.getpid()
        for call in (store.stamps, store.touch):
            try:
                call([b"l:s:1"])
            except StoreError:
                pass
        try:
            store.read(b"l:e:1", [b"l:s:1"])
        except StoreError:
            pass
        del store
        gc.collect()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(3)
    sys.exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0, status
assert store._stamps.env.readers() == readers, store._stamps.env.readers()
before = store.stamps([b"l:s:1"])
store.touch([b"l:s:1"])
assert store.stamps([b"l:s:1"]) != before
assert store.read(b"l:e:1", [])[0] == b"v"
"""
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "store")], check=True)

    def test_two_stores_of_a_process_share_the_files(self, tmp_path: Path) -> None:
        one = LmdbStore(tmp_path / "store", OPTIONS)
        two = LmdbStore(tmp_path / "folder" / ".." / "store", OPTIONS, size=8 * MB)
        one.touch([b"l:s:1"])
        assert two.stamps([b"l:s:1"]) == one.stamps([b"l:s:1"])
        two.write(b"l:e:1", b"v", None)
        one.close()
        assert two.read(b"l:e:1", [b"l:s:1"])[0] == b"v"
        two.close()

    def test_closing_while_others_use_it(self, store: LmdbStore) -> None:
        keys, done = [b"l:s:1", b"l:s:2"], threading.Event()
        store.settle(keys)

        def use(number: int) -> None:
            while not done.is_set():
                token = secrets.token_bytes(16)
                store.begin(keys, token)
                store.write(b"l:e:%d" % number, bytes(9000), None)
                assert store.read(b"l:e:%d" % number, keys)[0] == bytes(9000)
                store.end(keys, token)

        with ThreadPoolExecutor(3) as pool:
            users = [pool.submit(use, number) for number in range(3)]
            for _ in range(100):
                store.close()
            done.set()
            for user in users:
                user.result()

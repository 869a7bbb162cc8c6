from __future__ import annotations

import hashlib
import os
import random
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from querycache import stamps as protocol
from querycache.stores import lmdb as lmdb_store
from querycache.stores import lmdb_files
from querycache.stores.base import StoreError, StoreOptions, StoreUnusable
from querycache.stores.lmdb import LmdbStore, default_path
from querycache.testing import LONG, SHORT, NewStore, StoreContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from querycache.stores.base import Store

OPTIONS = StoreOptions(prefix="l", lease=LONG)
MB = 1024 * 1024


def in_child(work: Callable[[], None]) -> None:
    StoreContract()._in_child(work)


def until(condition: Callable[[], bool], complaint: str) -> None:
    StoreContract()._until(condition, complaint)


def value_of(entry: bytes, size: int) -> bytes:
    """A value that tells by itself whether it is whole and belongs to the entry."""
    body = random.Random(entry + b"%d" % size).randbytes(size)
    return hashlib.blake2b(entry + body, digest_size=16).digest() + body


def is_value_of(entry: bytes, value: bytes) -> bool:
    return hashlib.blake2b(entry + value[16:], digest_size=16).digest() == value[:16]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    store = LmdbStore(tmp_path / "store", OPTIONS, size=8 * MB)
    yield store
    store.close()


class TestLmdbStore(StoreContract):
    @pytest.fixture
    def new_store(self, tmp_path: Path) -> NewStore:
        return lambda options: LmdbStore(tmp_path / "contract", options)

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        assert isinstance(store, LmdbStore)
        with store._stamps.writing, store._stamps.begin(write=True) as txn:
            if value is None:
                txn.delete(stamp)
            else:
                txn.put(stamp, value)


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
        on_disk = sum(file.stat().st_size for file in store.path.glob("boot-*/entries-*/data.mdb"))
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
        assert {key: value[8:16] for key, value in heads.items()} == order
        pieces = sum(int.from_bytes(value[16:18], "big") for value in heads.values())
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
            other.write(b"l:e:1", b"v", None)
        with pytest.raises(StoreError):
            other.settle(keys)
        (disk / "junk").unlink()
        store.write(b"l:e:last", value_of(b"l:e:last", 500_000), None)
        value = store.read(b"l:e:last", [])[0]
        assert value is not None
        assert is_value_of(b"l:e:last", value)
        other.settle(keys)


class TestFolder:
    def test_is_for_its_user_alone(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        store.write(b"l:e:1", b"v", None)
        found = [store.path, *store.path.rglob("*")]
        assert len(found) == 8
        for path in found:
            assert path.stat().st_mode & 0o077 == 0, path
        (boot,) = store.path.iterdir()
        named = lmdb_files.boot_id()
        assert boot.name == f"boot-{named}"

    @pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
    def test_others_may_not_enter(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "store"
        path.mkdir()
        path.chmod(mode)
        with pytest.raises(StoreUnusable, match="chmod 700"):
            LmdbStore(path, OPTIONS)

    def test_is_not_a_link_nor_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir(0o700)
        (tmp_path / "link").symlink_to(tmp_path / "real")
        (tmp_path / "file").touch()
        with pytest.raises(StoreUnusable, match="symbolic link"):
            LmdbStore(tmp_path / "link", OPTIONS)
        with pytest.raises(StoreUnusable, match="not a folder"):
            LmdbStore(tmp_path / "file", OPTIONS)

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
    def test_belongs_to_nobody_else(self, tmp_path: Path) -> None:
        path = tmp_path / "store"
        path.mkdir(0o700)
        os.chown(path, 65534, 65534)
        with pytest.raises(StoreUnusable, match="65534"):
            LmdbStore(path, OPTIONS)

    def test_what_happens_to_it_later_is_an_error_of_the_call(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        store.close()
        (boot,) = store.path.iterdir()
        boot.chmod(0o755)
        for call in (
            lambda: store.settle([b"l:s:1"]),
            lambda: store.read(b"l:e:1", [b"l:s:1"]),
            lambda: store.write(b"l:e:1", b"v", None),
            store.info,
        ):
            with pytest.raises(StoreError, match="chmod 700"):
                call()
        boot.chmod(0o700)
        store.settle([b"l:s:1"])

    def test_nothing_survives_a_boot(
        self, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = secrets.token_bytes(16)
        store.write(b"l:e:1", b"v", None)
        store.begin([b"l:s:1"], token)
        store.close()
        monkeypatch.setattr(lmdb_files, "boot_id", lambda: "another")
        assert store.read(b"l:e:1", [b"l:s:1"]) == [None, None]
        assert [path.name for path in store.path.iterdir()] == ["boot-another"]

    def test_a_machine_that_does_not_name_its_boots_is_synced(
        self, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.settle([b"l:s:1"])
        assert store._stamps.env.flags()["sync"] is False
        store.close()
        monkeypatch.setattr(lmdb_files, "boot_id", lambda: None)
        store.settle([b"l:s:1"])
        assert store._stamps.env.flags()["sync"] is True
        assert store._stamps.env.flags()["writemap"] is False

    def test_files_deleted_under_the_store_are_left(self, tmp_path: Path) -> None:
        """Whoever comes later makes new files; who has the old ones open must go there too."""
        store = LmdbStore(tmp_path / "store", OPTIONS)
        store.settle([b"l:s:1"])
        store.write(b"l:e:1", b"old", None)
        shutil.rmtree(tmp_path / "store")
        token = secrets.token_bytes(16)

        program = (
            "import sys; from querycache.stores.base import StoreOptions;"
            "from querycache.stores.lmdb import LmdbStore;"
            "store = LmdbStore(sys.argv[1], StoreOptions(prefix='l', lease=600000));"
            "store.begin([b'l:s:1'], bytes.fromhex(sys.argv[2]));"
            "store.write(b'l:e:1', b'new', None)"
        )
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "store"), token.hex()], check=True
        )
        assert set(protocol.leases(store.stamps([b"l:s:1"])[0])) == {token}
        store.write(b"l:e:2", b"v", None)
        assert store.read(b"l:e:1", [])[0] == b"new"
        store.end([b"l:s:1"], token)
        assert protocol.is_settled(store.stamps([b"l:s:1"])[0])
        shutil.rmtree(tmp_path / "store")
        store.begin([b"l:s:1"], token)
        assert (tmp_path / "store").is_dir()
        store.close()

    def test_cleaners_of_temporary_folders_are_told_to_leave_it(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        for file in store.path.glob("boot-*/stamps/*"):
            assert file.stat().st_mode & stat.S_ISVTX

    def test_default_path(self) -> None:
        assert default_path("shop") == default_path("shop")
        assert default_path("shop") != default_path("blog")
        assert default_path("../../etc/my shop").parent == default_path("shop").parent
        assert default_path("").name.startswith("querycache-project-")
        assert str(os.geteuid()) in default_path("shop").name


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

    @pytest.mark.parametrize("hooks", [False, True], ids=["none", "only-after"])
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


def test_deadlines_come_from_a_clock_that_nobody_sets(
    store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = secrets.token_bytes(16)
    store.begin([b"l:s:1"], token)
    next_year = time.time_ns() + 365 * 86400 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: next_year)
    monkeypatch.setattr(time, "time", lambda: next_year / 10**9)
    store.settle([b"l:s:1"])
    assert token in protocol.leases(store.stamps([b"l:s:1"])[0])


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lmdb_store, "lmdb", None)
    with pytest.raises(StoreUnusable, match="pip install"):
        LmdbStore(tmp_path / "store", OPTIONS)


def test_the_module_can_be_imported_without_the_library(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['lmdb'] = None\n"
        "from querycache.stores import open_store\n"
        "from querycache.stores.base import StoreOptions, StoreUnusable\n"
        "try: open_store('lmdb://' + sys.argv[1], StoreOptions())\n"
        "except StoreUnusable as error: assert 'pip install' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "store")], check=True)


def test_from_url(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/my%20store?size=16mb"
    store = LmdbStore.from_url(url, OPTIONS)
    assert store.path == tmp_path / "my store"
    assert store.info().limit == 16 * MB
    store.close()
    assert LmdbStore.from_url("lmdb://", OPTIONS).path == default_path("l")
    for wrong in ("lmdb://relative/path", "lmdb:///tmp/x?size=1mb", "lmdb:///tmp/x?sise=16mb"):
        with pytest.raises(StoreUnusable):
            LmdbStore.from_url(wrong, OPTIONS)

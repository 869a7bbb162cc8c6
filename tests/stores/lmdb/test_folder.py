"""Its folder: whose it is, and what survives in it."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from querycache import stamps as protocol
from querycache.stores import lmdb_files
from querycache.stores.base import StoreError, StoreUnusable
from querycache.stores.lmdb import LmdbStore, default_path
from tests.stores.lmdb.helpers import OPTIONS


class TestFolder:
    def test_is_for_its_user_alone(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        store.write(b"l:e:1", b"v", None)
        assert store.info().entries == 1
        found = [store.path, *store.path.rglob("*")]
        assert len(found) == 9
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
        store.flush()
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
        store.flush()
        assert store.read(b"l:e:1", [])[0] == b"new"
        store.end([b"l:s:1"], token)
        assert protocol.is_settled(store.stamps([b"l:s:1"])[0])
        shutil.rmtree(tmp_path / "store")
        store.begin([b"l:s:1"], token)
        assert (tmp_path / "store").is_dir()
        store.close()

    def test_cleaners_of_temporary_folders_are_told_to_leave_it(self, store: LmdbStore) -> None:
        store.settle([b"l:s:1"])
        for file in store.path.glob("boot-*/*/stamps/*"):
            assert file.stat().st_mode & stat.S_ISVTX

    def test_default_path(self) -> None:
        assert default_path("shop") == default_path("shop")
        assert default_path("shop") != default_path("blog")
        assert default_path("../../etc/my shop").parent == default_path("shop").parent
        assert default_path("").name.startswith("querycache-project-")
        assert str(os.geteuid()) in default_path("shop").name

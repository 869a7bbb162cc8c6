"""What it is opened with: a URL, the library, a clock."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from querycache import stamps as protocol
from querycache.stores import lmdb as lmdb_store
from querycache.stores import lmdb_files
from querycache.stores.base import StoreUnusable
from querycache.stores.lmdb import LmdbStore, default_path
from tests.stores.lmdb.helpers import MB, OPTIONS


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


class Closing:
    """An open environment that takes until it is told to close.

    Args:
        env: the environment.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.begun, self.go_on = threading.Event(), threading.Event()

    def close(self) -> None:
        self.begun.set()
        assert self.go_on.wait(20)
        self.env.close()


def test_nothing_is_opened_while_something_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """py-lmdb takes new files for those that it is closing, where they have their inodes."""
    opened = threading.Event()
    library = lmdb_files.lmdb
    one, two = (lmdb_files.environment(tmp_path / name, "stamps", MB) for name in ("one", "two"))
    one.begin().abort()
    closing = Closing(one.env)
    one.env = closing

    def noted(*args: Any, **kwargs: Any) -> Any:
        opened.set()
        return open_(*args, **kwargs)

    open_ = library.open
    monkeypatch.setattr(library, "open", noted)
    threads = [threading.Thread(target=work) for work in (one.close, lambda: two.begin().abort())]
    threads[0].start()
    assert closing.begun.wait(20)
    threads[1].start()
    # It would be opened at once.
    assert not opened.wait(0.2)
    closing.go_on.set()
    for thread in threads:
        thread.join(20)
    assert opened.is_set()
    two.close()


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

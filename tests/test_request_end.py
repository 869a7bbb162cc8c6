"""The end of a request, when other processes are to find what it has stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished

from querycache.cache import QueryCache
from querycache.conf import load
from querycache.stores import lmdb_waiting
from querycache.stores.base import StoreError
from querycache.stores.lmdb import LmdbStore
from tests.library.models import Author

#: Prints how many entries another process finds in a folder.
COUNT = f"""
import sys
from querycache.stores.base import StoreOptions
from querycache.stores.lmdb import LmdbStore
store = LmdbStore(sys.argv[1], StoreOptions(prefix="other"), size={64 * 1024 * 1024})
print(store.info().entries)
"""


def entries_elsewhere(path: Path) -> int:
    command = [sys.executable, "-c", COUNT, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
def test_others_find_what_a_request_has_stored(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(cache.store, LmdbStore)
    monkeypatch.setattr(lmdb_waiting, "DELAY", 2**63)
    path = cache.store.path
    before = entries_elsewhere(path)
    list(Author.objects.using(database).all())
    assert cache.counters.stored == 1
    assert entries_elsewhere(path) == before
    request_finished.send(sender=None)
    assert entries_elsewhere(path) == before + 1


@pytest.mark.parametrize("store_url", ["memory"], indirect=True)
def test_a_store_that_fails_fails_no_request(
    cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StoreError("it is away")

    monkeypatch.setattr(cache.store, "flush", fail)
    failures = cache.counters.failures
    request_finished.send(sender=None)
    assert cache.counters.failures == failures + 1
    assert cache.breaker.down


def test_no_store_is_opened_for_it() -> None:
    def refuse() -> Any:
        raise AssertionError("it was opened")

    cache = QueryCache(load({"STORE": "redis://localhost:1"}), "secret", refuse)
    cache.flush()

"""The LMDB store keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from querycache.stores.lmdb import LmdbStore
from querycache.testing import NewStore, StoreContract

if TYPE_CHECKING:
    from querycache.stores.base import Store


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

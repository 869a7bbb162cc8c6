"""A store in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from querycache.stores.lmdb import LmdbStore
from tests.stores.lmdb.helpers import MB, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    store = LmdbStore(tmp_path / "store", OPTIONS, size=8 * MB)
    yield store
    store.close()

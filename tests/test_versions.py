"""Processes that follow two versions of the protocol, on one store: a rolling upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from querycache import serving, watch
from querycache.cache import QueryCache
from querycache.serving import Claim
from querycache.stores.base import StoreOptions
from querycache.stores.lmdb import LmdbStore
from tests.kinds import every
from tests.sites import Sites, settle

stores = pytest.mark.parametrize("store_url", ["lmdb", "redis", "memcached"], indirect=True)


@pytest.fixture
def upgrade(
    database: str, cache: QueryCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sites]:
    # Looks grow old when the test says so.
    monkeypatch.setattr(watch, "LOOK_EVERY", 1e6)
    config = cache.config
    found = Sites(
        tmp_path, database, (1, 2), STORE=config.store, KEY_PREFIX=config.key_prefix, TIMEOUT=5
    )
    yield found
    found.close()


def check(upgrade: Sites, serves: str, other: str) -> None:
    """One of them serves, and it hears of what the other writes."""
    for value, (writer, reader) in enumerate([(other, serves), (serves, other)] * 2, 1):
        upgrade.warm(serves)
        upgrade.save(writer, value)
        upgrade.second()
        assert upgrade.read(reader) == upgrade.read(writer) == [value, 0]
        assert not upgrade.hit(other)


@every
@stores
def test_none_serves_what_the_other_has_changed(upgrade: Sites) -> None:
    settle(upgrade)
    check(upgrade, serves="one", other="two")


@stores
def test_the_new_version_takes_over_when_the_old_one_is_gone(upgrade: Sites) -> None:
    settle(upgrade)
    upgrade.age(serving.PATIENCE + 1)
    upgrade.second("two")
    upgrade.read("two")
    upgrade.age(serving.PATIENCE)
    upgrade.second()
    check(upgrade, serves="two", other="one")


def test_long_places_are_told_apart_by_their_ends(tmp_path: Path) -> None:
    """The version and the prefix stand there."""
    folder = tmp_path / ("x" * 200) / ("y" * 50)
    labels = {
        Claim(LmdbStore(folder, StoreOptions(prefix)), 5000).label for prefix in ("qc:1", "qc:2")
    }
    assert len(labels) == 2
    assert {len(label) for label in labels} == {255}

"""Fixtures: a stage whose rows are in the cache, and another process on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.processes import Peer, Place
    from tests.stages import Stage


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks grow old when a test says so."""
    monkeypatch.setattr("querycache.watch.LOOK_EVERY", 1e6)


@pytest.fixture
def stage(database: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    from tests.hooks import hook_transactions
    from tests.stages import staged

    hook_transactions(monkeypatch)
    with staged(database, STORE=store_url, LEASE=2) as found:
        # Processes share what is below the hooks.
        vars(found.cache)["store"] = found.store.inner
        yield found


@pytest.fixture
def place(stage: Stage) -> Place:
    """Two rows with zeros, which are in the cache."""
    from django.db import connections

    from tests.journal.helpers import fill
    from tests.processes import Place

    config = stage.cache.config
    fill(stage)
    settings = {"STORE": config.store, "KEY_PREFIX": config.key_prefix, "LEASE": 2}
    return Place(stage.alias, connections.settings[stage.alias], settings)


@pytest.fixture
def peer(place: Place) -> Iterator[Peer]:
    from tests.processes import Peer

    with Peer("fork", place) as found:
        yield found

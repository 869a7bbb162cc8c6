"""When readers ask the store whether the leases that they see are over."""

from __future__ import annotations

import pytest

from querycache import stamps as protocol
from querycache.leases import SeenLeases
from tests.stages import LossyStore, Register, staged
from tests.test_leases import FAST, caught_up, on, with_and_without


@on(FAST)
@with_and_without
def test_quarantine_is_watched_from_its_start(
    database: str, store_url: str, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks seldom need not come once more to see that it stands, and once more to end it."""
    with staged(database, LossyStore, STORE=store_url) as stage:
        register = Register(stage)
        store = stage.store.inner
        assert isinstance(store, LossyStore)
        register.warm()
        now = 1000.0
        monkeypatch.setattr("querycache.leases.time.monotonic", lambda: now)
        stage.cache._seen = seen = SeenLeases(5.0)
        store.evict()
        assert not caught_up(register)
        if not mechanism:
            seen._stamps.clear()
        now += 5
        store.now += store.options.lease
        assert caught_up(register) is mechanism


def test_how_often_the_store_is_asked_about_a_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seen = SeenLeases(100.0)
    stamp = protocol.writing({protocol.QUARANTINE: 5})
    for key, companions in ((b"qc:s:t", True), (b"qc:s:t/0f", False)):
        # No companion could tell; only a whole lease does.
        assert not seen.over(key, stamp, companions=companions)
        now += 99
        assert not seen.over(key, stamp, companions=companions)
        now += 1
        assert seen.over(key, stamp, companions=companions)
    asked = []
    for _ in range(12):
        asked.append(seen.over(b"qc:s:t/0f", stamp, companions=True))
        now += 1
    assert [place for place, again in enumerate(asked) if again] == [0, 5, 10]
    writer = protocol.writing({protocol.QUARANTINE: 5, b"x" * 16: 5})
    assert not seen.over(b"qc:s:t/0f", writer, companions=True)

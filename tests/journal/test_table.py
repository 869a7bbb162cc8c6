"""The journal's table may be missing or broken; other settings need none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import connections

import querycache
from querycache import journal, watch
from querycache.runtime import runtime
from querycache.state import transaction_of
from tests.journal.helpers import EVERYWHERE, TABLE, WRITES, fill, rows, said, without_journal
from tests.outages import errors
from tests.processes import Peer, Place, cut, hit, mend, read, save, second, write
from tests.stages import Stage, staged

pytestmark = EVERYWHERE


@pytest.mark.parametrize("how", [write, save], ids=WRITES)
def test_before_migrate_writes_are_remembered_by_their_process(
    database: str,
    place: Place,
    how: Callable[[str, int, int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    transaction_of(connections[database]).database.watch._proven = False
    with without_journal(database):
        second(database)
        assert read(database) == [0, 0]
        assert hit(database)
        assert said(caplog) == []
        cut(database)
        for value in (6, 7):
            # The transaction goes on without the row.
            how(database, 1, value)
        assert len(said(caplog)) == 1
        assert "the journal of" in said(caplog)[0]
        assert len(errors(caplog)) == 1
        mend(database)
        assert read(database) == [7, 0]
        assert hit(database)
        cut(database)
        how(database, 1, 8)
    # The debt stays the process's own.
    assert rows(database) == []
    mend(database)
    assert read(database) == [8, 0]


def test_tables_that_stay_away_are_told_of(
    database: str,
    place: Place,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "MISSING_FOR", 0.0)
    transaction_of(connections[database]).database.watch._proven = False
    with without_journal(database):
        for _ in range(3):
            second(database)
            assert read(database) == [0, 0]
    assert len(said(caplog)) == 1
    assert "run `manage.py migrate`" in said(caplog)[0]


def test_table_that_goes_away_is_noticed(database: str, place: Place) -> None:
    second(database)
    assert read(database) == [0, 0]
    with without_journal(database):
        second(database)
        assert [read(database) for _ in range(2)] == [[0, 0]] * 2
        second(database)
        assert read(database) == [0, 0]
        assert hit(database)
    second(database)
    assert read(database) == [0, 0]


def test_journal_that_cannot_be_read_keeps_its_database_out_of_the_cache(
    database: str, stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.call("cut")
    peer.call("save", 1, 7)
    with monkeypatch.context() as broken:
        broken.setattr(journal, "JOURNAL", "nowhere")
        second(database)
        for _ in range(3):
            assert read(database) == [7, 0]
            assert not hit(database)
    second(database)
    assert read(database) == [7, 0]
    assert hit(database)


def test_invalidation_that_the_store_does_not_hear(
    database: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unseen:
        # As another program would write.
        unseen.setattr(runtime, "current", None)
        save(database, 1, 7)
    assert peer.call("read") == [0, 0]
    cut(database)
    querycache.invalidate("library.Thing", using=database)
    assert rows(database) == [TABLE]
    peer.call("second")
    assert peer.call("read") == [7, 0]


def test_bounded_writes(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=2, CONSISTENCY="bounded") as stage:
        vars(stage.cache)["store"] = stage.store.inner
        fill(stage)
        place = Place(database, {}, {})
        with Peer("fork", place) as peer:
            cut(database)
            for how, value in ((write, 6), (save, 7)):
                how(database, 1, value)
                assert rows(database) == [TABLE]
                peer.call("second")
                assert peer.call("read") == [value, 0]


def test_other_settings_leave_the_journal_alone(database: str, store_url: str) -> None:
    for choice in ("proceed", "raise"):
        with staged(database, STORE=store_url, ON_STORE_FAILURE=choice) as stage:
            vars(stage.cache)["store"] = stage.store.inner
            cut(database)
            with suppress(querycache.StoreUnavailable):
                write(database, 1, 7)
            assert rows(database) == []

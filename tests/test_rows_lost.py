"""Stamps of rows that a store does not know, or has lost: who tells whether anybody is writing."""

from __future__ import annotations

import pytest

from tests.environment import configure
from tests.kinds import sqlite
from tests.library.models import Genre
from tests.stages import keys_of, plant
from tests.test_rows import genre, hit


@sqlite
@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_rows_whose_stamps_nobody_knows_yet(
    database: str, store_url: str, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their table's tells that nobody is writing, so that nothing waits for a lease to run out."""
    if not mechanism:
        monkeypatch.setattr("querycache.keys.COMPANION", b"-")
        monkeypatch.setattr("querycache.stamps.COMPANION", b"-")
    cache = configure(STORE=store_url, KEY_PREFIX="rows", LEASE=600).cache
    Genre.objects.using(database).bulk_create(Genre(pk=pk, name=f"{pk}") for pk in (1, 2))
    plant(cache.store, [key for key in keys_of(database, Genre) if b"/" not in key])
    for asked in (genre(database, 1), genre(database, 2)):
        assert list(asked.all())
        assert hit(asked) is mechanism
    Genre.objects.using(database).filter(pk=2).update(name="new")
    assert list(genre(database, 2)) == ["new"]
    assert hit(genre(database, 2)) is mechanism


@sqlite
@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_rows_that_were_asked_for_while_nobody_knew_their_table(
    database: str, store_url: str, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their quarantine is over with that of their table, which began later."""
    if not mechanism:
        monkeypatch.setattr("querycache.stamps.in_quarantine", lambda stamp: False)
    monkeypatch.setattr("querycache.leases.PAUSE", 0)
    cache = configure(STORE=store_url, KEY_PREFIX=f"early{mechanism}", LEASE=600).cache
    Genre.objects.using(database).bulk_create(Genre(pk=pk, name=f"{pk}") for pk in (1, 2))
    asked = genre(database, 1)
    for _ in range(3):
        assert list(asked.all())
        assert not hit(asked)
    plant(cache.store, [key for key in keys_of(database, Genre) if b"/" not in key])
    assert list(asked.all())
    assert hit(asked) is mechanism

"""What the store knows less of than the state: a lost counter, an outage, a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import transaction

from querycache.stores.base import StoreError
from tests.environment import elsewhere
from tests.snapshots.helpers import (
    another_query,
    beside,
    genres,
    register_of,
    write_without_the_store,
)
from tests.stages import LossyStore


@beside
def test_the_counter_is_lost(database: str) -> None:
    """It begins anew far below the clock that was read, so what is new would look old."""
    with register_of(database, store=LossyStore) as register, transaction.atomic(register.alias):
        genres(register.alias)
        lossy: Any = register.stage.store
        lossy.inner.evict_counter()
        elsewhere(register.write)
        assert elsewhere(register.read) == elsewhere(register.read) == "new"
        assert register.read() == register.fresh() == "old"


@beside
def test_the_store_is_down_when_the_clock_is_read(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with register_of(database) as register:
        store: Any = register.stage.store

        def fail() -> Any:
            raise StoreError("no clock")

        with transaction.atomic(register.alias):
            monkeypatch.setattr(store, "clock", fail)
            assert register.read() == "old"
            monkeypatch.undo()
            register.stage.cache.breaker.reset()
            elsewhere(register.write)
            assert elsewhere(register.read) == "new"
            assert another_query(register.alias) == [register.read()] == ["old"]
        assert register.read() == "new"


@beside
def test_a_write_that_is_in_the_journal_alone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state has it, and no stamp says so."""
    with register_of(database) as register:
        write_without_the_store(register, monkeypatch)
        with transaction.atomic(register.alias):
            assert register.read() == register.fresh() == "new"
            assert genres(register.alias) == ["crime"]
        assert register.read() == "new"


class Unaware:
    """A follower of stamps that no message of a change has reached yet."""

    def __init__(self, keys: Sequence[bytes], stamps: Sequence[bytes | None]) -> None:
        self._told = dict(zip(keys, stamps, strict=True))

    def known(self, keys: Sequence[bytes]) -> list[bytes | None] | None:
        return [self._told[key] for key in keys] if set(keys) <= set(self._told) else None

    def ticket(self) -> int:
        return 0

    def note(self, ticket: int, keys: Sequence[bytes], stamps: Sequence[bytes | None]) -> None:
        pass


@beside
def test_changes_that_were_not_told_yet(database: str) -> None:
    """A near cache may lag behind a commit, and a state that has it must not be mixed with that."""
    with register_of(database, NEAR="push") as register:
        near: Any = register.stage.cache.near
        register.read()
        near.follower = Unaware(register.keys, register.stage.store.stamps(register.keys))
        elsewhere(register.write)
        assert register.read() == "old"
        with transaction.atomic(register.alias):
            assert register.read() == register.fresh() == "new"


@beside
def test_bounded_mode_keeps_to_what_the_transaction_has_read(database: str) -> None:
    """There a write is told after its commit: nobody knows which entries a state has outlived."""
    with register_of(database, CONSISTENCY="bounded") as register:
        writer = register.stage.actor(register.write).run_to("before touch")
        with transaction.atomic(register.alias):
            first = register.read()
            writer.finish()
            assert register.read() == register.fresh() == first == "new"

"""Leases and quarantines: held until all writers are over, and run out when a writer died."""

from __future__ import annotations

import secrets

from querycache import stamps as protocol
from querycache.stores.base import Store
from querycache.testing.base import StoreCase


class Leases(StoreCase):
    """The promises about who holds a stamp, and for how long."""

    def test_two_writers_hold_a_stamp_until_both_are_over(self, store: Store, other: Store) -> None:
        s, one, two = self.stamp(store, "s"), secrets.token_bytes(16), secrets.token_bytes(16)
        self._settled(store, [s])
        store.begin([s], one)
        other.begin([s], two)
        assert set(protocol.leases(self._one(store, s))) == {one, two}
        store.end([s], one)
        assert set(protocol.leases(self._one(other, s))) == {two}
        assert list(store.settle([s])) == [self._one(store, s)]
        assert not protocol.is_settled(self._one(store, s))
        store.touch([s])
        assert set(protocol.leases(self._one(other, s))) == {two}
        store.end([s], two)
        assert protocol.is_settled(self._one(other, s))

    def test_absent_stamp(self, store: Store) -> None:
        """Quarantined by whoever finds it, or settled at once where stamps cannot be lost."""
        token = secrets.token_bytes(16)
        quarantine = set() if store.durable else {protocol.QUARANTINE}
        settle, begin, end, touch = (self.stamp(store, n) for n in ("s", "b", "e", "t"))
        (answer,) = store.settle([settle])
        store.begin([begin], token)
        store.end([end], token)
        store.touch([touch])
        assert answer == self._one(store, settle)
        for key in (settle, end, touch):
            now = self._one(store, key)
            assert set(protocol.leases(now)) == quarantine
            assert protocol.is_settled(now) is store.durable
        assert set(protocol.leases(self._one(store, begin))) == quarantine | {token}
        store.end([begin], token)
        assert set(protocol.leases(self._one(store, begin))) == quarantine

    def test_lease_that_is_gone(self, store: Store) -> None:
        s, one, two = self.stamp(store, "s"), secrets.token_bytes(16), secrets.token_bytes(16)
        (first,) = self._settled(store, [s])
        store.begin([s], one)
        store.begin([s], two)
        self.lose(store, s)
        assert self._one(store, s) is None
        quarantine = set() if store.durable else {protocol.QUARANTINE}
        for token in (one, two):
            store.end([s], token)
            assert set(protocol.leases(self._one(store, s))) == quarantine
        assert self._one(store, s) != first

    def test_quarantine_of_an_evicted_stamp_runs_out(self, brief: Store) -> None:
        s = self.stamp(brief, "s")
        (first,) = self._settled(brief, [s])
        self.lose(brief, s)
        (second,) = self._settled(brief, [s])
        assert second != first

    def test_lease_of_a_dead_writer_runs_out(self, brief: Store) -> None:
        """By the store's clock: held before its deadline, settled by a reader after it."""
        s, token = self.stamp(brief, "s"), secrets.token_bytes(16)
        (first,) = self._settled(brief, [s])
        brief.begin([s], token)
        deadline = protocol.leases(self._one(brief, s))[token]
        state: list[bytes] = []

        def over() -> bool:
            before = self.clock(brief)
            state[:] = brief.settle([s])
            if protocol.is_settled(state[0]):
                assert self.clock(brief) >= deadline
                return True
            assert before < deadline
            return False

        self._until(over, "the lease of a dead writer never ran out")
        assert state[0] != first

    def test_lease_of_a_dead_writer_is_dropped_by_the_next_writer(self, brief: Store) -> None:
        s, dead = self.stamp(brief, "s"), secrets.token_bytes(16)
        self._settled(brief, [s])
        brief.begin([s], dead)
        deadline = protocol.leases(self._one(brief, s))[dead]
        self._until(lambda: self.clock(brief) >= deadline, "the store's clock stands still")
        token = secrets.token_bytes(16)
        brief.begin([s], token)
        assert set(protocol.leases(self._one(brief, s))) == {token}

    def test_renewal_keeps_a_lease(self, brief: Store) -> None:
        s, token = self.stamp(brief, "s"), secrets.token_bytes(16)
        self._settled(brief, [s])
        brief.begin([s], token)
        first = protocol.leases(self._one(brief, s))[token]
        deadlines = [first]

        def outlived() -> bool:
            brief.begin([s], token)
            deadlines.append(protocol.leases(self._one(brief, s))[token])
            return deadlines[-1] > first + 2 * brief.options.lease

        self._until(outlived, "renewals do not move the deadline")
        assert deadlines == sorted(deadlines)
        assert token in protocol.leases(self._one(brief, s))

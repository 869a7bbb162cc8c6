"""Steps: each turns each stamp into what the pure functions say, whatever it was before."""

# Seeded randomness makes the same test every time; it guards nothing.
# ruff: noqa: S311

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store
from querycache.testing.base import StoreCase
from querycache.testing.judge import Judge, oddities


class Steps(StoreCase):
    """The promises about the steps that change stamps."""

    @pytest.mark.parametrize("seed", range(12))
    def test_random_steps_are_the_pure_functions(
        self, store: Store, other: Store, seed: int
    ) -> None:
        """Each step turns each stamp into what `querycache.stamps` says, whatever it was before."""
        choose = random.Random(seed)
        keys = [self.stamp(store, f"s{n}") for n in range(4)]
        tokens = [choose.randbytes(16) for _ in range(3)]
        judge = Judge(store)
        for _ in range(60):
            handle = choose.choice([store, other])
            chosen = choose.sample(keys, choose.randint(1, len(keys)))
            if choose.random() < 0.25:
                self.plant(store, chosen[0], choose.choice(oddities(choose, tokens)))
            token = choose.choice(tokens)
            before = list(other.stamps(chosen))
            step = choose.choice(["begin", "end", "touch", "settle"])
            answer: Sequence[bytes] | None = None
            if step == "begin":
                handle.begin(chosen, token)
            elif step == "end":
                handle.end(chosen, token)
            elif step == "touch":
                handle.touch(chosen)
            else:
                answer = handle.settle(chosen)
            after = list(store.stamps(chosen))
            if answer is not None:
                assert list(answer) == after
            judge.check(step, token, before, after)

    def test_a_step_leaves_other_stamps_alone(self, store: Store) -> None:
        keys = [self.stamp(store, name) for name in ("a", "b", "ab", "a:b")]
        token = secrets.token_bytes(16)
        for key in keys:
            rest = [k for k in keys if k != key]
            before = list(store.stamps(rest))
            store.begin([key], token)
            store.settle([key])
            store.end([key], token)
            store.touch([key])
            assert list(store.stamps(rest)) == before

    def test_settling_a_settled_stamp_changes_nothing(self, store: Store, other: Store) -> None:
        s = self.stamp(store, "s")
        (first,) = self._settled(store, [s])
        assert list(other.settle([s])) == [first]
        assert list(store.stamps([s])) == [first]

    def test_begin_then_end_leaves_a_fresh_stamp(self, store: Store, other: Store) -> None:
        s, token = self.stamp(store, "s"), secrets.token_bytes(16)
        seen: set[bytes | None] = set(self._settled(store, [s]))
        for _ in range(20):
            store.begin([s], token)
            assert set(protocol.leases(self._one(other, s))) == {token}
            other.end([s], token)
            now = self._one(store, s)
            assert protocol.is_settled(now)
            assert now not in seen
            seen.add(now)

    def test_sequences_grow_across_stamps_and_handles(self, store: Store, other: Store) -> None:
        keys = [self.stamp(store, f"s{n}") for n in range(3)]
        self._settled(store, keys)
        last = 0
        for n in range(30):
            handle, key, token = (store, other)[n % 2], keys[n % 3], secrets.token_bytes(16)
            handle.begin([key], token)
            handle.end([key], token)
            parsed = protocol.parse_settled(self._one(store, key))
            assert parsed is not None
            assert parsed.sequence > last
            # Milliseconds since 1970: seconds or microseconds would fall out of this century.
            assert 946_684_800_000 < parsed.wall < 4_102_444_800_000
            last = parsed.sequence

    def test_the_clock_parts_what_is_settled_before_from_what_is_settled_after(
        self, store: Store, other: Store
    ) -> None:
        keys = [self.stamp(store, f"s{n}") for n in range(3)]
        self._settled(store, keys)
        self._write(store, keys)
        for n, key in enumerate(keys):
            before = other.clock()
            # Milliseconds since 1970.
            assert 946_684_800_000 < before.wall < 4_102_444_800_000
            others = [k for k in keys if k != key]
            assert protocol.unchanged_since(self._joined(store, keys), before)
            self._write((store, other)[n % 2], [key])
            assert not protocol.unchanged_since(self._joined(store, keys), before)
            assert not protocol.unchanged_since(self._joined(store, [key]), before)
            assert protocol.unchanged_since(self._joined(store, others), before)
            assert protocol.unchanged_since(self._joined(store, keys), store.clock())

    def test_a_write_in_flight_counts_as_one_that_comes_later(
        self, store: Store, other: Store
    ) -> None:
        s, token = self.stamp(store, "s"), secrets.token_bytes(16)
        self._settled(store, [s])
        store.begin([s], token)
        before = other.clock()
        other.end([s], token)
        assert not protocol.unchanged_since(self._joined(store, [s]), before)

    def test_touching_and_settling_count_as_writes(self, brief: Store) -> None:
        s = self.stamp(brief, "s")
        self._settled(brief, [s])
        before = brief.clock()
        brief.touch([s])
        assert not protocol.unchanged_since(self._joined(brief, [s]), before)
        brief.begin([s], secrets.token_bytes(16))
        before = brief.clock()
        self._settled(brief, [s])
        assert not protocol.unchanged_since(self._joined(brief, [s]), before)

    def test_a_clock_of_nothing_tells_nothing_of_what_comes(self, store: Store) -> None:
        before = store.clock()
        s = self.stamp(store, "s")
        self._settled(store, [s])
        self._write(store, [s])
        assert not protocol.unchanged_since(self._joined(store, [s]), before)

    def _write(self, store: Store, keys: Sequence[bytes]) -> None:
        token = secrets.token_bytes(16)
        store.begin(keys, token)
        store.end(keys, token)

    def _joined(self, store: Store, keys: Sequence[bytes]) -> bytes:
        found = store.stamps(keys)
        assert all(map(protocol.is_settled, found))
        return b"".join(stamp for stamp in found if stamp is not None)

    @pytest.mark.parametrize("seed", range(8))
    def test_damaged_stamp_tells_nothing(self, store: Store, seed: int) -> None:
        """Any bytes under a stamp's key are read as they are and mended by the next step."""
        choose = random.Random(seed)
        damaged = [
            b"S",
            b"W",
            b"S" + b"1" * 20,
            b"W" + bytes(31),
            choose.randbytes(choose.randint(1, 200)),
            b"S" + choose.randbytes(protocol.SETTLED_BYTES),
        ]
        judge = Judge(store)
        for number, value in enumerate(damaged):
            token = choose.randbytes(16)
            for step in ("settle", "begin", "end", "touch"):
                key = self.stamp(store, f"{step}{number}")
                self.plant(store, key, value)
                before = list(store.stamps([key]))
                if step == "settle":
                    store.settle([key])
                elif step == "begin":
                    store.begin([key], token)
                elif step == "end":
                    store.end([key], token)
                else:
                    store.touch([key])
                judge.check(step, token, before, list(store.stamps([key])))

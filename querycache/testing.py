"""The contract of a store as a pytest class: subclass it, and every promise is put to your store.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def new_store(self, my_server):
            return lambda options: MyStore(my_server.address, options)

        def plant(self, store, stamp, value):
            ...write (or, for None, remove) the raw bytes behind the store's back...

pytest makes one instance per test; `new_store` opens handles on the same data each time it is
called within a test. No test sleeps or asserts a time: where a lease must run out, the test polls.
"""

# Seeded randomness makes the same test every time; it guards nothing.
# ruff: noqa: S311

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError, StoreInfo, StoreOptions

NewStore = Callable[[StoreOptions], Store]

#: A lease that runs out while a test polls, and one that never does during a test, in ms.
SHORT, LONG = 150, 600_000

_PATIENCE = 30.0


class StoreContract:
    """Every promise of `querycache.stores.base.Store` as a test.

    A subclass overrides `new_store` and `plant`; the class attributes say what it is able to do.
    """

    #: Whether other processes see the same data; False for a store inside the process, which must
    #: be new and empty in a forked child.
    shared: ClassVar[bool] = True

    #: The largest value in bytes that the store must take.
    largest: ClassVar[int] = 1024 * 1024 - 1024

    #: Threads, and rounds of each, in the tests of atomicity.
    threads: ClassVar[int] = 6
    rounds: ClassVar[int] = 40

    # -- what a store author gives -------------------------------------------------------------

    @pytest.fixture
    def new_store(self) -> NewStore:
        """A function that opens one more handle on this test's data with the options it is given.

        With the same options a store inside the process may return the same object again.
        """
        raise NotImplementedError("override the fixture new_store() in the subclass")

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        """Put raw bytes under a stamp's key behind the store's back; None removes it."""
        raise NotImplementedError("override plant() in the subclass")

    def lose(self, store: Store, stamp: bytes) -> None:
        """Make the store forget a stamp, as an eviction would."""
        self.plant(store, stamp, None)

    def clock(self, store: Store) -> int:
        """Return the store's clock in ms, as a lease that starts now shows it."""
        scratch, token = self.stamp(store, "clock"), secrets.token_bytes(16)
        store.begin([scratch], token)
        deadline = protocol.leases(self._one(store, scratch))[token]
        store.end([scratch], token)
        return deadline - store.options.lease

    def entry(self, store: Store, name: str) -> bytes:
        """Return the key of an entry of the store's prefix."""
        return f"{store.options.prefix}:e:{name}".encode()

    def stamp(self, store: Store, name: str) -> bytes:
        """Return the key of a stamp of the store's prefix."""
        return f"{store.options.prefix}:s:{name}".encode()

    # -- fixtures ------------------------------------------------------------------------------

    @pytest.fixture
    def prefix(self) -> str:
        """A prefix of this test alone, so that tests may share a server."""
        return "t" + secrets.token_hex(6)

    @pytest.fixture
    def open_handle(self, new_store: NewStore, prefix: str) -> Iterator[Callable[..., Store]]:
        """Open handles, and close them when the test is over."""
        opened: list[Store] = []

        def open_handle(lease: int = LONG, prefix: str = prefix) -> Store:
            opened.append(new_store(StoreOptions(prefix=prefix, lease=lease, timeout=5.0)))
            return opened[-1]

        yield open_handle
        for handle in opened:
            handle.close()

    @pytest.fixture
    def eager_threads(self) -> Iterator[None]:
        """Have the interpreter change threads as often as it can, so that what can meet does."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(before)

    @pytest.fixture
    def store(self, open_handle: Callable[..., Store]) -> Store:
        """A store whose leases outlast the test."""
        return open_handle()

    @pytest.fixture
    def other(self, store: Store, open_handle: Callable[..., Store]) -> Store:
        """A second handle on the data of `store`."""
        return open_handle()

    @pytest.fixture
    def brief(self, open_handle: Callable[..., Store]) -> Store:
        """A store whose leases run out while a test polls."""
        return open_handle(lease=SHORT)

    # -- entries -------------------------------------------------------------------------------

    def test_missing_things_are_none(self, store: Store) -> None:
        e, a, b = self.entry(store, "e"), self.stamp(store, "a"), self.stamp(store, "b")
        assert list(store.read(e, [a, b])) == [None, None, None]
        assert list(store.stamps([a, b])) == [None, None]

    def test_no_stamps_at_all(self, store: Store) -> None:
        e, token = self.entry(store, "e"), secrets.token_bytes(16)
        store.write(e, b"v", None)
        assert list(store.read(e, [])) == [b"v"]
        assert list(store.stamps([])) == []
        assert list(store.settle([])) == []
        store.begin([], token)
        store.end([], token)
        store.touch([])

    def test_entry_is_written_overwritten_deleted(self, store: Store, other: Store) -> None:
        e = self.entry(store, "e")
        store.write(e, b"one", None)
        assert list(other.read(e, [])) == [b"one"]
        other.write(e, b"two", 3600)
        assert list(store.read(e, [])) == [b"two"]
        other.delete(e)
        assert list(store.read(e, [])) == [None]
        store.delete(e)
        store.write(e, b"three", None)
        assert list(other.read(e, [])) == [b"three"]

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"\0",
            bytes(range(256)),
            b"\r\nEND\r\n",
            b"12345",
            b"\xff" * 33,
            b"S" * protocol.SETTLED_BYTES,
        ],
        ids=["empty", "zero", "all-bytes", "crlf", "digits", "high", "like-a-stamp"],
    )
    def test_values_come_back_as_they_were(self, store: Store, value: bytes) -> None:
        e = self.entry(store, "e")
        store.write(e, value, None)
        (got,) = store.read(e, [])
        assert type(got) is bytes
        assert got == value

    def test_large_value(self, store: Store, other: Store) -> None:
        e, value = self.entry(store, "e"), random.Random(5).randbytes(self.largest)
        store.write(e, value, None)
        same = other.read(e, [])[0] == value
        assert same, "the value came back changed"  # without a megabyte of difference printed

    def test_value_that_is_too_large_harms_nothing(self, store: Store) -> None:
        # A store may refuse it or take it; it may not break, lie or lose stamps.
        e, s, value = self.entry(store, "e"), self.stamp(store, "s"), bytes(32 * 1024 * 1024)
        (before,) = self._settled(store, [s])
        with contextlib.suppress(StoreError):
            store.write(e, value, None)
        got, after = store.read(e, [s])
        honest = got is None or got == value
        assert honest, "the value came back changed"
        assert after == before
        store.write(self.entry(store, "small"), b"v", None)
        assert store.read(self.entry(store, "small"), [])[0] == b"v"

    def test_longest_keys(self, store: Store) -> None:
        e = self.entry(store, "e").ljust(200, b"x")
        s, t = (self.stamp(store, "s").ljust(199, b"x") + tail for tail in (b"1", b"2"))
        store.write(e, b"v", None)
        store.touch([s])
        value, one, two = store.read(e, [s, t])
        assert (value, two) == (b"v", None)
        assert one is not None

    def test_read_keeps_the_order_asked_for(self, store: Store, other: Store) -> None:
        keys = [self.stamp(store, f"s{n}") for n in range(12)]
        for key in keys[::2]:
            self._settled(store, [key])  # one by one, since one step may use one nonce for all
        known = dict(zip(keys, other.stamps(keys), strict=True))
        assert [known[key] is not None for key in keys] == [True, False] * 6
        assert len({known[key] for key in keys[::2]}) == 6
        shuffled = [*keys, keys[0]]
        for seed in range(5):
            random.Random(seed).shuffle(shuffled)
            expected = [known[key] for key in shuffled]
            assert list(store.stamps(shuffled)) == expected
            assert list(store.read(self.entry(store, "none"), shuffled)) == [None, *expected]
        assert all(value is None or type(value) is bytes for value in store.stamps(keys))

    @pytest.mark.parametrize("ttl", [0.2, 1, 1.5])
    def test_ttl_ends_an_entry(self, store: Store, other: Store, ttl: float) -> None:
        e = self.entry(store, "e")
        store.write(e, b"v", ttl)
        self._until(lambda: store.read(e, [])[0] is None, "the entry outlived its ttl")
        assert other.read(e, [])[0] is None
        store.write(e, b"again", None)
        assert store.read(e, [])[0] == b"again"

    @pytest.mark.parametrize("ttl", [None, 60, 3600.5, 40 * 86400, 20 * 365 * 86400])
    def test_ttl_that_is_not_over(self, store: Store, ttl: float | None) -> None:
        e, short = self.entry(store, "e"), self.entry(store, "short")
        store.write(e, b"v", ttl)
        store.write(short, b"v", 0.2)
        self._until(lambda: store.read(short, [])[0] is None, "the entry outlived its ttl")
        assert store.read(e, [])[0] == b"v"

    def test_overwriting_replaces_the_ttl(self, store: Store) -> None:
        e, short = self.entry(store, "e"), self.entry(store, "short")
        store.write(e, b"v", 0.2)
        store.write(e, b"w", None)
        store.write(short, b"v", 0.2)
        self._until(lambda: store.read(short, [])[0] is None, "the entry outlived its ttl")
        assert store.read(e, [])[0] == b"w"

    def test_clear_drops_entries_and_keeps_stamps(
        self, store: Store, other: Store, open_handle: Callable[..., Store], prefix: str
    ) -> None:
        neighbour = open_handle(prefix=prefix + "n")
        theirs = self.entry(neighbour, "e")
        neighbour.write(theirs, b"v", None)
        entries = [self.entry(store, f"e{n}") for n in range(300)]
        held, free = self.stamp(store, "held"), self.stamp(store, "free")
        token = secrets.token_bytes(16)
        self._settled(store, [free])
        store.begin([held], token)
        before = store.stamps([held, free])
        for e in entries:
            store.write(e, b"v", None)
        other.clear()
        assert [store.read(e, [])[0] for e in entries] == [None] * len(entries)
        assert list(store.stamps([held, free])) == list(before)
        assert neighbour.read(theirs, [])[0] == b"v"
        store.write(entries[0], b"new", None)
        assert other.read(entries[0], [])[0] == b"new"
        store.clear()
        store.clear()
        assert other.read(entries[0], [])[0] is None

    # -- steps ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(12))
    def test_random_steps_are_the_pure_functions(
        self, store: Store, other: Store, seed: int
    ) -> None:
        """Each step turns each stamp into what `querycache.stamps` says, whatever it was before."""
        choose = random.Random(seed)
        keys = [self.stamp(store, f"s{n}") for n in range(4)]
        tokens = [choose.randbytes(16) for _ in range(3)]
        judge = _Judge(store)
        for _ in range(60):
            handle = choose.choice([store, other])
            chosen = choose.sample(keys, choose.randint(1, len(keys)))
            if choose.random() < 0.25:
                self.plant(store, chosen[0], choose.choice(_oddities(choose, tokens)))
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

    def test_sequence_parts_what_is_settled_before_from_what_is_settled_after(
        self, store: Store, other: Store
    ) -> None:
        keys = [self.stamp(store, f"s{n}") for n in range(3)]
        before = self._settled(store, keys)
        noted = other.sequence()
        if noted is None:
            assert not store.durable
            return
        assert max(self._sequence(stamp) for stamp in before) <= noted
        for n, key in enumerate(keys):
            token = secrets.token_bytes(16)
            (store, other)[n % 2].begin([key], token)
            (other, store)[n % 2].end([key], token)
            assert self._sequence(self._one(store, key)) > noted

    @staticmethod
    def _sequence(stamp: bytes | None) -> int:
        parsed = protocol.parse_settled(stamp)
        assert parsed is not None
        return parsed.sequence

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
        judge = _Judge(store)
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

    # -- threads and processes -----------------------------------------------------------------

    @pytest.mark.usefixtures("eager_threads")
    def test_threads_lose_no_lease(self, store: Store, other: Store) -> None:
        keys = [self.stamp(store, f"s{n}") for n in range(3)]
        self._settled(store, keys)
        barrier, done = threading.Barrier(self.threads), threading.Event()

        def writer(number: int) -> None:
            handle, choose = (store, other)[number % 2], random.Random(number)
            for _ in range(self.rounds):
                token = choose.randbytes(16)
                mine = choose.sample(keys, choose.randint(1, len(keys)))
                barrier.wait(_PATIENCE)
                free = [value for value in handle.stamps(mine) if protocol.is_settled(value)]
                handle.begin(mine, token)
                for value in handle.stamps(mine):
                    assert token in protocol.leases(value), "a lease was lost"
                for value in handle.settle(mine):
                    assert not protocol.is_settled(value), "settled under a live lease"
                handle.end(mine, token)
                for value in handle.stamps(mine):
                    assert token not in protocol.leases(value), "a lease outlived its end"
                    assert value not in free, "a stamp came back"

        def reader(handle: Store) -> None:
            seen: dict[bytes, set[bytes]] = {key: set() for key in keys}
            latest: dict[bytes, bytes] = {}
            while not done.is_set():
                for key, value in zip(keys, handle.settle(keys), strict=True):
                    if latest.get(key) != value and protocol.is_settled(value):
                        # Writing stamps do come back: a second writer joins, and is over first.
                        assert value not in seen[key], "a stamp came back"
                        seen[key].add(value)
                    latest[key] = value

        with ThreadPoolExecutor(self.threads + 2) as pool:
            readers = [pool.submit(reader, handle) for handle in (store, other)]
            writers = [pool.submit(writer, number) for number in range(self.threads)]
            try:
                for future in writers:
                    try:
                        future.result()
                    finally:
                        if future.exception() is not None:
                            barrier.abort()
            finally:
                done.set()
            for future in readers:
                future.result()
        assert all(protocol.is_settled(value) for value in store.stamps(keys))

    @pytest.mark.usefixtures("eager_threads")
    def test_threads_read_and_write_entries(self, store: Store) -> None:
        entries = [self.entry(store, f"e{n}") for n in range(5)]
        values = {e: [e + bytes([n]) * 3000 for n in range(20)] for e in entries}
        barrier = threading.Barrier(self.threads)

        def work(number: int) -> None:
            choose = random.Random(number)
            barrier.wait(_PATIENCE)
            for _ in range(self.rounds * 3):
                e = choose.choice(entries)
                action = choose.random()
                if action < 0.4:
                    store.write(e, choose.choice(values[e]), choose.choice([None, 60]))
                elif action < 0.5:
                    store.delete(e)
                else:
                    value = store.read(e, [])[0]
                    assert value is None or value in values[e], "a torn or foreign value"

        with ThreadPoolExecutor(self.threads) as pool:
            for future in [pool.submit(work, number) for number in range(self.threads)]:
                future.result()

    def test_child_of_a_fork_uses_the_store(self, store: Store) -> None:
        e, s = self.entry(store, "e"), self.stamp(store, "s")
        token, theirs = secrets.token_bytes(16), secrets.token_bytes(16)
        self._settled(store, [s])
        store.write(e, b"parent", None)
        store.begin([s], token)

        def child() -> None:
            value, state = store.read(e, [s])
            if self.shared:
                assert value == b"parent"
                assert set(protocol.leases(state)) == {token}
            else:
                assert (value, state) == (None, None), "a private copy would grow stale"
            store.begin([s], theirs)
            assert theirs in protocol.leases(self._one(store, s))
            store.write(e, b"child", None)
            assert store.read(e, [])[0] == b"child"

        self._in_child(child)
        value, state = store.read(e, [s])
        if self.shared:
            assert value == b"child"
            assert set(protocol.leases(state)) == {token, theirs}
        else:
            assert value == b"parent"
            assert set(protocol.leases(state)) == {token}
        store.end([s], theirs)
        store.end([s], token)
        # On a store that is not shared the child's lease was never here: a lease that is gone.
        assert self.shared is False or protocol.is_settled(self._one(store, s))

    def test_fork_while_threads_use_the_store(self, store: Store) -> None:
        """Whatever the other threads held when the process forked, the child is not blocked."""
        keys = [self.stamp(store, f"s{n}") for n in range(3)]
        self._settled(store, keys)
        done = threading.Event()

        def busy(number: int) -> None:
            choose, e = random.Random(number), self.entry(store, f"e{number}")
            while not done.is_set():
                token = choose.randbytes(16)
                store.begin(keys, token)
                store.write(e, bytes(5000), None)
                store.read(e, keys)
                store.end(keys, token)

        def child() -> None:
            e, token = self.entry(store, "child"), secrets.token_bytes(16)
            store.begin(keys, token)
            store.write(e, b"v", None)
            value, *states = store.read(e, keys)
            assert value == b"v"
            assert all(token in protocol.leases(state) for state in states)
            store.end(keys, token)

        with ThreadPoolExecutor(3) as pool:
            busy_ones = [pool.submit(busy, number) for number in range(3)]
            try:
                for _ in range(5):
                    self._in_child(child)
            finally:
                done.set()
            for future in busy_ones:
                future.result()
        assert all(protocol.is_settled(value) for value in store.stamps(keys))

    def test_processes_lose_no_lease(self, store: Store) -> None:
        if not self.shared:
            pytest.skip("the store lives inside one process")
        keys = [self.stamp(store, f"s{n}") for n in range(2)]
        self._settled(store, keys)

        def writer() -> None:
            for _ in range(self.rounds):
                token = secrets.token_bytes(16)
                store.begin(keys, token)
                for value in store.settle(keys):
                    assert token in protocol.leases(value), "a lease was lost"
                store.end(keys, token)
                for left in store.stamps(keys):
                    assert token not in protocol.leases(left), "a lease outlived its end"

        children = [self._fork(writer) for _ in range(4)]
        for child in children:
            self._join(child)
        assert all(protocol.is_settled(value) for value in store.stamps(keys))

    # -- the rest ------------------------------------------------------------------------------

    def test_close_and_use_again(self, store: Store) -> None:
        e, s, held = self.entry(store, "e"), self.stamp(store, "s"), self.stamp(store, "held")
        token = secrets.token_bytes(16)
        (first,) = self._settled(store, [s])
        store.write(e, b"v", None)
        store.begin([held], token)
        store.close()
        store.close()
        assert list(store.read(e, [s])) == [b"v", first]
        store.close()
        assert token in protocol.leases(self._one(store, held))
        store.close()
        store.end([held], token)
        assert token not in protocol.leases(self._one(store, held))

    def test_info(self, store: Store) -> None:
        store.write(self.entry(store, "e"), bytes(1000), None)
        info = store.info()
        assert isinstance(info, StoreInfo)
        assert info.name
        assert info.version
        assert info.entries is None or info.entries >= 1
        assert info.used is None or info.used > 0
        if info.used is not None and info.limit is not None:
            assert info.used <= info.limit
        assert all(isinstance(text, str) for pair in info.details.items() for text in pair)

    # -- helpers -------------------------------------------------------------------------------

    def _one(self, store: Store, stamp: bytes) -> bytes | None:
        (value,) = store.stamps([stamp])
        return value

    def _settled(self, store: Store, keys: Sequence[bytes]) -> list[bytes]:
        """Make new stamps settled without waiting for the quarantine of a long lease."""
        if not store.durable and store.options.lease > SHORT:
            for key in keys:
                wall = int(time.time() * 1000)
                self.plant(store, key, protocol.settled(0, wall, secrets.token_bytes(16)))
        self._until(
            lambda: all(protocol.is_settled(value) for value in store.settle(keys)),
            "the stamps never settled",
        )
        return list(store.settle(keys))

    def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        over = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < over, complaint

    def _in_child(self, work: Callable[[], None]) -> None:
        self._join(self._fork(work))

    def _fork(self, work: Callable[[], None]) -> tuple[int, int]:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns of a fork beside threads: that is what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(_PATIENCE))
            failed = 1
            try:
                os.close(reading)
                work()
                failed = 0
            except BaseException:  # noqa: BLE001 - a child must never return into pytest
                os.write(writing, traceback.format_exc().encode()[-4000:])
            finally:
                os._exit(failed)
        os.close(writing)
        return pid, reading

    def _join(self, child: tuple[int, int]) -> None:
        pid, reading = child
        with os.fdopen(reading, "rb") as pipe:
            complaint = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        assert status == 0, complaint or f"the child ended with status {status}"


class _Judge:
    """Compare what a store made of stamps with what the pure functions make of them.

    The store's clock, its counter and its random bytes are its own, so they are taken from its
    result: clock and counter must grow, nonces must be new, all else must be equal.
    """

    def __init__(self, store: Store) -> None:
        self.durable = store.durable
        self.lease = store.options.lease
        self.clock = 0
        self.sequence = 0
        self.nonces: set[bytes] = set()

    def check(
        self,
        name: str,
        token: bytes,
        before: Sequence[bytes | None],
        after: Sequence[bytes | None],
    ) -> None:
        """Assert that the step made `after` of `before`, stamp by stamp."""
        # Stamps changed by one step may share its sequence and nonce.
        sequences, nonces = [self.sequence], set(self.nonces)
        for old, new in zip(before, after, strict=True):
            sample = protocol.Step(
                # Planted deadlines are long past or far ahead, so any time between them will do.
                now=_BETWEEN,
                wall=0,
                lease=self.lease,
                sequence=1,
                nonce=bytes(protocol.NONCE_BYTES),
                durable=self.durable,
            )
            if name == "begin":
                expected = protocol.begin(old, token, sample)
            elif name == "end":
                expected = protocol.end(old, token, sample)
            elif name == "touch":
                expected = protocol.touch(old, sample)
            else:
                expected = protocol.settle(old, sample)
            if expected == old:
                assert new == old, f"{name} changed {old!r} to {new!r}"
            elif protocol.is_settled(expected):
                parsed = protocol.parse_settled(new)
                assert parsed is not None, f"{name} made {new!r} of {old!r}"
                assert parsed.sequence > self.sequence, "the sequence did not grow"
                assert parsed.nonce not in self.nonces, "a nonce came back"
                nonces.add(parsed.nonce)
                sequences.append(parsed.sequence)
            else:
                self._same_leases(name, old, new, protocol.leases(expected))
        self.sequence, self.nonces = max(sequences), nonces

    def _same_leases(
        self, name: str, old: bytes | None, new: bytes | None, expected: dict[bytes, int]
    ) -> None:
        assert protocol.is_writing(new), f"{name} made {new!r} of {old!r}"
        held = protocol.leases(new)
        assert set(held) == set(expected), f"{name} made {new!r} of {old!r}"
        for token, deadline in expected.items():
            if deadline == _BETWEEN + self.lease:
                # A lease made by this step; a clock that goes back would end leases late, at best.
                assert held[token] >= self.clock + self.lease
                self.clock = held[token] - self.lease
            else:
                assert held[token] == deadline, f"{name} changed another writer's deadline"


#: A time after every lease that is planted as run out, and before all others: a store's own
#: deadlines are never met by it, since a test is over long before a LONG lease.
_BETWEEN = 2


def _oddities(choose: random.Random, tokens: Sequence[bytes]) -> list[bytes | None]:
    """Stamps as a store may find them: lost, damaged, with leases run out or alive."""
    past, ahead = 1, protocol.MAX_NUMBER - 1
    stranger = choose.randbytes(16)
    return [
        None,
        protocol.settled(0, 0, choose.randbytes(16)),
        protocol.writing({stranger: past}),
        protocol.writing({stranger: ahead}),
        protocol.writing({tokens[0]: past, tokens[1]: ahead}),
        protocol.writing({tokens[0]: past, stranger: past}),
        protocol.writing({protocol.QUARANTINE: past}),
        protocol.writing({protocol.QUARANTINE: ahead, tokens[2]: ahead}),
        protocol.writing({tokens[0]: ahead})[:-16] + choose.randbytes(16),
        choose.randbytes(choose.randint(1, 90)),
    ]

"""Threads and processes at once: no lease is lost, no value torn, no child blocked."""

# Seeded randomness makes the same test every time; it guards nothing.
# ruff: noqa: S311

from __future__ import annotations

import random
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store
from querycache.testing.base import PATIENCE, StoreCase
from querycache.testing.forks import Forks


class Concurrency(Forks, StoreCase):
    """The promises to threads, forked children and processes side by side."""

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
                barrier.wait(PATIENCE)
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
            barrier.wait(PATIENCE)
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
        store.flush()
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
            # What is on its way goes there before a process ends.
            store.close()

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

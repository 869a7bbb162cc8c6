from __future__ import annotations

import gc
import random
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from querycache.stores.base import StoreOptions, StoreUnusable
from querycache.stores.memory import DEFAULT_SIZE, MemoryStore
from querycache.testing import NewStore, StoreContract

if TYPE_CHECKING:
    from querycache.stores.base import Store

OPTIONS = StoreOptions(prefix="m")


class TestMemoryStore(StoreContract):
    shared = False

    @pytest.fixture
    def new_store(self) -> NewStore:
        opened: dict[StoreOptions, MemoryStore] = {}

        def new_store(options: StoreOptions) -> Store:
            return opened.setdefault(options, MemoryStore(options))

        return new_store

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        assert isinstance(store, MemoryStore)
        if value is None:
            store._stamps.pop(stamp, None)
        else:
            store._stamps[stamp] = value


def test_it_never_takes_more_than_its_size() -> None:
    store, choose = MemoryStore(OPTIONS, size=100_000), random.Random(1)
    held: dict[bytes, int] = {}
    for number in range(3000):
        entry = b"m:e:%d" % choose.randrange(400)
        if number % 3:
            store.write(entry, bytes(choose.randrange(3000)), None)
        else:
            store.read(entry, [])
        entries = store._entries
        assert entries._young.keys().isdisjoint(entries._old)
        found = {**entries._old, **entries._young}
        held = {key: len(key) + len(item[0]) + 300 for key, (item, _) in found.items()}
        info = store.info()
        assert info.used == sum(held.values())
        assert info.used <= store.size
    assert len(held) > 20
    for entry in list(held):
        store.delete(entry)
    assert (store.info().entries, store.info().used) == (0, 0)


def test_what_is_asked_for_stays() -> None:
    store = MemoryStore(OPTIONS, size=100_000)
    store.write(b"m:e:hot", b"hot", None)
    store.write(b"m:e:cold", b"cold", None)
    for number in range(2000):
        store.write(b"m:e:%d" % number, bytes(1000), None)
        assert store.read(b"m:e:hot", [])[0] == b"hot"
    assert store.read(b"m:e:cold", [])[0] is None
    assert store.read(b"m:e:1999", [])[0] is not None


def test_an_entry_larger_than_a_generation_is_not_stored() -> None:
    store = MemoryStore(OPTIONS, size=100_000)
    store.write(b"m:e:a", b"small", None)
    store.write(b"m:e:b", bytes(60_000), None)
    assert store.read(b"m:e:b", [])[0] is None
    store.write(b"m:e:a", bytes(60_000), None)
    assert store.read(b"m:e:a", [])[0] is None


def test_clear_keeps_what_is_not_of_its_prefix() -> None:
    store = MemoryStore(OPTIONS)
    store.write(b"m:e:1", b"v", None)
    store.write(b"mm:e:1", b"v", None)
    store.clear()
    assert store.read(b"m:e:1", [])[0] is None
    assert store.read(b"mm:e:1", [])[0] == b"v"


def test_stamps_are_never_evicted() -> None:
    store = MemoryStore(OPTIONS, size=10_000)
    keys = [b"m:s:%d" % number for number in range(500)]
    before = store.settle(keys)
    for number in range(500):
        store.write(b"m:e:%d" % number, bytes(1000), None)
    assert store.stamps(keys) == before


def test_reads_while_generations_change_places() -> None:
    store, done = MemoryStore(OPTIONS, size=40_000), threading.Event()
    wrong: list[bytes] = []

    def read() -> None:
        choose = random.Random(2)
        while not done.is_set():
            number = choose.randrange(50)
            value = store.read(b"m:e:%d" % number, [])[0]
            if value is not None and value != b"%d" % number * 400:
                wrong.append(value)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(20_000):
        store.write(b"m:e:%d" % (number % 50), b"%d" % (number % 50) * 400, None)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_watching_forks_keeps_no_store_alive() -> None:
    store = MemoryStore(OPTIONS)
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None


def test_from_url() -> None:
    assert MemoryStore.from_url("memory://", OPTIONS).size == DEFAULT_SIZE
    assert MemoryStore.from_url("memory://?size=1.5MB", OPTIONS).size == 1_572_864
    for wrong in ("memory://host", "memory:///path", "memory://?sise=1mb", "memory://?size=much"):
        with pytest.raises(StoreUnusable):
            MemoryStore.from_url(wrong, OPTIONS)

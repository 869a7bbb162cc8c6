"""Entries: what is written comes back whole, until it is deleted, cleared or out of time."""

# Seeded randomness makes the same test every time; it guards nothing.
# ruff: noqa: S311

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Callable

import pytest

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError
from querycache.testing.base import StoreCase


class Entries(StoreCase):
    """The promises about entries."""

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

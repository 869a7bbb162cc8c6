"""Handles: a closed one opens again, and says of itself what it is."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreInfo
from querycache.testing.base import StoreCase


class Handles(StoreCase):
    """The promises about closing and telling."""

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

    def test_store_says_who_it_is(self, store: Store, other: Store) -> None:
        """It keeps the first name that it is given, or one of its own, for every handle."""
        first, second = (secrets.token_hex(16).encode() for _ in range(2))
        found = store.identity(first)
        assert len(found) == 32
        assert found == other.identity(second) == store.identity(second)
        assert store.place == other.place

    def test_another_prefix_is_another_store(
        self, store: Store, open_handle: Callable[..., Store], prefix: str
    ) -> None:
        first, second = (secrets.token_hex(16).encode() for _ in range(2))
        another = open_handle(prefix=f"{prefix}x")
        assert store.identity(first) != another.identity(second)
        assert store.place != another.place

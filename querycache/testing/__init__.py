"""The contract of a store as a pytest class: subclass it, and every promise is put to your store.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def new_store(self, my_server):
            return lambda options: MyStore(my_server.address, options)

        def plant(self, store, stamp, value):
            ...write (or, for None, remove) the raw bytes behind the store's back...

pytest makes one instance per test; `new_store` opens handles on the same data each time it is
called within a test. No test asserts a time or waits for a fixed one: where a lease must run out,
the test polls.
"""

from __future__ import annotations

from querycache.testing.base import LONG, SHORT, NewStore
from querycache.testing.concurrency import Concurrency
from querycache.testing.entries import Entries
from querycache.testing.handles import Handles
from querycache.testing.leases import Leases
from querycache.testing.steps import Steps

__all__ = ["LONG", "SHORT", "NewStore", "StoreContract"]


# pytest collects the bases from the last to the first.
class StoreContract(Handles, Concurrency, Leases, Steps, Entries):
    """Every promise of `querycache.stores.base.Store` as a test.

    A subclass overrides `new_store` and `plant`; the class attributes say what it is able to do.
    """

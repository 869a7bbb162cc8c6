"""What entries take in a store, and what a store takes after many writes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.work.base import Work

#: A transaction of the writes below writes so many tables.
TABLES_EACH = 4
TABLES = 100
QUERIES = 500


class Memory(Work):
    """Fills the store of a contender, which has a server of its own for this."""

    def entries(self, kind: str, number: int) -> dict[str, Any]:
        """Ask so many different queries; return the bytes that one takes.

        Args:
            kind: ``"row"`` or ``"page"``.
            number: how many.
        """
        from benchmarks.shop.models import Product

        def row(turn: int) -> None:
            Product.objects.get(pk=turn % 2000 + 1, stock__gt=-turn - 1)

        def page(turn: int) -> None:
            list(Product.objects.filter(stock__gt=-turn - 1).order_by("pk")[:50])

        ask = {"row": row, "page": page}[kind]
        self._settle(lambda: ask(0))
        before = self._used()
        for turn in range(1, number + 1):
            ask(turn)
        return {"bytes": (self._used() - before) / number}

    def writes(self, number: int) -> dict[str, Any]:
        """Announce and end so many writes of tables, with results stored among them.

        It is the cache that is asked, not the ORM: a million statements would measure those.
        """
        from querycache.runtime import runtime

        assert runtime.current is not None
        cache = runtime.current.cache
        prefix = cache.config.namespace
        tables = [f"{prefix}:s:benchmark:table{n}".encode() for n in range(TABLES)]
        cache.store.settle(tables)
        rows = [(n, f"row {n}") for n in range(10)]
        marks = []
        writes = range(number // TABLES_EACH)
        for turn in writes:
            start = turn * TABLES_EACH % TABLES
            written = tables[start : start + TABLES_EACH]
            cache.end(written, cache.begin(written))
            if turn % 5 == 0:
                needed = written[:2]
                found = cache.read_stamps(needed)
                joined = cache.usable(needed, found) if found is not None else None
                if joined is not None:
                    cache.keep(b"query %d" % (turn % QUERIES), joined, rows)
            if turn + 1 in (len(writes) // 10, len(writes) // 2, len(writes)):
                marks.append([(turn + 1) * TABLES_EACH, self._used()])
        return {"used": marks}

    def _settle(self, ask: Callable[[], None]) -> None:
        from benchmarks.work.queries import SETTLING_SECONDS

        deadline = time.monotonic() + SETTLING_SECONDS
        while time.monotonic() < deadline:
            self.bench.reached = 0
            ask()
            if not self.bench.reached:
                return
            time.sleep(0.01)
        raise RuntimeError("never hits")

    def _used(self) -> int:
        url = urlsplit(self.bench.store)
        if url.scheme == "redis":
            import redis

            with redis.Redis.from_url(self.bench.store) as client:
                return int(client.info("memory")["used_memory"])
        if url.scheme == "memcached":
            from pymemcache.client.base import Client

            client = Client(url.netloc)
            used = client.stats()[b"bytes"]
            client.close()
            return int(used)
        if self.contender.store == "lmdb":
            from querycache.runtime import runtime

            assert runtime.current is not None
            return int(runtime.current.cache.store.info().used or 0)
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE")

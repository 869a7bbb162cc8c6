"""Goes on with the traffic of a shop."""

from __future__ import annotations

import gc
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.work.base import Work

if TYPE_CHECKING:
    from benchmarks.traffic import Operation
    from benchmarks.traffic import Traffic as Endless


class Traffic(Work):
    """The same traffic in every contender's process."""

    @cached_property
    def _traffic(self) -> Endless:
        from benchmarks.traffic import Traffic as Endless

        return Endless(1)

    def go(self, writes: int, number: int) -> dict[str, Any]:
        """Run so many operations; return seconds of one, reads and how many of them reached."""
        gc.collect()
        gc.freeze()
        # Another process had the processor's caches: the first operations are no measure.
        for _, act in self._take(writes, number // 8):
            act()
        batch = self._take(writes, number)
        reads = sum(is_read for is_read, _ in batch)
        reached = 0
        bench = self.bench
        start = time.perf_counter()
        for is_read, act in batch:
            bench.reached = 0
            act()
            if is_read:
                reached += bench.reached
        seconds = time.perf_counter() - start
        return {"seconds": seconds / max(1, number), "reads": reads, "reached": reached}

    def _take(self, writes: int, number: int) -> list[tuple[bool, Operation]]:
        return [self._traffic.next(writes) for _ in range(number)]

    def check(self, writes: int, number: int) -> dict[str, Any]:
        """Run so many operations, and compare each read with the database."""
        reads = stale = 0
        for _ in range(number):
            is_read, act = self._traffic.next(writes)
            answer = plain(act())
            if is_read:
                reads += 1
                with self.contender.disabled():
                    stale += answer != plain(act())
        return {"reads": reads, "stale": stale}


def plain(value: Any) -> Any:
    """Return the columns of rows: rows with the same key are equal to Django."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    fields = getattr(value, "_meta", None)
    if fields is None:
        return value
    return [getattr(value, field.attname) for field in fields.concrete_fields]

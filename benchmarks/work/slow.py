"""Reads and writes while the store is slow: every single time counts."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.figures import percentile
from benchmarks.work.base import Work


class Slow(Work):
    """Measures latencies one by one."""

    def times(self, case: str, number: int) -> dict[str, Any]:
        """Run a case so often; return percentiles in ms."""
        return self._summary(self._spent(case, number=number))

    def during(self, case: str, seconds: float) -> dict[str, Any]:
        """Run a case for so long; return percentiles in ms, and how often it ran."""
        spent = self._spent(case, seconds=seconds)
        return {**self._summary(spent), "done": len(spent)}

    def _spent(self, case: str, *, number: int = 0, seconds: float = 0) -> list[float]:
        from benchmarks.shapes import operation

        act = operation(case)
        turns = self.bench.turns
        spent: list[float] = []
        clock = time.perf_counter
        begun = clock()
        while len(spent) < number or clock() - begun < seconds:
            turn = next(turns)
            start = clock()
            act(turn)
            spent.append(clock() - start)
        return spent

    def _summary(self, spent: list[float]) -> dict[str, Any]:
        return {
            "p50": round(percentile(spent, 0.5) * 1000, 3),
            "p99": round(percentile(spent, 0.99) * 1000, 3),
            "longest": round(max(spent) * 1000, 3),
        }

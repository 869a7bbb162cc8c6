"""Hits, misses and writes: how long one turn takes."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.rounds import YARDSTICKS
from benchmarks.work.base import Bench, Work

#: A store without memory of its writers keeps readers out for a lease (5 s) at first.
SETTLING_SECONDS = 30.0


class Queries(Work):
    """Runs cases.

    Args:
        bench: whose.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._yardsticks: dict[str, Callable[[int], Any]] = {}

    def meet(self, cases: list[str]) -> dict[str, Any]:
        """Ask once for all that will be hits, so that a store waits for all tables at once."""
        for case in cases:
            self._operation(case)(0)
        return {}

    def warm(self, case: str) -> dict[str, Any]:
        """Let hits be hits."""
        if self.contender.serves:
            self._warm(case)
        return {}

    def prepare(self, case: str, seconds: float) -> dict[str, Any]:
        """See that a case does what its name says; return how often it fits into the time."""
        group = case.partition(":")[0]
        if group in YARDSTICKS:
            self._find_keys(case)
        act = self._operation(case)
        self._check(case, act)
        number = max(3, min(4096, round(seconds / self._time(case, act, 3))))
        return {"number": number}

    def run(self, case: str, number: int) -> dict[str, Any]:
        """Run a case so often; return the seconds of one turn."""
        return {"seconds": self._time(case, self._operation(case), number)}

    def _operation(self, case: str) -> Callable[[int], Any]:
        if case in self._yardsticks:
            return self._yardsticks[case]
        from benchmarks.shapes import operation

        return operation(case)

    def _check(self, case: str, act: Callable[[int], Any]) -> None:
        group = case.partition(":")[0]
        if group not in ("hit", "miss") or not self.contender.serves:
            return
        from benchmarks.shapes import queries_of

        wanted = 0 if group == "hit" else 4 * queries_of(case)
        self.bench.reached = 0
        for turn in range(4):
            act(turn)
        if self.bench.reached != wanted:
            raise RuntimeError(
                f"{self.bench.reached} queries reached the database in place of {wanted}"
            )

    def _time(self, case: str, act: Callable[[int], Any], number: int) -> float:
        """Return how long one of the fastest tenth of so many turns took at most.

        Not their mean or median: whatever else runs on the machine takes the processor away for
        milliseconds, again and again. What is slow by itself is slow in every turn.
        """
        turns = self.bench.turns
        clock = time.perf_counter
        spent = []
        # What is left is not looked through again by the next turn.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            with self._around(case):
                # Another process had the processor's caches: the first turns are no measure.
                for _ in range(1 + number // 8):
                    act(next(turns))
                for _ in range(number):
                    turn = next(turns)
                    start = clock()
                    act(turn)
                    spent.append(clock() - start)
        finally:
            gc.enable()
        return sorted(spent)[len(spent) // 10]

    def _around(self, case: str) -> AbstractContextManager[Any]:
        return self.contender.disabled() if case == "off:disabled" else contextlib.nullcontext()

    def _warm(self, case: str) -> None:
        """Ask until nothing reaches the database any more."""
        from benchmarks.shapes import results_of

        results = results_of(case)
        act = self._operation(case)
        deadline = time.monotonic() + SETTLING_SECONDS
        fewest = None
        while True:
            self.bench.reached = 0
            for turn in range(results):
                act(turn)
            if not self.bench.reached:
                return
            # Who has nothing to settle will never serve this shape.
            over = self.bench.reached == fewest and not self.contender.settles
            if over or time.monotonic() > deadline:
                raise RuntimeError("never hits")
            fewest = self.bench.reached
            time.sleep(0.01)

    def _find_keys(self, case: str) -> None:
        """Make an operation of the bare MGETs that hits of a shape need."""
        import redis

        from benchmarks.shapes import operation, results_of
        from querycache.runtime import runtime

        assert runtime.current is not None
        store = runtime.current.cache.store
        read = store.read
        asked: list[list[list[bytes]]] = []

        def spy(entry: bytes, stamps: Any) -> Any:
            asked[-1].append([entry, *stamps] if group == "mget" else list(stamps))
            return read(entry, stamps)

        results = results_of(case)
        group, _, shape = case.partition(":")
        act = operation(f"hit:{shape}")
        store.read = spy  # type: ignore[method-assign]
        try:
            for turn in range(results):
                asked.append([])
                act(turn)
        finally:
            del store.read
        mget = redis.Redis.from_url(self.bench.store).mget

        def ask(turn: int) -> None:
            for keys in asked[turn % results]:
                mget(keys)

        self._yardsticks[case] = ask

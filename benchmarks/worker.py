"""One contender's process: told through a pipe what to run, it answers with how long that took.

The first line of standard input is its configuration, each further one a command; each answer is a
line of JSON. While it waits for a command it does nothing, so contenders take turns on one machine.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

from benchmarks.contenders import CONTENDERS, Contender, settings_for

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from benchmarks.traffic import Traffic

#: A store without memory of its writers keeps readers out for a lease (5 s) at first.
SETTLING_SECONDS = 30.0

PACKAGES = (
    *("Django", "django-cachalot", "lmdb", "msgspec", "psycopg", "pymemcache", "redis", "xxhash"),
    "querycache",
)


class Worker:
    """What a contender's process knows and can be told to do.

    Args:
        contender: who it is.
        store: URL of the server with its entries, empty where it has none.
    """

    def __init__(self, contender: Contender, store: str) -> None:
        self.contender = contender
        self.store = store
        self.turns = count()
        self.reached = 0
        self._traffic: Traffic | None = None
        self._mget: dict[str, Callable[[int], Any]] = {}

    # -- commands ------------------------------------------------------------------------------

    def open_shop(self) -> dict[str, Any]:
        """Fill the database; tell what runs here."""
        from django.db import connection

        from benchmarks.shop.stock import open_shop

        open_shop()
        connection.execute_wrappers.append(self._count)
        gc.collect()
        gc.freeze()
        return {"versions": self._versions()}

    def prepare(self, case: str, seconds: float) -> dict[str, Any]:
        """Run a case until it does what its name says; return how often it fits into the time."""
        group = case.partition(":")[0]
        if group == "hit":
            self._warm(case)
        elif group == "mget":
            self._find_keys(case)
        act = self._operation(case)
        number = max(5, min(4096, round(seconds / self._time(case, act, 7))))
        return {"number": number, "as_named": self._does_as_named(group, act)}

    def run(self, case: str, number: int) -> dict[str, Any]:
        """Run a case so often; return the seconds of one turn."""
        return {"seconds": self._time(case, self._operation(case), number)}

    def traffic(self, writes: int, number: int) -> dict[str, Any]:
        """Go on with the traffic, with another share of writes."""
        from benchmarks.traffic import Traffic

        if self._traffic is None:
            self._traffic = Traffic()
        batch = [self._traffic.next(writes) for _ in range(number)]
        reads = sum(is_read for is_read, _ in batch)
        reached = 0
        gc.collect()
        start = time.perf_counter()
        for is_read, act in batch:
            if is_read:
                self.reached = 0
                act()
                reached += self.reached
            else:
                act()
        seconds = time.perf_counter() - start
        return {"seconds": seconds / number, "reads": reads, "reached": reached}

    # -- the rest ------------------------------------------------------------------------------

    def _count(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        self.reached += 1
        return execute(sql, params, many, context)

    def _does_as_named(self, group: str, act: Callable[[int], Any]) -> bool:
        if group not in ("hit", "miss") or self.contender.kind == "none":
            return True
        self.reached = 0
        for turn in range(4):
            act(turn)
        return self.reached == (0 if group == "hit" else 4)

    def _operation(self, case: str) -> Callable[[int], Any]:
        if case in self._mget:
            return self._mget[case]
        from benchmarks.shapes import operation

        return operation(case)

    def _time(self, case: str, act: Callable[[int], Any], number: int) -> float:
        """Return how long one of the fastest tenth of so many turns took at most.

        Not their mean or median: whatever else runs on the machine takes the processor away for
        milliseconds, again and again. What is slow by itself is slow in every turn.
        """
        turns = self.turns
        clock = time.perf_counter
        spent = []
        gc.collect()
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
        if case == "off:disabled" and self.contender.kind == "querycache":
            import querycache

            return querycache.disabled()
        if case == "off:disabled" and self.contender.kind == "cachalot":
            from cachalot.api import cachalot_disabled

            block: AbstractContextManager[Any] = cachalot_disabled()
            return block
        return contextlib.nullcontext()

    def _warm(self, case: str) -> None:
        """Ask until nothing reaches the database any more."""
        from benchmarks.shapes import WARM

        act = self._operation(case)
        deadline = time.monotonic() + SETTLING_SECONDS
        while True:
            self.reached = 0
            for turn in range(WARM):
                act(turn)
            if not self.reached or self.contender.kind == "none":
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.contender.name} never hits: {case}")
            time.sleep(0.01)

    def _find_keys(self, case: str) -> None:
        """Make an operation of the bare MGETs that hits of a shape need."""
        import redis

        from benchmarks.shapes import WARM, operation
        from querycache.runtime import runtime

        assert runtime.current is not None
        store = runtime.current.cache.store
        read = store.read
        asked: list[list[bytes]] = []

        def spy(entry: bytes, stamps: Any) -> Any:
            asked.append([entry, *stamps])
            return read(entry, stamps)

        act = operation(case.replace("mget:", "hit:"))
        store.read = spy  # type: ignore[method-assign]
        try:
            for turn in range(WARM):
                act(turn)
        finally:
            del store.read
        mget = redis.Redis.from_url(self.store).mget
        self._mget[case] = lambda turn: mget(asked[turn % WARM])

    def _versions(self) -> dict[str, str]:
        from django.db import connection

        found = {}
        for package in PACKAGES:
            with contextlib.suppress(PackageNotFoundError):
                found[package] = version(package)
        with connection.cursor() as cursor:
            lite = connection.vendor == "sqlite"
            cursor.execute("SELECT sqlite_version()" if lite else "SELECT version()")
            found[connection.display_name] = cursor.fetchone()[0].split(" (")[0].split(" on ")[0]
        if self.store.startswith("redis://"):
            import redis

            with redis.Redis.from_url(self.store) as client:
                found["Redis server"] = client.info("server")["redis_version"]
        return found


def main() -> None:
    """Answer commands until standard input ends."""
    # Whatever else writes to standard output must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    contender = CONTENDERS[start["contender"]]
    settings.configure(
        **settings_for(contender, start["database"], start["store"], Path(start["folder"]))
    )
    django.setup()
    if contender.kind == "floor":
        from benchmarks import floor

        floor.install()
    worker = Worker(contender, start["store"])
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer = getattr(worker, name)(**command)
        except Exception as error:  # noqa: BLE001 - told to the parent, which decides
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

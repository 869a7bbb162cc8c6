"""What the cache did in all processes of a run: a suite without a hit would prove nothing."""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from dataclasses import asdict
from multiprocessing import util
from pathlib import Path

from querycache import opening
from querycache.cache import QueryCache
from querycache.runtime import runtime


class CountedCache(QueryCache):
    """Hands on what it has counted when it is replaced, as tests do all the time."""

    totals: Counter[str] = Counter()

    def close(self) -> None:
        self.totals.update(asdict(self.counters.snapshot()))
        super().close()


class Process:
    """What one process has counted, written into a file of its own when it ends.

    Args:
        folder: where the file goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = os.getpid()

    def forked(self) -> None:
        """Leave to the parent what it has counted so far."""
        self._owner = os.getpid()
        CountedCache.totals.clear()
        if runtime.current is not None:
            CountedCache.totals.subtract(asdict(runtime.current.cache.counters.snapshot()))
        util.Finalize(None, self.write, exitpriority=10)

    def write(self) -> None:
        """Write the file, in the process that this is about."""
        if self._owner != os.getpid():
            return
        if runtime.current is not None:
            CountedCache.totals.update(asdict(runtime.current.cache.counters.snapshot()))
        path = self._folder / f"counters-{self._owner}.json"
        path.write_text(json.dumps(CountedCache.totals))


def start(folder: Path) -> Process:
    """Count from now on, in this process and those of `multiprocessing` that it starts.

    Returns:
        What must be kept for as long.
    """
    vars(opening)["QueryCache"] = CountedCache
    process = Process(folder)
    # Not a hook of fork() alone: multiprocessing forgets finalizers that are older than a child.
    util.register_after_fork(process, Process.forked)
    atexit.register(process.write)
    return process


def total(folder: Path) -> dict[str, int]:
    """Add up what the processes of a run have written."""
    found: Counter[str] = Counter()
    for path in folder.glob("counters-*.json"):
        found.update(json.loads(path.read_text()))
    return dict(found)

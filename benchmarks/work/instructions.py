"""The same turns again and again, with marks that valgrind sees."""

from __future__ import annotations

import gc
import math
import os
import sys
from typing import Any

from benchmarks.work.queries import Queries

#: A C function that nothing else calls; `benchmarks.instructions` has valgrind note each call.
MARK = "getloadavg"
_mark = os.getloadavg

#: Python makes bytecode faster as it runs, so the first turns are no measure.
WARM = 32


def _look_no_more() -> None:
    """Leave out what querycache does once a second, however many queries there are in one.

    valgrind makes turns so slow that some of them would hold it, and more on a busy machine.
    """
    watch = sys.modules.get("querycache.watch")
    if watch is not None:
        vars(watch)["LOOK_EVERY"] = math.inf


class Instructions(Queries):
    """Runs cases for their instructions to be counted."""

    def count(self, case: str, few: int, many: int) -> dict[str, Any]:
        """Take so few turns of a case between two marks, and so many before a third."""
        _look_no_more()
        act = self._operation(case)
        self._check(case, act)
        turns = self.bench.turns
        gc.collect()
        gc.disable()
        try:
            with self._around(case):
                for _ in range(WARM):
                    act(next(turns))
                for number in (few, many):
                    _mark()
                    for _ in range(number):
                        act(next(turns))
                _mark()
        finally:
            gc.enable()
        return {}

"""The machine of a run, and what else it did meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

#: Above this share of the processors, what others do shows in figures.
BUSY = 0.1


def machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that tells whose machine it is."""
    return {
        "cpu": _model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Neighbours:
    """Tells how much of the machine others used from here on.

    The processor time of all processes is the system's count; that of this run is what it and its
    children used, those that have ended: ask when all have.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._all = _all_seconds()
        self._own = _own_seconds()

    def share(self) -> float | None:
        """Return the share of all processors that others used, None where nobody counts."""
        if self._all is None:
            return None
        everything = (_all_seconds() or 0.0) - self._all
        others = everything - (_own_seconds() - self._own)
        available = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        return round(max(0.0, others / max(available, 1e-9)), 3)


def _all_seconds() -> float | None:
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    # cpu user nice system idle iowait irq softirq steal …
    numbers = [int(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
    return (sum(numbers) - numbers[3] - numbers[4]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)

"""The way back after an outage of the store."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.work.base import Work

#: After so many seconds a store that came back is taken for one that is never served from again.
PATIENCE_SECONDS = 120.0
#: Between two reads, in seconds.
PAUSE = 0.001


class Outage(Work):
    """Waits for the first hit."""

    def serve(self) -> dict[str, Any]:
        """Read one row until that needs no query; return when that was, by the system's clock.

        Raises:
            RuntimeError: it never was.
        """
        from benchmarks.shapes import get

        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.bench.reached = 0
            get(0, False)
            if not self.bench.reached:
                return {"at": time.monotonic()}
            time.sleep(PAUSE)
        raise RuntimeError(f"no hit within {PATIENCE_SECONDS:.0f} s")

"""How far a run is, on standard error."""

from __future__ import annotations

import sys
import time

_WIDTH = 30


class Progress:
    """A bar where somebody watches; a line for each part where nobody does.

    Args:
        steps: how many there will be; more do no harm.
    """

    def __init__(self, steps: int) -> None:
        self._steps = max(1, steps)
        self._done = 0
        self._started = time.monotonic()
        self._part = ""
        self._watched = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Tell something that shall stay."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def part(self, name: str) -> None:
        """Begin a part."""
        self._part = name
        if self._watched:
            self._draw("")
        else:
            self.say(f"{self._elapsed()}  {name}")

    def step(self, what: str) -> None:
        """Count a step."""
        self._done += 1
        if self._watched:
            self._draw(what)

    def close(self) -> None:
        """Leave the line."""
        self._clear()

    def _draw(self, what: str) -> None:
        share = min(1.0, self._done / self._steps)
        full = round(share * _WIDTH)
        bar = "█" * full + "·" * (_WIDTH - full)
        line = f"{bar} {share:4.0%} {self._elapsed()} {self._part} {what}"
        sys.stderr.write(f"\r\x1b[2K{line[:110]}")
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._watched:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _elapsed(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        return f"{minutes:d}:{seconds:02d}"

"""The parts of a run, each in a file of its own."""

from __future__ import annotations

from benchmarks.parts import load, memory, pages, queries, slow, stale, startup, traffic

__all__ = ["load", "memory", "pages", "queries", "slow", "stale", "startup", "traffic"]

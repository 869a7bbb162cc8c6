"""querycache: Django ORM results from a cache that never serves a stale row."""

from querycache.api import bypass, invalidate, last_write, stats
from querycache.counters import Stats
from querycache.exceptions import StaleHit, StoreUnavailable
from querycache.explanation import Explanation, explain
from querycache.switch import disabled, enabled

__all__ = [
    "Explanation",
    "StaleHit",
    "Stats",
    "StoreUnavailable",
    "bypass",
    "disabled",
    "enabled",
    "explain",
    "invalidate",
    "last_write",
    "stats",
]

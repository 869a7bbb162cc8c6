"""querycache: Django ORM results from a cache that never serves a stale row."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Django imports this package at the start, when nobody needs what is behind these names.
_MODULES = {
    "Explanation": "explanation",
    "StaleHit": "exceptions",
    "Stats": "counters",
    "StoreUnavailable": "exceptions",
    "bypass": "api",
    "disabled": "switch",
    "enabled": "switch",
    "explain": "explanation",
    "invalidate": "api",
    "last_write": "api",
    "stats": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names as well, whether imported yet or not."""
    return sorted({*globals(), *__all__})

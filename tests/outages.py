"""Outages for tests: a clock for the breaker, stores of which steps fail, and what was logged."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from querycache import breaker
from querycache.breaker import RETRY
from querycache.stores.base import Store, StoreError

STEPS = frozenset({"read", "stamps", "write", "begin", "end", "touch", "settle"})


class Clock:
    """The breaker's clock, set by the test.

    Args:
        monkeypatch: puts it in place.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(breaker, "time", SimpleNamespace(monotonic=lambda: self.now))

    def pass_retry(self) -> None:
        """Let so much time pass that the store is tried again."""
        self.now += RETRY + 0.001


class Faults:
    """Makes chosen steps of a store fail.

    Args:
        store: which.
    """

    def __init__(self, store: Store) -> None:
        self._broken: frozenset[str] = frozenset()
        for name in STEPS:
            setattr(store, name, self._breakable(name, getattr(store, name)))

    def only(self, *steps: str) -> None:
        """Let these steps fail, and no others; none: all is well."""
        assert STEPS.issuperset(steps)
        self._broken = frozenset(steps)

    def _breakable(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            if name in self._broken:
                raise StoreError(f"{name} is broken")
            return step(*args)

        return run


def outages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of the store being down and back."""
    return [record.message for record in caplog.records if record.name == "querycache.store"]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what else the cache has logged."""
    return [record.message for record in caplog.records if record.name == "querycache.cache"]

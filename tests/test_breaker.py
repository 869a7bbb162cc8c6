"""The breaker by itself."""

from __future__ import annotations

import pytest

from querycache.breaker import Breaker
from tests.outages import Clock, outages


def test_thread_that_comes_late_does_not_find_the_store_back_again() -> None:
    breaker = Breaker(retry=0.0)
    breaker.trip("gone")
    assert breaker.acquire_probe()
    breaker.reset()
    breaker.release_probe()
    assert not breaker.acquire_probe()
    breaker.trip("gone again")
    assert breaker.acquire_probe()


def test_attempts_are_a_retry_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    breaker = Breaker()
    breaker.trip("gone")
    for _ in range(3):
        assert not breaker.acquire_probe()
        clock.pass_retry()
        assert breaker.acquire_probe()
        assert not breaker.acquire_probe()
        breaker.release_probe()


def test_errors_of_one_outage_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.trip("gone")
    assert len(outages(caplog)) == 1
    breaker.reset()
    breaker.trip("gone again")
    assert len(outages(caplog)) == 3

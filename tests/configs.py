"""What the tests of the settings share: settings are read among two caches and two databases."""

from __future__ import annotations

from typing import Any

from querycache import conf
from querycache.values import Around

AROUND = Around(caches=("default", "sessions"), databases=("default", "replica"))


def load(**raw: Any) -> conf.Config:
    return conf.load(raw, AROUND)


def problem(**raw: Any) -> conf.Problem:
    found = conf.problems(raw, AROUND)
    assert len(found) == 1, found
    return found[0]


def tenant(connection: Any) -> str:
    return f"tenant of {connection.alias}"

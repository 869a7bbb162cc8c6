"""Which system checks Django runs, and when.

Those that ask a database or the store have the cache behind them: they are imported when they run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from django.core import checks

from querycache.checks import (
    AppConfigs,
    check_context,
    check_names,
    check_near,
    check_reach,
    check_secret_key,
    check_settings,
    check_store,
)

TAG = "querycache"


def register() -> None:
    """Register the checks; doing so again changes nothing."""
    for check in (
        *(check_settings, check_secret_key, check_context, check_names, check_store),
        check_near,
    ):
        checks.register(check, TAG, checks.Tags.caches)
    for check in (check_reach, _late("asking_checks", "check_eviction")):
        checks.register(check, TAG, checks.Tags.caches, deploy=True)
    for module, name in (
        ("asking_checks", "check_tables"),
        ("asking_checks", "check_serving"),
        ("catalogue_checks", "check_catalogue"),
    ):
        checks.register(_late(module, name), TAG, checks.Tags.database)


@cache
def _late(module: str, name: str) -> Callable[..., list[checks.CheckMessage]]:
    def check(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
        found: list[checks.CheckMessage] = getattr(import_module(f"querycache.{module}"), name)(
            app_configs, **kwargs
        )
        return found

    return check

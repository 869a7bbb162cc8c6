"""django-cachalot on Redis, and in the process."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender


class Cachalot(Contender):
    """django-cachalot, with everything as it is by default but the cache."""

    __slots__ = ()
    module: ClassVar[str | None] = "cachalot"

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        if store:
            cache: dict[str, Any] = {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": store,
                "KEY_PREFIX": folder.name,
            }
        else:
            cache = {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                # The default of 300 entries would measure evictions.
                "OPTIONS": {"MAX_ENTRIES": 100_000},
            }
        return {
            "INSTALLED_APPS": ["cachalot"],
            "CACHALOT_UNCACHABLE_TABLES": ("django_migrations", "shop_visit"),
            "CACHES": {"default": cache},
        }

    def disabled(self) -> AbstractContextManager[Any]:
        from cachalot.api import cachalot_disabled

        block: AbstractContextManager[Any] = cachalot_disabled()
        return block

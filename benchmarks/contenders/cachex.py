"""django-cachex's ORM cache on Redis, where the Python is new enough for it."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender


class Cachex(Contender):
    """django-cachex, with everything as it is by default but the cache."""

    __slots__ = ()
    module: ClassVar[str | None] = "django_cachex"
    unsupported: ClassVar[dict[str, str]] = {
        "mariadb": "its ORM cache knows PostgreSQL and SQLite only"
    }

    def missing(self) -> str | None:
        if sys.version_info < (3, 14):
            return "its ORM cache needs Python 3.14"
        return Contender.missing(self)

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        return {
            "INSTALLED_APPS": ["django_cachex.orm"],
            "CACHEX_ORM": {"UNCACHABLE_TABLES": ("shop_visit",)},
            "CACHES": {
                "default": {
                    "BACKEND": "django_cachex.cache.RedisCache",
                    "LOCATION": store,
                    "KEY_PREFIX": folder.name,
                }
            },
        }

    def disabled(self) -> AbstractContextManager[Any]:
        from django_cachex.orm.api import orm_cache_disabled

        block: AbstractContextManager[Any] = orm_cache_disabled()
        return block

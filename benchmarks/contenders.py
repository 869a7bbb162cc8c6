"""Who is measured, and the Django settings that each of them runs with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What gives a cache its place: the name of a store → its label.
STORES = ("memory", "lmdb", "redis", "memcached")


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the same queries, in a process of its own since it patches Django globally.

    Args:
        name: its key in results.
        label: what tables call it.
        kind: ``"none"``, ``"floor"``, ``"querycache"`` or ``"cachalot"``.
        store: what keeps its entries; empty for those without a cache.
    """

    name: str
    label: str
    kind: str
    store: str = ""

    @property
    def caches(self) -> bool:
        """Whether it has a cache, so that misses, writes and exclusions mean something."""
        return bool(self.store)


NONE = Contender("none", "no cache", "none")
FLOOR = Contender("floor", "ORM floor", "floor")

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        NONE,
        FLOOR,
        *(
            Contender(f"querycache-{store}", f"querycache, {label}", "querycache", store)
            for store, label in (
                ("memory", "memory"),
                ("lmdb", "LMDB"),
                ("redis", "Redis"),
                ("memcached", "Memcached"),
            )
        ),
        Contender("cachalot-redis", "django-cachalot, Redis", "cachalot", "redis"),
        Contender("cachalot-locmem", "django-cachalot, LocMem", "cachalot", "memory"),
    )
}


def settings_for(
    contender: Contender, database: dict[str, Any], store: str, folder: Path
) -> dict[str, Any]:
    """Return the settings of a contender's process.

    Args:
        contender: which.
        database: what `DATABASES["default"]` is.
        store: URL of the server that keeps its entries; empty where it needs none.
        folder: its own, for what it keeps in files.
    """
    apps = ["benchmarks.shop"]
    settings: dict[str, Any] = {
        "SECRET_KEY": "benchmarks",
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "DATABASES": {"default": database},
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    }
    if contender.kind == "querycache":
        apps.insert(0, "querycache")
        if contender.store == "lmdb":
            store = f"lmdb://{folder / 'lmdb'}?size=256mb"
        elif contender.store == "memory":
            store = "memory://?size=256mb"
        settings["QUERYCACHE"] = {
            "STORE": store,
            "KEY_PREFIX": folder.name,
            "EXCLUDE": ["shop.Visit"],
        }
    elif contender.kind == "cachalot":
        apps.insert(0, "cachalot")
        settings["CACHALOT_UNCACHABLE_TABLES"] = ("django_migrations", "shop_visit")
        settings["CACHES"] = {"default": _django_cache(store, folder)}
    settings["INSTALLED_APPS"] = apps
    return settings


def _django_cache(store: str, folder: Path) -> dict[str, Any]:
    if store:
        return {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": store,
            "KEY_PREFIX": folder.name,
        }
    return {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # The default of 300 entries would measure evictions.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }

"""What a contender is: the settings it runs with, and how it is switched off for a block."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the same queries, in a process of its own since it patches Django globally.

    Args:
        name: its key in results.
        label: what tables call it.
        store: what keeps its entries; empty for those without a cache.
    """

    name: str
    label: str
    store: str = ""

    #: Kinds of cases, and pages, that say something of it.
    kinds: ClassVar[frozenset[str]] = frozenset({"hit", "miss", "write", "off", "page"})
    #: Whether it answers as a site needs it, so that traffic means something.
    real: ClassVar[bool] = True
    #: The module it needs, None for those that need Django alone.
    module: ClassVar[str | None] = None
    #: Whether hits leave the database alone.
    serves: ClassVar[bool] = True
    #: Whether a store that has just been started keeps its readers out for a while.
    settles: ClassVar[bool] = False
    #: Databases it cannot cache, each with the reason.
    unsupported: ClassVar[dict[str, str]] = {}

    @property
    def caches(self) -> bool:
        """Whether it has a cache, so that misses, writes and exclusions mean something."""
        return bool(self.store)

    @property
    def is_variant(self) -> bool:
        """Whether it is another contender but for what happens in its own process."""
        return False

    @property
    def shared(self) -> bool:
        """Whether several processes may use it on one database: their writes reach all of them."""
        return self.store != "memory"

    def missing(self) -> str | None:
        """Return why it cannot run in this Python, None when it can."""
        if self.module and find_spec(self.module) is None:
            return f"{self.module} is not installed"
        return None

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        """Return its own settings; ``INSTALLED_APPS`` holds its app alone.

        Args:
            store: URL of the server that keeps its entries; empty where it needs none.
            folder: its own, for what it keeps in files; its name is unique in a run.
        """
        return {}

    def install(self) -> None:
        """Do what is left to do when Django is set up."""

    def disabled(self) -> AbstractContextManager[Any]:
        """Return a block in which queries of this thread are not served from the cache."""
        return contextlib.nullcontext()


def settings_for(
    contender: Contender, database: dict[str, Any], store: str, folder: Path
) -> dict[str, Any]:
    """Return all the settings of a contender's process.

    Args:
        contender: which.
        database: what ``DATABASES["default"]`` is.
        store: URL of the server that keeps its entries; empty where it needs none.
        folder: its own.
    """
    own = contender.settings(store, folder)
    return {
        "SECRET_KEY": "benchmarks",
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "DATABASES": {"default": database},
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        **own,
        "INSTALLED_APPS": [*own.get("INSTALLED_APPS", ()), "benchmarks.shop"],
    }

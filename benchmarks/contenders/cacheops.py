"""django-cacheops on Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender

TIMEOUT_SECONDS = 3600


class Cacheops(Contender):
    """django-cacheops, told to cache all that it can of every model but one.

    What it caches it is told by name; the rest (its admin, `values_list` that is sliced, say) goes
    to the database, which its hits on those shapes show as failures to do what they say.
    """

    __slots__ = ()
    module: ClassVar[str | None] = "cacheops"

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        return {
            "INSTALLED_APPS": ["cacheops"],
            "CACHEOPS_REDIS": store,
            # Its keys do not tell databases apart.
            "CACHEOPS_PREFIX": lambda query: folder.name,
            "CACHEOPS": {
                "shop.visit": None,
                "*.*": {"ops": "all", "timeout": TIMEOUT_SECONDS},
            },
        }

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        from cacheops.conf import settings

        settings.CACHEOPS_ENABLED = False
        try:
            yield
        finally:
            settings.CACHEOPS_ENABLED = True

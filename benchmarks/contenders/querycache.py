"""querycache on one of its stores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender


@dataclass(frozen=True, slots=True)
class QueryCache(Contender):
    """querycache, with everything as it is by default but the store.

    Args:
        name: its key in results.
        label: what tables call it.
        store: which.
        more: further keys of the setting ``QUERYCACHE``.
    """

    more: dict[str, Any] = field(default_factory=dict, hash=False)

    module: ClassVar[str | None] = "querycache"
    settles: ClassVar[bool] = True

    @property
    def is_variant(self) -> bool:
        return bool(self.more)

    def settings(self, store: str, folder: Path) -> dict[str, Any]:
        if self.store == "lmdb":
            store = f"lmdb://{folder / 'lmdb'}?size=256mb"
        elif self.store == "memory":
            store = "memory://?size=256mb"
        return {
            "INSTALLED_APPS": ["querycache"],
            "QUERYCACHE": {
                "STORE": store,
                "KEY_PREFIX": folder.name,
                "EXCLUDE": ["shop.Visit"],
                **self.more,
            },
        }

    def disabled(self) -> AbstractContextManager[Any]:
        import querycache

        return querycache.disabled()

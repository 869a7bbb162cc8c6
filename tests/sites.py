"""Two configurations on one database, as two processes would have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from querycache import install, stamps
from querycache.cache import QueryCache
from querycache.models import ServingStore
from querycache.runtime import runtime
from querycache.state import Installed
from tests.environment import configure
from tests.hooks import eventually
from tests.library.models import Thing
from tests.processes import hit, read, save, second


class Sites:
    """Two configurations of one process on one database, as two processes would have them.

    Args:
        folder: where their stores are.
        alias: of the database.
        versions: of the protocol that they follow.
        settings: of both.
    """

    def __init__(
        self,
        folder: Path,
        alias: str,
        versions: tuple[int, int] = (stamps.PROTOCOL, stamps.PROTOCOL),
        **settings: Any,
    ) -> None:
        self.alias = alias
        self._stack = ExitStack()
        self._made: dict[str, Installed] = {}
        self._versions = dict(zip(("one", "two"), versions, strict=True))
        for name in self._versions:
            store = f"lmdb://{folder / name}?size=8mb"
            with self._following(name):
                self._made[name] = configure(
                    named=True, **{"STORE": store, "LEASE": 0.5, **settings}
                )
            # Not closed by the next installation: both go on.
            runtime.current = None
        Thing.objects.using(alias).bulk_create(Thing(pk=pk, code=f"{pk}") for pk in (1, 2))

    @contextmanager
    def on(self, name: str) -> Iterator[QueryCache]:
        """Be the process with this store."""
        before, runtime.current = runtime.current, self._made[name]
        try:
            with self._following(name):
                yield self._made[name].cache
        finally:
            runtime.current = before

    @contextmanager
    def _following(self, name: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stamps, "PROTOCOL", self._versions[name])
            yield

    def read(self, name: str) -> list[int]:
        with self.on(name):
            return read(self.alias)

    def hit(self, name: str) -> bool:
        with self.on(name):
            return hit(self.alias)

    def warm(self, name: str) -> None:
        """Read until it is a hit: a store that may lose stamps waits for writers that it knew."""
        eventually(lambda: self.read(name) and self.hit(name), f"{name} serves")

    def save(self, name: str, value: int) -> None:
        with self.on(name):
            save(self.alias, 1, value)

    def second(self, *names: str) -> None:
        """Let so much time pass that a process looks again."""
        for name in names or ("one", "two"):
            with self.on(name):
                second(self.alias)

    def age(self, ms: int) -> None:
        """Let the row be older than it is."""
        row = ServingStore.objects.using(self.alias).get()
        ServingStore.objects.using(self.alias).update(
            seen=row.seen - ms, since=max(0, row.since - ms)
        )

    def close(self) -> None:
        for made in self._made.values():
            made.cache.close()
        install.uninstall()


def settle(sites: Sites) -> None:
    """Have the database name the first store, which has the rows."""
    assert sites.read("one") == [0, 0]
    sites.warm("one")

"""A database with some things in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.columns.existence import Witnesses


@pytest.fixture
def shelf(database: str) -> str:
    """An alias with things 1 to 3; results are kept in memory."""
    from tests.columns.helpers import things
    from tests.environment import configure
    from tests.library.models import Thing

    configure(STORE="memory://")
    things(database).bulk_create(Thing(pk=pk, code=f"{pk}", number=pk) for pk in (1, 2, 3))
    return database


@pytest.fixture
def library(database: str) -> str:
    """An alias with books 1 to 8 of two authors; results are known to be made of their rows."""
    from tests.columns.books import filled
    from tests.environment import configure

    configure(STORE="memory://")
    return filled(database)


@pytest.fixture
def witnesses(library: str, monkeypatch: pytest.MonkeyPatch) -> Witnesses:
    """Which row each `exists()` was last kept for."""
    from tests.columns.existence import Witnesses

    return Witnesses(library, monkeypatch)

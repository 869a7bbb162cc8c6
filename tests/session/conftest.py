"""A database with a schema for each of two tenants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from querycache.cache import QueryCache


@pytest.fixture
def tenants(database: str, cache: QueryCache) -> Iterator[str]:
    """A schema for each of two tenants, with one table that the public schema has too."""
    from tests.watching import execute, seed

    seed(database)
    for tenant in ("one", "two"):
        execute(database, f"CREATE SCHEMA {tenant}")
        execute(database, f"CREATE TABLE {tenant}.library_genre (id bigint, name text)")
        execute(database, f"INSERT INTO {tenant}.library_genre VALUES (1, '{tenant}')")
    yield database
    for tenant in ("one", "two"):
        execute(database, f"DROP SCHEMA {tenant} CASCADE")

"""Choosing a tenant's schema, and reading it."""

from __future__ import annotations

import pytest
from django.db import transaction

import querycache
from tests.watching import execute, fresh_genres, genres


def choose(using: str, tenant: str) -> None:
    execute(using, f"SET search_path = {tenant}, public")


def fail(using: str, tenant: str) -> None:
    """Choose a tenant in a transaction, or a savepoint, that is rolled back."""
    with pytest.raises(LookupError), transaction.atomic(using):  # noqa: PT012
        choose(using, tenant)
        raise LookupError


def reading(using: str, tenant: str) -> bool:
    """Read a tenant's table, and tell whether it was served from the cache."""
    hits = querycache.stats().hits
    assert genres(using) == fresh_genres(using) == [tenant]
    return querycache.stats().hits > hits

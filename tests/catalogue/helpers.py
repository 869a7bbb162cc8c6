"""Objects that the database has and no model says, and reads that must see what they do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import models

import querycache
from tests.environment import elsewhere
from tests.watching import execute

every = pytest.mark.parametrize(
    "database", ["sqlite", "sqlite_wal", "postgresql", "mariadb"], indirect=True
)
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextlib.contextmanager
def made(using: str, make: str | Sequence[str], drop: str | Sequence[str]) -> Iterator[None]:
    """Have something in the database for the length of a block."""
    try:
        for sql in [make] if isinstance(make, str) else make:
            execute(using, sql)
        yield
    finally:
        for sql in [drop] if isinstance(drop, str) else drop:
            execute(using, sql)


def rows_of(using: str, table: str, **fields: models.Field[Any, Any]) -> Any:
    """Return a queryset of the values in a table or view that no model of the project is of.

    Args:
        using: alias of the database.
        table: its name.
        fields: its columns besides `id`; by default `name`.
    """

    class Meta:
        app_label = "hidden"
        apps = Apps()
        db_table = table
        managed = False

    columns = fields or {"name": models.CharField(max_length=100)}
    model: Any = type("Hidden", (models.Model,), {"Meta": Meta, "__module__": __name__, **columns})
    return model._default_manager.using(using).order_by("pk").values_list(*columns)


def dependencies(queryset: Any) -> set[str]:
    """Return what a result depends on, as `explain` says."""
    return set(querycache.explain(queryset.all()).dependencies)


def is_cached(queryset: Any) -> bool:
    """Read until it must be a hit, here and elsewhere, and tell whether it is one."""
    for _ in range(2):
        list(queryset.all())
    here = querycache.explain(queryset.all()).hit
    assert elsewhere(lambda: querycache.explain(queryset.all()).hit) is here
    return here


def true_rows(queryset: Any) -> list[Any]:
    """Read through the cache, here and elsewhere; all must be what the database says."""
    with querycache.disabled():
        fresh = list(queryset.all())
    assert elsewhere(lambda: list(queryset.all())) == fresh
    assert list(queryset.all()) == fresh
    return fresh

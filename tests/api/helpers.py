"""What the tests of the functions share."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.db.models import QuerySet

import querycache
from querycache import install
from tests.library.models import Author

FILES = pytest.mark.parametrize(
    ("database", "store_url"), [("sqlite", "memory"), ("sqlite_wal", "lmdb")], indirect=True
)


def behind(alias: str, sql: str) -> None:
    """Write past Django, and so past the library."""
    connections[alias].ensure_connection()
    driver = connections[alias].connection
    driver.execute(sql)
    driver.commit()


def turn_off() -> None:
    settings.QUERYCACHE = {"MODE": "off"}
    install.install()


def names(alias: str) -> QuerySet[Author, str]:
    return Author.objects.using(alias).order_by("name").values_list("name", flat=True)


def hit(queryset: QuerySet[Any, Any]) -> bool:
    return querycache.explain(queryset).hit

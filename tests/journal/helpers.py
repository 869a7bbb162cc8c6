"""What tests of the journal share: rows that are cached, and what the journal has of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from querycache import journal
from querycache.models import Journal
from tests.library.models import Thing
from tests.processes import hit, read
from tests.stages import Stage, keys_of, plant

WRITES = ("write", "save")

#: Every test of the journal: a store that can be cut off, with each kind of database.
EVERYWHERE = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
    pytest.mark.parametrize(
        ("database", "store_url"),
        [
            ("sqlite", "lmdb"),
            ("sqlite_wal", "lmdb"),
            ("postgresql", "redis"),
            ("mariadb", "memcached"),
        ],
        indirect=True,
        ids=["sqlite", "sqlite_wal", "postgresql", "mariadb"],
    ),
]

TABLE = Thing._meta.db_table


def fill(stage: Stage) -> None:
    """Make the rows, and have them in the cache."""
    Thing.objects.using(stage.alias).bulk_create(Thing(pk=pk, code=f"{pk}") for pk in (1, 2))
    plant(stage.store, keys_of(stage.alias, Thing))
    assert read(stage.alias) == [0, 0]
    assert hit(stage.alias)


def rows(alias: str) -> list[str]:
    """Return what the journal has, the name of a writer that is not done as a star."""
    found = Journal.objects.using(alias).order_by("pk")
    return [row.dependency + "*" * bool(row.holder) for row in found]


@contextmanager
def without_journal(alias: str) -> Iterator[None]:
    """Take the table away for a while."""
    with journal.apart(connections[alias]) as other:
        journal._run(other, "ALTER TABLE querycache_journal RENAME TO moved")
    try:
        yield
    finally:
        with journal.apart(connections[alias]) as other:
            journal._run(other, "ALTER TABLE moved RENAME TO querycache_journal")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of journals."""
    return [record.message for record in caplog.records if record.name == "querycache.journal"]

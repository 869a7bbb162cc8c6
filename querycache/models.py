"""The tables that querycache keeps in every cached database; `querycache.journal` reads and writes.

Times are ms since 1970 by the database's clock: numbers mean the same to every vendor, whatever
the time zone of a session.
"""

from __future__ import annotations

from django.db import models


class Journal(models.Model):
    """A write to one dependency that the store could not be told of."""

    id = models.BigAutoField(primary_key=True)
    #: What was written: a table, or ``"*"`` for all of them.
    dependency = models.CharField(max_length=255)
    #: Empty, or what names the writer while the write may still be to come.
    holder = models.CharField(max_length=32, default="")
    written = models.BigIntegerField()

    class Meta:
        app_label = "querycache"
        db_table = "querycache_journal"

    def __str__(self) -> str:
        return self.dependency


class ServingStore(models.Model):
    """The store that serves this database; there is one row, whose key is 1."""

    id = models.SmallIntegerField(primary_key=True)
    #: What the store itself says it is.
    store = models.CharField(max_length=64)
    #: Where it is, for people and without passwords.
    label = models.CharField(max_length=255)
    #: When a process that uses it was last here.
    seen = models.BigIntegerField()
    #: When the database was moved to it; 0 where it has had no other.
    since = models.BigIntegerField(default=0)

    class Meta:
        app_label = "querycache"
        db_table = "querycache_store"

    def __str__(self) -> str:
        return self.label

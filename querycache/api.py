"""What Python code may ask of the cache: invalidate, last_write, stats, bypass."""

from __future__ import annotations

import datetime
from typing import Any, TypeVar

from django.db import connections
from django.db.models import QuerySet

from querycache import stamps
from querycache.compiler import BYPASS
from querycache.counters import Counters, Stats
from querycache.keys import EVERYTHING
from querycache.runtime import runtime
from querycache.state import transaction_of
from querycache.targets import Target, resolve
from querycache.writes import announce, send_if_usable, tell

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

_QuerySet = TypeVar("_QuerySet", bound="QuerySet[Any, Any]")


def invalidate(*targets: Target, using: str | None = None) -> None:
    """Make every cached result that depends on the targets unusable, at once and for every process.

    For writes that the library cannot see: another program's, a restore from a dump. Within a
    transaction it also counts as a write of the transaction.

    Args:
        targets: models, instances, app labels, ``"app.Model"`` or table names; none for everything.
        using: alias of the database; None for all of them.

    Raises:
        LookupError: a target or the alias is unknown; the message names the nearest.
    """
    everything = frozenset({EVERYTHING})
    for alias, tables in resolve(targets, using, of_nothing=everything).items():
        if runtime.current is None:
            return
        connection = connections[alias]
        transaction = transaction_of(connection)
        database = transaction.database
        database.watch.announces(transaction)
        # What the database changed in turn when the write happened: triggers, foreign keys.
        tables = tables if EVERYTHING in tables else database.written(transaction, tables)
        if transaction.open:
            transaction.cache.end(database.stamp_keys(tables), None)
            transaction.note(tables)
        else:
            tell(transaction, tables, database.stamp_keys(tables))
        if EVERYTHING in tables:
            database.schema_changed()
        transaction.overlay.forget()
        announce(transaction, tables)
        send_if_usable(transaction)


def last_write(*targets: Target, using: str | None = None) -> datetime.datetime | None:
    """Return when the targets were last written, as far as the store knows.

    Good for ``Last-Modified`` and for keys of template fragments: it never lies before a commit
    that had ended. Where the store has no record (a new or restarted store), it is when it began to
    keep one; while a write is under way, it is now.

    Args:
        targets: as for `invalidate`; none for the tables of all models.
        using: alias of the database; None for all of them.

    Returns:
        An aware UTC datetime by the store's clock; None when nothing is installed or the store does
        not answer.

    Raises:
        LookupError: a target or the alias is unknown; the message names the nearest.
    """
    latest = 0
    for alias, tables in resolve(targets, using, of_nothing=_every_table()).items():
        if runtime.current is None:
            return None
        transaction = transaction_of(connections[alias])
        cache = transaction.cache
        keys = transaction.database.read_keys(sorted(tables | {EVERYTHING}))
        usable = cache.up and transaction.database.watch.clear(transaction, thorough=True)
        found = cache.read_stamps(keys) if usable else None
        if found is None:
            return None
        if not all(map(stamps.is_settled, found)):
            cache.usable(keys, found)
            found = cache.read_stamps(keys) or ()
        for stamp in found:
            settled = stamps.parse_settled(stamp)
            if settled is None:
                return datetime.datetime.now(datetime.UTC)
            # The sequence tells apart what is written within one tick of the store's clock.
            latest = max(latest, settled.wall * 1000 + settled.sequence % 1000)
    return _EPOCH + datetime.timedelta(microseconds=latest)


def stats() -> Stats:
    """Return what the cache did in this process; all zero while nothing is installed."""
    installed = runtime.current
    return (Counters() if installed is None else installed.cache.counters).snapshot()


def bypass(queryset: _QuerySet) -> _QuerySet:
    """Return a copy of a queryset that is always run on the database, and so are its own copies.

    Related objects that `prefetch_related` or attribute access fetch are read as usual.

    Args:
        queryset: any queryset.
    """
    clone = queryset.all()
    setattr(clone.query, BYPASS, True)
    return clone


def _every_table() -> frozenset[str]:
    from django.apps import apps

    from querycache.rawsql import table_name

    return frozenset(
        table_name(model._meta.db_table) for model in apps.get_models(include_auto_created=True)
    )

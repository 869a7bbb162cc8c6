"""Which tables are cached: `EXCLUDE` and `ONLY`."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db.models import Model

from querycache.rawsql import table_name


class Selection:
    """What `EXCLUDE` and `ONLY` say of a table or a model.

    Args:
        exclude: app labels, ``app.Model`` names or table names; wins over `only`.
        only: the same kinds; empty means everything.
    """

    def __init__(self, exclude: Iterable[str], only: Iterable[str]) -> None:
        self._exclude = _tables(exclude)
        only = frozenset(only)
        self._only = _tables(only) if only else None
        #: Models whose own table is left alone: the compiler asks this before anything else.
        self.skipped: frozenset[type[Model]] = frozenset(
            model
            for model in apps.get_models(include_auto_created=True)
            if not self.covers(table_name(model._meta.db_table))
        )

    def covers(self, table: str) -> bool:
        """Tell whether results that depend on a table (a normalised name) may be cached."""
        return table not in self._exclude and (self._only is None or table in self._only)


def tables_of(name: str) -> frozenset[str]:
    """Return the tables that an app label, an ``app.Model`` or a table name stands for."""
    models = apps.get_models(include_auto_created=True)
    folded = name.casefold()
    found = {
        table_name(model._meta.db_table)
        for model in models
        if folded in (model._meta.app_label.casefold(), model._meta.label_lower)
    }
    return frozenset(found or {table_name(name)})


def _tables(names: Iterable[str]) -> frozenset[str]:
    return frozenset(table for name in names for table in tables_of(name))

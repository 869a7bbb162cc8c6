"""Tables that change, or names that stand for tables, without Django naming them in a statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.apps import apps
from django.db.models import deletion

from querycache.rawsql import table_name


def database_cascades() -> dict[str, frozenset[str]]:
    """Return, for every table, the tables that the database itself changes on a DELETE from it.

    Follows the `on_delete` of relations that the database carries out (Django 6.1: `DB_CASCADE`,
    `DB_SET_NULL`, `DB_SET_DEFAULT`), in several steps where a cascade goes on.
    """
    # Django < 6.1 has no such actions.
    action = getattr(deletion, "DatabaseOnDelete", None)
    if action is None:
        return {}
    direct: dict[str, set[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            remote = field.remote_field
            if remote is not None and isinstance(getattr(remote, "on_delete", None), action):
                parent = table_name(remote.model._meta.db_table)
                direct.setdefault(parent, set()).add(table_name(model._meta.db_table))
    return {table: closure([table], direct) for table in direct}


def closure(tables: Iterable[str], follow: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return the tables and everything that can be reached from them."""
    found = set(tables)
    todo = list(found)
    while todo:
        for table in follow.get(todo.pop(), ()):
            if table not in found:
                found.add(table)
                todo.append(table)
    return frozenset(found)


def normalised(names: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return a setting such as `DEPENDS` or `TRIGGERS` with names as `table_name` gives them."""
    return {
        table_name(name): frozenset(table_name(table) for table in tables)
        for name, tables in names.items()
    }

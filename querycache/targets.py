"""From what users name (models, instances, apps, tables) to tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import chain

from django.apps import apps
from django.db import connections
from django.db.models import Model
from django.utils.connection import ConnectionDoesNotExist

from querycache.rawsql import table_name

Target = type[Model] | Model | str


def resolve(
    targets: Sequence[Target], using: str | None, *, of_nothing: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Return the tables that targets stand for in each database.

    Args:
        targets: models, instances, app labels, ``"app.Model"`` or table names. A table without a
            model is looked for in the databases and counts for those that have it.
        using: alias of the database; None for all of them.
        of_nothing: the tables that no target at all stands for.

    Raises:
        LookupError: a target or the alias is unknown; the message names those that come nearest.
        TypeError: a target is of no known kind.
    """
    asked = aliases(using)
    if not targets:
        return dict.fromkeys(asked, of_nothing)
    found: dict[str, set[str]] = {alias: set() for alias in asked}
    for target in targets:
        tables = _tables(target)
        if tables:
            for alias in asked:
                found[alias] |= tables
        else:
            assert isinstance(target, str)
            for alias in _databases_with(target, asked):
                found[alias].add(table_name(target))
    return {alias: frozenset(tables) for alias, tables in found.items() if tables}


def aliases(using: str | None) -> tuple[str, ...]:
    """Return the aliases to act on: the given one, or all of them.

    Raises:
        LookupError: there is no such alias.
    """
    if using is None:
        return tuple(connections)
    try:
        connections[using]
    except ConnectionDoesNotExist:
        raise LookupError(_message("database alias", using, list(connections))) from None
    return (using,)


def _tables(target: Target) -> frozenset[str]:
    """Return the tables of models that a target stands for; none where it must be another table."""
    if isinstance(target, Model) or (isinstance(target, type) and issubclass(target, Model)):
        return _tables_of_model(target)
    if not isinstance(target, str):
        raise TypeError(
            "a target is a model, an instance, an app label, 'app.Model' or a table name,"
            f" not {type(target).__name__}"
        )
    folded = target.casefold()
    models = apps.get_models(include_auto_created=True)
    for matches in (
        [model for model in models if folded == model._meta.label_lower],
        [model for model in models if folded == model._meta.app_label.casefold()],
    ):
        if matches:
            return frozenset().union(*map(_tables_of_model, matches))
    name = table_name(target)
    return frozenset(
        [name] if any(name == table_name(model._meta.db_table) for model in models) else []
    )


def _databases_with(table: str, asked: Iterable[str]) -> list[str]:
    name = table_name(table)
    tables = {
        alias: connections[alias].introspection.table_names(include_views=True) for alias in asked
    }
    found = [alias for alias, names in tables.items() if name in map(table_name, names)]
    if not found:
        models = apps.get_models(include_auto_created=True)
        known = {
            *(model._meta.label for model in models),
            *(model._meta.app_label for model in models),
            *(model._meta.db_table for model in models),
            *chain.from_iterable(tables.values()),
        }
        raise LookupError(_message("app, model or table", table, sorted(known)))
    return found


def _tables_of_model(model: type[Model] | Model) -> frozenset[str]:
    """Return a model's own table and those of its parents, whose columns are its own too."""
    meta = model._meta
    parents = meta.get_parent_list()
    return frozenset(
        table_name(owner._meta.db_table) for owner in (model, *parents) if not owner._meta.abstract
    )


def _message(kind: str, name: str, known: list[str]) -> str:
    folded = {item.casefold(): item for item in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(folded[item]) for item in near)}?" if near else ""
    return f"there is no {kind} named {name!r}{hint}"

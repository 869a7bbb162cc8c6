"""From what users name (models, instances, apps, tables) to tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.utils.connection import ConnectionDoesNotExist

from querycache.rawsql import table_name

Target = type[Model] | Model | str


def resolve(targets: Iterable[Target], using: str) -> frozenset[str]:
    """Return the tables that targets stand for.

    Args:
        targets: models, instances, app labels, ``"app.Model"`` or table names.
        using: alias of the database that is asked for tables without a model.

    Raises:
        LookupError: a target is unknown; the message names those that come nearest.
        TypeError: a target is of no known kind.
    """
    return frozenset(table for target in targets for table in _tables(target, using))


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


def _tables(target: Target, using: str) -> frozenset[str]:
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
    if any(name == table_name(model._meta.db_table) for model in models):
        return frozenset({name})
    connection = connections[using or DEFAULT_DB_ALIAS]
    known = connection.introspection.table_names(include_views=True)
    if any(name == table_name(table) for table in known):
        return frozenset({name})
    names = [
        *(model._meta.label for model in models),
        *{model._meta.app_label for model in models},
        *known,
    ]
    raise LookupError(_message("app, model or table", target, names))


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

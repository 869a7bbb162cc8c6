"""System checks of what a database does by itself; they ask it, so they run when it is named.

| id | what it finds |
| --- | --- |
| W030 | a trigger, rule or default that cannot be read, so that it counts as writing every table |
| W031 | a declaration that leaves out a table which the database's catalogue names |
| W032 | a user who cannot see triggers |
| I033 | a view or foreign table whose results are not cached |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections

from querycache.catalogue.closed import Catalogue
from querycache.catalogue.facts import READ_FROM, SEQUENCE, TRIGGERED
from querycache.catalogue.report import named
from querycache.runtime import runtime
from querycache.state import transaction_of


def check_catalogue(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Report where `TRIGGERS` or `DEPENDS` would tell what the catalogue does not."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        if runtime.current is None:
            break
        transaction = transaction_of(connections[alias])
        knowledge = transaction.database.known(transaction) if transaction.serves else None
        if knowledge is not None:
            found += _messages(knowledge.catalogue, alias)
    return found


def _messages(catalogue: Catalogue, alias: str) -> Iterator[checks.CheckMessage]:
    if catalogue.facts.blind is not None:
        yield checks.Warning(
            f"{alias}: {catalogue.facts.blind}; so every write counts for every table.",
            "Grant TRIGGER on the database to its user, who need not make any.",
            obj="QUERYCACHE",
            id="querycache.W032",
        )
    for table, action, reason in catalogue.untold():
        key = "TRIGGERS" if action.kind in TRIGGERED else "DEPENDS"
        yield checks.Warning(
            f"{alias}: every write to {table} counts for every table: the {action.kind} "
            f"{action.name} cannot be read ({reason}).",
            f'Declare what it writes: {key} = {{"{table}": ["…"]}}.',
            obj="QUERYCACHE",
            id="querycache.W030",
        )
    yield from _left_out(catalogue, alias)
    for name, relations in sorted(catalogue.facts.relations.items()):
        for relation in relations:
            if relation.kind == SEQUENCE or name in catalogue.depends:
                continue
            if relation.unknown is not None:
                yield checks.Info(
                    f"{alias}: {relation.kind} {name} is not cached: {relation.unknown}.",
                    f'Where you know better, declare it: DEPENDS = {{"{name}": ["…"]}}.',
                    obj="QUERYCACHE",
                    id="querycache.I033",
                )


def _left_out(catalogue: Catalogue, alias: str) -> Iterator[checks.CheckMessage]:
    for key, declared, found in (
        ("TRIGGERS", catalogue.triggers, _written(catalogue)),
        ("DEPENDS", catalogue.depends, _read(catalogue)),
    ):
        for table, tables in sorted(found.items()):
            missing = tables - declared[table] - {table}
            if missing:
                yield checks.Warning(
                    f"{alias}: {key} leaves out {named(missing)}, which the database's "
                    f"catalogue names for {table}.",
                    "What is declared takes the place of what is found. Add the tables, or "
                    "silence this check if that part never runs.",
                    obj="QUERYCACHE",
                    id="querycache.W031",
                )


def _written(catalogue: Catalogue) -> dict[str, frozenset[str]]:
    return {
        table: frozenset().union(
            *(
                catalogue.written_by(action)
                for action in catalogue.facts.actions.get(table, ())
                if action.kind in TRIGGERED
            )
        )
        for table in catalogue.triggers
    }


def _read(catalogue: Catalogue) -> dict[str, frozenset[str]]:
    return {
        name: frozenset().union(
            *(
                relation.reads
                for relation in catalogue.facts.relations.get(name, ())
                if relation.kind in READ_FROM
            )
        )
        for name in catalogue.depends
    }

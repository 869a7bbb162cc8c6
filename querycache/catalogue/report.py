"""What was found in a catalogue, in words for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from querycache.catalogue.closed import Catalogue
from querycache.catalogue.facts import READ_FROM, SEQUENCE, TRIGGERED
from querycache.keys import ELSEWHERE


def describe(catalogue: Catalogue) -> list[str]:
    """Return one line for each thing that was found or declared, sorted by table."""
    return [*_blindness(catalogue), *_relations(catalogue), *_actions(catalogue)]


def _blindness(catalogue: Catalogue) -> Iterator[str]:
    if catalogue.facts.blind is not None:
        yield f"every write counts for every table: {catalogue.facts.blind}"


def _relations(catalogue: Catalogue) -> Iterator[str]:
    for name, found in sorted(catalogue.facts.relations.items()):
        for relation in found:
            if relation.kind == SEQUENCE:
                continue
            what = f"{relation.kind} {name}"
            if name in catalogue.depends and relation.kind in READ_FROM:
                yield f"{what} depends on {named(catalogue.depends[name])}, as declared"
            elif relation.unknown is not None:
                yield f"{what} is not cached: {relation.unknown}"
            else:
                yield f"{what} depends on {named(relation.reads)}"


def _actions(catalogue: Catalogue) -> Iterator[str]:
    untold = {(table, action): reason for table, action, reason in catalogue.untold()}
    for table, actions in sorted(catalogue.facts.actions.items()):
        for action in actions:
            if action.kind in READ_FROM or action.kind == "partition":
                # A relation says it already.
                continue
            what = f"{action.kind} {action.name} on {table}"
            if table in catalogue.triggers and action.kind in TRIGGERED:
                yield f"{what} writes {named(catalogue.triggers[table])}, as declared"
            elif (table, action) in untold:
                yield f"{what} counts as a write to every table: {untold[table, action]}"
            else:
                yield f"{what} writes {named(catalogue.written_by(action))}"


def named(tables: Iterable[str]) -> str:
    """Write names of tables as people do."""
    return (
        ", ".join(sorted(table.removeprefix(ELSEWHERE).replace(ELSEWHERE, ".") for table in tables))
        or "no other table"
    )

"""What follows from the facts of a catalogue and from what the project declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from querycache.catalogue.facts import (
    READ_FROM,
    STAMP,
    TRIGGERED,
    Action,
    Change,
    Code,
    Facts,
    all_events,
)
from querycache.keys import EVERYTHING

_EVERYTHING = frozenset({EVERYTHING})


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading some names comes to.

    Args:
        tables: what the result depends on.
        functions: what is called on the way, as far as it may be other than pure.
        unknown: why the result cannot be cached; None when it may be.
    """

    tables: frozenset[str]
    functions: frozenset[str]
    unknown: str | None


class Catalogue:
    """Facts and declarations, followed to their ends.

    Args:
        facts: what was found in the database.
        depends: the setting `DEPENDS`, with names as `table_name` gives them.
        triggers: the setting `TRIGGERS`, likewise.
    """

    def __init__(
        self,
        facts: Facts,
        depends: Mapping[str, frozenset[str]],
        triggers: Mapping[str, frozenset[str]],
    ) -> None:
        self.facts = facts
        self.depends = depends
        self.triggers = triggers

    def reading(self, names: Iterable[str]) -> Reading:
        """Follow names to everything that reading them depends on.

        Args:
            names: of tables, views, and declared functions.
        """
        tables = set(names)
        functions: set[str] = set()
        unknown = None
        todo = list(tables)
        while todo:
            name = todo.pop()
            more: set[str] = set()
            more |= self.depends.get(name, frozenset())
            for relation in self.facts.relations.get(name, ()):
                if name in self.depends and relation.kind in READ_FROM:
                    continue
                if relation.unknown is not None:
                    unknown = f"{name} is a {relation.kind}: {relation.unknown}"
                for function in relation.functions:
                    if function in self.depends:
                        more |= self.depends[function]
                    else:
                        functions.add(function)
                more |= relation.reads
            todo += more - tables
            tables |= more
        return Reading(frozenset(tables), frozenset(functions), unknown)

    def writing(self, changes: Iterable[Change]) -> frozenset[str]:
        """Follow changes of rows to every table that changes with them.

        Returns:
            `EVERYTHING` alone where that cannot be told.
        """
        changes = frozenset(changes)
        answered = self.answered(changes)
        if answered is None:
            return _EVERYTHING
        return answered.union(table for table, _ in changes)

    def answered(self, changes: frozenset[Change]) -> frozenset[str] | None:
        """Return the tables that the database changes by itself when rows change, to the end.

        Returns:
            None where that cannot be told.
        """
        found = set(changes)
        answers: set[Change] = set()
        todo = list(found)
        while todo:
            more = self._answer(*todo.pop())
            if more is None:
                return None
            todo += more - found
            found |= more
            answers |= more
        return frozenset(table for table, _ in answers)

    def calling(self, functions: Iterable[str]) -> frozenset[str]:
        """Return every table that calling functions may change, or `EVERYTHING` alone."""
        changes, unknown = self._run(Code(calls=frozenset(functions)))
        return _EVERYTHING if unknown else self.writing(changes)

    def untold(self) -> Iterator[tuple[str, Action, str]]:
        """Yield what counts as a write to every table: the table, the action and the reason."""
        for table, actions in sorted(self.facts.actions.items()):
            for action in actions:
                reason = self._run(action.code)[1]
                if reason is not None and not self._is_declared(table, action):
                    yield table, action, reason

    def written_by(self, action: Action) -> frozenset[str]:
        """Return the tables that an action names itself, further actions left out."""
        return frozenset(table for table, _ in self._run(action.code)[0])

    def _is_declared(self, table: str, action: Action) -> bool:
        if action.kind in TRIGGERED:
            return table in self.triggers
        return action.kind in READ_FROM and table in self.depends

    def _answer(self, table: str, event: str) -> set[Change] | None:
        """Return what the database changes in turn; None where that cannot be told."""
        if event == STAMP:
            return set()
        found: set[Change] = set()
        for declared in (self.triggers, self.depends):
            if table in declared:
                found |= all_events(declared[table])
        if self.facts.blind is not None and table not in self.triggers:
            return None
        for action in self.facts.actions.get(table, ()):
            if event not in action.events or self._is_declared(table, action):
                continue
            changes, unknown = self._run(action.code)
            if unknown is not None:
                return None
            found |= changes
        return found

    def _run(self, code: Code) -> tuple[set[Change], str | None]:
        """Return what code changes, with everything that it calls, and why there may be more."""
        changes = set(code.changes)
        unknown = code.unknown
        called = set(code.calls)
        todo = list(called)
        while todo:
            name = todo.pop()
            if name in self.depends:
                changes |= all_events(self.depends[name])
                continue
            for routine in self.facts.routines.get(name, ()):
                changes |= routine.changes
                if routine.unknown is not None:
                    unknown = f"it calls {name}, and {routine.unknown}"
                todo += routine.calls - called
                called |= routine.calls
        return changes, unknown

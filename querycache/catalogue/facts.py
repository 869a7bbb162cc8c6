"""What a database's own catalogue says, in the terms of every database.

All names are those of `table_name`: two tables of one name in two schemas are one here, with what
was found for either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

INSERT = "insert"
UPDATE = "update"
DELETE = "delete"
#: A table's stamp changes, and nothing that the database would answer with something of its own.
STAMP = "stamp"
EVENTS = frozenset({INSERT, UPDATE, DELETE})

#: Kinds of actions that `TRIGGERS` takes the place of.
TRIGGERED = frozenset({"trigger", "rule", "default"})
#: The kind of relation that is too common to be worth telling people of.
SEQUENCE = "sequence"
#: Kinds of relations, and of their actions, that `DEPENDS` takes the place of; what else the
#: database does (foreign keys, partitions) is known for certain.
READ_FROM = frozenset(
    {
        "view",
        "materialized view",
        "foreign table",
        "virtual table",
        SEQUENCE,
        "table with row-level security",
    }
)

#: A table and what happens to its rows.
Change = tuple[str, str]

_NO_NAMES: frozenset[str] = frozenset()


def all_events(tables: Iterable[str]) -> frozenset[Change]:
    """Return every change that rows of the tables can undergo."""
    return frozenset((table, event) for table in tables for event in EVENTS)


@dataclass(frozen=True, slots=True)
class Code:
    """What SQL that the database keeps (a trigger, a function, a rule) does when it runs.

    Args:
        changes: what its statements change.
        calls: what it calls: names of functions and procedures, and other names that look like it.
        unknown: why more may change than that; None when it was read to the end.
    """

    changes: frozenset[Change] = frozenset()
    calls: frozenset[str] = _NO_NAMES
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What the database does by itself when a table is written.

    Args:
        kind: ``"trigger"``, ``"rule"``, ``"foreign key"``, …
        name: as the database knows it.
        events: which of them set it off.
        code: what it does.
    """

    kind: str
    name: str
    events: frozenset[str]
    code: Code


@dataclass(frozen=True, slots=True)
class Relation:
    """What a name that can be read from stands for.

    Args:
        kind: ``"view"``, ``"foreign table"``, …
        reads: the tables and views that its rows come from, besides its own.
        functions: what is called on the way, as far as it may be other than pure.
        unknown: why its results cannot be cached.
    """

    kind: str
    reads: frozenset[str] = _NO_NAMES
    functions: frozenset[str] = _NO_NAMES
    unknown: str | None = None


class KeyColumn(NamedTuple):
    """A column by which rows are told apart, of a type whose equality every program sees alike.

    Args:
        column: as the catalogue spells it.
        kind: `INTEGER` or `UUID`.
    """

    column: str
    kind: str


@dataclass(slots=True)
class Facts:
    """Everything that was found in a catalogue; not changed once it is read.

    Args:
        relations: name → what it stands for; plain tables are left out.
        actions: table → what the database does when it is written.
        routines: functions and procedures that may write, by name.
        untransacted: tables whose writes no transaction holds back.
        primary_keys: of tables whose rows can be told apart by them.
        references: columns of tables that have a foreign key.
        columns: of tables, casefolded, without those that change by themselves when others do.
        blind: why triggers cannot be seen at all.
    """

    relations: Mapping[str, list[Relation]] = field(default_factory=lambda: defaultdict(list))
    actions: Mapping[str, list[Action]] = field(default_factory=lambda: defaultdict(list))
    routines: Mapping[str, list[Code]] = field(default_factory=lambda: defaultdict(list))
    untransacted: frozenset[str] = _NO_NAMES
    primary_keys: Mapping[str, KeyColumn] = field(default_factory=dict)
    references: Mapping[str, tuple[KeyColumn, ...]] = field(default_factory=dict)
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    blind: str | None = None

    def add_references(self, columns: Iterable[tuple[str, str, str]]) -> None:
        """Note the columns of tables that have a foreign key.

        Args:
            columns: of every foreign key: the table, the column, and its kind, which is empty where
                its equality is not that of every program.
        """
        found: dict[str, set[KeyColumn]] = defaultdict(set)
        for name, column, kind in columns:
            if kind:
                found[name].add(KeyColumn(column, kind))
        self.references = {name: tuple(sorted(keys)) for name, keys in found.items()}

    def add_columns(self, columns: Iterable[tuple[Hashable, str, str]]) -> None:
        """Note the columns of tables which hold what statements put there, and nothing else.

        Args:
            columns: what tells the table from others of its name, its name, and the column.
        """
        tables: dict[Hashable, tuple[str, set[str]]] = {}
        for identity, name, column in columns:
            tables.setdefault(identity, (name, set()))[1].add(column.casefold())
        found: dict[str, frozenset[str]] = {}
        for name, names in tables.values():
            found[name] = found.get(name, frozenset(names)) & names
        self.columns = found

    def add_primary_keys(self, columns: Iterable[tuple[Hashable, str, str | None, str]]) -> None:
        """Note the primary keys of tables, as far as rows can be told apart by them.

        Args:
            columns: of every table and view one for each column of its primary key, or one without
                a column: what tells it from others of its name, its name, the column, and its kind,
                which is empty where its equality is not that of every program.
        """
        tables: dict[Hashable, tuple[str, list[KeyColumn | None]]] = {}
        for identity, name, column, kind in columns:
            key = KeyColumn(column, kind) if column and kind else None
            tables.setdefault(identity, (name, []))[1].append(key)
        found: dict[str, KeyColumn | None] = {}
        for name, keys in tables.values():
            key = keys[0] if len(keys) == 1 else None
            found[name] = key if found.get(name, key) == key else None
        self.primary_keys = {name: key for name, key in found.items() if key is not None}

    def add_key(self, name: str, parent: str, child: str, rules: tuple[str, str]) -> None:
        """Note a foreign key.

        Args:
            name: of the constraint.
            parent: the table that it refers to.
            child: the table that it is on.
            rules: what happens to the child's rows ON DELETE and ON UPDATE, in SQL's own words.
        """
        for event, rule in zip((DELETE, UPDATE), rules, strict=True):
            if rule in ("CASCADE", "SET NULL", "SET DEFAULT"):
                becomes = event if rule == "CASCADE" else UPDATE
                code = Code(frozenset({(child, becomes)}))
                self.actions[parent].append(Action("foreign key", name, frozenset({event}), code))

    def add_sequence(self, name: str) -> None:
        """Note a sequence, which can be read like a table."""
        self.relations[name].append(Relation(SEQUENCE, unknown="it changes without being written"))

    def add_view(self, name: str, relation: Relation) -> None:
        """Note a view; one that can be written through hands on what it gets."""
        self.relations[name].append(relation)
        if relation.reads:
            code = Code(all_events(relation.reads))
            self.actions[name].append(Action(relation.kind, name, EVENTS, code))

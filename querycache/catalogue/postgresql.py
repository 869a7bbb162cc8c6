"""PostgreSQL's catalogue: views, rules, triggers, foreign keys, partitions, policies, routines.

Two queries, which lock nothing but the catalogue's own tables and cannot fail for want of rights:
everybody may read these. Objects of the system have OIDs below 16384.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from querycache.catalogue.bodies import read_body
from querycache.catalogue.facts import (
    DELETE,
    EVENTS,
    INSERT,
    STAMP,
    UPDATE,
    Action,
    Code,
    Facts,
    Relation,
    all_events,
)
from querycache.catalogue.nodes import Tree, read_tree
from querycache.functions import PURE, VOLATILE, Purity, postgresql_purity
from querycache.rawsql import table_name

#: What happens behind the back, in one shape: what, two OIDs, a name, how, and a text.
_FACTS = """
SELECT 'rule', r.ev_class::bigint, 0::bigint, r.rulename::text, c.relkind::text || r.ev_type::text,
       r.ev_action::text || ' ' || r.ev_qual::text
  FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
 WHERE r.oid >= 16384 AND (c.relkind = 'v' OR r.ev_type <> '1')
UNION ALL
SELECT 'materialized', c.oid::bigint, 0, '', '', ''
  FROM pg_catalog.pg_class c WHERE c.relkind = 'm'
UNION ALL
SELECT 'sequence', c.oid::bigint, 0, c.relname::text, '', ''
  FROM pg_catalog.pg_class c WHERE c.relkind = 'S'
UNION ALL
SELECT 'trigger', t.tgrelid::bigint, t.tgfoid::bigint, t.tgname::text, t.tgtype::text,
       coalesce(t.tgqual::text, '')
  FROM pg_catalog.pg_trigger t
 WHERE t.tgenabled <> 'D' AND (NOT t.tgisinternal OR t.tgfoid >= 16384)
UNION ALL
SELECT 'key', k.confrelid::bigint, k.conrelid::bigint, k.conname::text,
       k.confdeltype::text || k.confupdtype::text, ''
  FROM pg_catalog.pg_constraint k
 WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
UNION ALL
SELECT 'child', i.inhrelid::bigint, i.inhparent::bigint, '', '', ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhparent
 WHERE c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'foreign', f.ftrelid::bigint, 0, '', '', coalesce(
       (SELECT option_value FROM pg_catalog.pg_options_to_table(f.ftoptions)
         WHERE option_name IN ('table_name', 'table')), '')
  FROM pg_catalog.pg_foreign_table f
UNION ALL
SELECT 'policy', p.polrelid::bigint, 0, p.polname::text, '',
       coalesce(p.polqual::text, '') || ' ' || coalesce(p.polwithcheck::text, '')
  FROM pg_catalog.pg_policy p
UNION ALL
SELECT 'default', coalesce(a.adrelid, k.conrelid)::bigint, d.refobjid::bigint, '', '', ''
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_attrdef a
    ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND a.oid = d.objid
  LEFT JOIN pg_catalog.pg_constraint k
    ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
 WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass AND coalesce(a.adrelid, k.conrelid, 0) <> 0
UNION ALL
SELECT 'table', c.oid::bigint, 0, c.relname::text,
       CASE a.atttypid WHEN 'uuid'::regtype THEN 'uuid' ELSE 'integer' END,
       coalesce(a.attname::text, '')
  FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_index i
    ON i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND i.indnkeyatts = 1
   AND c.relkind = 'r' AND NOT c.relrowsecurity
   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h
                    WHERE h.inhrelid = c.oid OR h.inhparent = c.oid)
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype)
 WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
UNION ALL
SELECT 'reference', c.oid::bigint, 0, c.relname::text,
       CASE a.atttypid WHEN 'uuid'::regtype THEN 'uuid' ELSE 'integer' END, a.attname::text
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relkind = 'r'
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype)
 WHERE k.contype = 'f' AND c.oid >= 16384 AND c.relpersistence <> 't'
UNION ALL
SELECT 'columns', c.oid::bigint, 0, c.relname::text, '', json_agg(a.attname)::text
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_attribute a
    ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 WHERE c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence <> 't'
 GROUP BY c.oid, c.relname
UNION ALL
SELECT 'routine', p.oid::bigint, 0, p.proname::text,
       CASE WHEN p.prosqlbody IS NULL THEN l.lanname::text ELSE 'tree' END,
       coalesce(p.prosqlbody::text, p.prosrc)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE p.oid >= 16384 AND p.provolatile = 'v' AND p.prokind IN ('f', 'p')
"""

_NAMES = """
SELECT 'relation', c.oid::bigint, c.relname::text, '', false
  FROM pg_catalog.pg_class c WHERE c.oid = ANY ({relations}::oid[])
UNION ALL
SELECT 'function', p.oid::bigint, p.proname::text, p.provolatile::text,
       p.pronamespace = 'pg_catalog'::regnamespace
  FROM pg_catalog.pg_proc p WHERE p.oid = ANY ({functions}::oid[])
"""

_RULES = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_RULE_EVENTS = {"2": UPDATE, "3": INSERT, "4": DELETE}
_TRIGGER_EVENTS = {4: INSERT, 8: DELETE, 16: UPDATE, 32: DELETE}  # 32 is TRUNCATE

#: Trigger functions of contrib modules that change nothing but the row itself.
_OF_THE_ROW = frozenset(("autoinc", "insert_username", "moddatetime", "lo_manage"))

#: What policies ask of a session is part of every key: its user, and what it has SET.
_KEYED = frozenset(("current_setting", "current_user", "session_user", "user", "current_role"))


def read(cursor: Any, database: str) -> Facts:
    """Read the catalogue of the database that a driver's cursor is connected to."""
    cursor.execute(_FACTS)
    found: dict[str, list[_Row]] = defaultdict(list)
    for what, *row in cursor.fetchall():
        found[what].append(_Row(*row))
    return _Reading(found, _Names(cursor, found)).facts()


@dataclass
class _Row:
    """One fact as `_FACTS` gives it."""

    oid: int
    other: int
    name: str
    how: str
    text: str

    @cached_property
    def tree(self) -> Tree:
        return read_tree(self.text)


class _Names:
    """What the OIDs stand for."""

    def __init__(self, cursor: Any, found: dict[str, list[_Row]]) -> None:
        trees = [row.tree for what in ("rule", "policy", "trigger") for row in found[what]]
        trees += [row.tree for row in found["routine"] if row.how == "tree"]
        relations = {oid for tree in trees for oid in tree.relations}
        named = ("routine", "sequence", "table", "reference", "columns")
        relations |= {row.oid for what, rows in found.items() if what not in named for row in rows}
        relations |= {row.other for what in ("key", "child") for row in found[what]}
        functions = {oid for tree in trees for oid in tree.functions}
        functions |= {row.other for what in ("trigger", "default") for row in found[what]}
        self.relations: dict[int, str] = {}
        self.functions: dict[int, str] = {}
        #: Functions by OID whose results depend on their arguments alone.
        self.pure: set[int] = set()
        if not relations | functions:
            return
        arrays = {
            name: "'{" + ",".join(map(str, sorted(oids))) + "}'"
            for name, oids in (("relations", relations), ("functions", functions))
        }
        cursor.execute(_NAMES.format(**arrays))
        for what, oid, name, kind, built_in in cursor.fetchall():
            if what == "relation":
                self.relations[oid] = table_name(name)
            else:
                self.functions[oid] = table_name(name)
                if self._is_pure(table_name(name), kind, built_in):
                    self.pure.add(oid)

    @staticmethod
    def _is_pure(name: str, kind: str, built_in: bool) -> bool:
        return name not in VOLATILE and (
            (built_in and name in PURE)
            or postgresql_purity(name, [(kind, built_in)]) is Purity.PURE
        )

    def tables(self, oids: Iterable[int]) -> frozenset[str]:
        return frozenset(self.relations[oid] for oid in oids if oid in self.relations)

    def called(self, tree: Tree) -> frozenset[str]:
        return frozenset(self.functions.get(oid, "?") for oid in tree.functions)

    def impure(self, tree: Tree) -> frozenset[str]:
        names = {self.functions.get(oid, "?") for oid in tree.functions - self.pure}
        return frozenset(names | ({"now"} if tree.clock else set()))


class _Reading:
    """Turns rows of the catalogue into facts."""

    def __init__(self, found: dict[str, list[_Row]], names: _Names) -> None:
        self._found = found
        self._names = names
        self._facts = Facts()

    def facts(self) -> Facts:
        for what in (
            *("rule", "materialized", "sequence", "trigger", "key"),
            *("foreign", "policy", "default", "routine"),
        ):
            note = getattr(self, f"_{what}")
            for row in self._found[what]:
                note(row)
        self._families()
        self._facts.add_primary_keys(
            (row.oid, table_name(row.name), row.text or None, row.how)
            for row in self._found["table"]
        )
        self._facts.add_references(
            (table_name(row.name), row.text, row.how) for row in self._found["reference"]
        )
        self._facts.add_columns(
            (row.oid, table_name(row.name), column)
            for row in self._found["columns"]
            for column in json.loads(row.text)
        )
        return self._facts

    def _name(self, oid: int) -> str:
        return self._names.relations.get(oid, "")

    def _rule(self, row: _Row) -> None:
        tree = row.tree
        view = self._name(row.oid)
        relations = self._names.tables(tree.relations)
        if row.how == "v1":
            functions = self._names.impure(tree) | ({"current_user"} if tree.session else set())
            self._facts.add_view(view, Relation("view", relations - {view}, functions))
            return
        event = _RULE_EVENTS[row.how[1]]
        changes = all_events(relations - {view}) if tree.writes else frozenset()
        if tree.writes:
            changes |= {(view, STAMP)}
        code = Code(changes, self._names.called(tree))
        self._facts.actions[view].append(Action("rule", row.name, frozenset({event}), code))

    def _materialized(self, row: _Row) -> None:
        self._facts.relations[self._name(row.oid)].append(Relation("materialized view"))

    def _sequence(self, row: _Row) -> None:
        self._facts.add_sequence(table_name(row.name))

    def _trigger(self, row: _Row) -> None:
        events = frozenset(event for bit, event in _TRIGGER_EVENTS.items() if int(row.how) & bit)
        calls = self._names.called(row.tree)
        called = self._names.functions.get(row.other, "?")
        if called not in _OF_THE_ROW:
            calls |= {called}
        code = Code(calls=calls)
        self._facts.actions[self._name(row.oid)].append(Action("trigger", row.name, events, code))

    def _key(self, row: _Row) -> None:
        on_delete, on_update = (_RULES.get(letter, "") for letter in row.how)
        parent, child = self._name(row.oid), self._name(row.other)
        self._facts.add_key(row.name, parent, child, (on_delete, on_update))

    def _foreign(self, row: _Row) -> None:
        table, remote = self._name(row.oid), row.text
        self._facts.relations[table].append(
            Relation("foreign table", unknown="its rows are another server's")
        )
        # That server may be this one.
        code = Code(all_events({table_name(remote) or table}))
        self._facts.actions[table].append(Action("foreign table", table, EVENTS, code))

    def _policy(self, row: _Row) -> None:
        tree = row.tree
        table = self._name(row.oid)
        functions = self._names.impure(tree) - _KEYED
        reads = self._names.tables(tree.relations) - {table}
        if reads or functions:
            self._facts.relations[table].append(
                Relation("table with row-level security", reads, functions)
            )

    def _default(self, row: _Row) -> None:
        function = self._names.functions.get(row.other, "?")
        if function in VOLATILE | PURE:
            return
        code = Code(calls=frozenset({function}))
        action = Action("default", function, frozenset({INSERT, UPDATE}), code)
        self._facts.actions[self._name(row.oid)].append(action)

    def _routine(self, row: _Row) -> None:
        name = table_name(row.name)
        if row.how == "tree":
            tree = row.tree
            changes = all_events(self._names.tables(tree.relations)) if tree.writes else frozenset()
            code = Code(changes, self._names.called(tree))
        elif row.how in ("sql", "plpgsql"):
            code = read_body(row.text, "postgresql")
        elif name in VOLATILE | PURE | _OF_THE_ROW:
            return
        else:
            code = Code(unknown=f"it is written in {row.how}")
        self._facts.routines[name].append(code)

    def _families(self) -> None:
        """Note what partitions and inheriting tables mean for their parents, and the reverse.

        A write to a child counts for its ancestors too, and a read of a child depends on them: so
        a parent with many children needs no more than its own stamp.
        """
        parents: dict[str, set[str]] = defaultdict(set)
        for row in self._found["child"]:
            child, parent = self._name(row.oid), self._name(row.other)
            if child != parent:
                parents[child].add(parent)
        actions = self._facts.actions
        inherited: dict[str, set[Action]] = defaultdict(set)
        for child in parents:
            ancestors = _above(child, parents)
            for ancestor in ancestors:
                # Rows may be moved between partitions: any event of the parent is any of a child.
                inherited[ancestor] |= {
                    Action(action.kind, action.name, EVENTS, action.code)
                    for action in actions.get(child, ())
                }
            self._facts.relations[child].append(Relation("partition", frozenset(ancestors)))
        for child in parents:
            above = frozenset((ancestor, STAMP) for ancestor in _above(child, parents))
            actions[child].append(Action("partition", child, EVENTS, Code(above)))
        for parent, more in inherited.items():
            actions[parent].extend(sorted(more, key=lambda action: (action.kind, action.name)))


def _above(table: str, parents: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [table]
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found - {table}

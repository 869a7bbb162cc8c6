"""SQLite's catalogue: the texts in sqlite_master, and its foreign keys."""

from __future__ import annotations

import re
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
from querycache.rawsql import Kind, analyse, table_name
from querycache.rows import INTEGER, UUID
from querycache.sqltokens import NUMBER, QUOTED, STRING, WORD, tokenise

_OBJECTS = "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE sql IS NOT NULL"
_KEYS = """
SELECT k."table", m.name, k.on_delete, k.on_update
  FROM main.sqlite_master m, pragma_foreign_key_list(m.name) k
 WHERE m.type = 'table'
"""

_PRIMARY_KEYS = """
SELECT m.name, c.name, coalesce(c.type, '')
  FROM main.sqlite_master m
  LEFT JOIN pragma_table_info(m.name) c
    ON c.pk > 0 AND m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%'
 WHERE m.type IN ('table', 'view')
"""

_REFERENCES = """
SELECT m.name, c.name, coalesce(c.type, '')
  FROM main.sqlite_master m, pragma_foreign_key_list(m.name) k, pragma_table_info(m.name) c
 WHERE m.type = 'table' AND c.name = k."from" COLLATE NOCASE
"""

# Hidden are generated columns and those of virtual tables: pragma.html#pragma_table_xinfo.
_COLUMNS = """
SELECT m.name, c.name
  FROM main.sqlite_master m, pragma_table_xinfo(m.name) c
 WHERE m.type = 'table' AND c.hidden = 0 AND m.sql NOT LIKE 'CREATE VIRTUAL%'
"""

#: Modules of virtual tables whose rows come from tables of the same database.
_MODULES = frozenset(
    "fts3 fts4 fts5 fts3aux fts4aux fts5vocab fts3tokenize rtree rtree_i32 geopoly".split()  # noqa: SIM905
)
#: What is in the text of a table that is more than a table; most have neither word.
_UNUSUAL = re.compile("virtual|replace", re.IGNORECASE)
_EVENT_WORDS = {"insert": INSERT, "update": UPDATE, "delete": DELETE}


def read(cursor: Any, database: str) -> Facts:
    """Read the catalogue of the database that a driver's cursor is connected to."""
    cursor.execute(_OBJECTS)
    objects = cursor.fetchall()
    facts = Facts()
    tables = {table_name(name) for kind, name, _, _ in objects if kind == "table"}
    replacing = set()
    for kind, name, table, sql in objects:
        if kind == "view":
            facts.add_view(table_name(name), _view(sql))
        elif kind == "trigger":
            facts.actions[table_name(table)].append(_trigger(name, sql))
        elif kind == "table" and _UNUSUAL.search(sql):
            words = _words(sql)
            if words[:3] == ["create", "virtual", "table"]:
                _note_virtual(facts, table_name(name), words, tables)
            elif ["on", "conflict", "replace"] in [words[i : i + 3] for i in range(len(words))]:
                replacing.add(table_name(name))
    cursor.execute(_KEYS)
    for parent, child, *rules in cursor.fetchall():
        name = f"{child} → {parent}"
        facts.add_key(name, table_name(parent), table_name(child), (rules[0], rules[1]))
    cursor.execute(_PRIMARY_KEYS)
    facts.add_primary_keys(
        (name, table_name(name), column, _kind(declared.casefold()))
        for name, column, declared in cursor.fetchall()
    )
    cursor.execute(_REFERENCES)
    facts.add_references(
        (table_name(name), column, _kind(declared.casefold()))
        for name, column, declared in cursor.fetchall()
    )
    cursor.execute(_COLUMNS)
    facts.add_columns((name, table_name(name), column) for name, column in cursor.fetchall())
    for table in replacing:
        # Rows go that no DELETE names.
        code = Code(frozenset({(table, DELETE)}))
        facts.actions[table].append(
            Action("conflict clause", table, frozenset({INSERT, UPDATE}), code)
        )
    return facts


def _kind(declared: str) -> str:
    # With INT in its type a column keeps no text that is a number: datatype3.html of its manual.
    return INTEGER if "int" in declared else UUID if declared == "char(32)" else ""


def _words(sql: str) -> list[str]:
    tokens = tokenise(sql, "sqlite")
    return [
        text.strip("'\"").casefold()
        for kind, text in zip(tokens.kinds, tokens.texts, strict=True)
        if kind in (WORD, QUOTED, STRING, NUMBER)
    ]


def _view(sql: str) -> Relation:
    statements = analyse(sql, "sqlite")
    if len(statements) != 1 or statements[0].kind is not Kind.DDL or statements[0].everything:
        return Relation("view", unknown="its text cannot be read")
    return Relation("view", statements[0].reads, statements[0].functions)


def _trigger(name: str, sql: str) -> Action:
    """Read CREATE TRIGGER … BEFORE|AFTER|INSTEAD OF event ON table … BEGIN … END."""
    words = _words(sql)
    # The name comes first, and may be any word.
    head = words[: words.index("begin") if "begin" in words else len(words)]
    events = frozenset(_EVENT_WORDS[word] for word in head if word in _EVENT_WORDS)
    body = read_body(sql, "sqlite", head=True)
    # An outer OR REPLACE holds for the trigger's statements too.
    code = Code(all_events({table for table, _ in body.changes}), body.calls, body.unknown)
    return Action("trigger", name, events or EVENTS, code)


def _note_virtual(facts: Facts, table: str, words: list[str], tables: set[str]) -> None:
    module = words[words.index("using") + 1] if "using" in words else ""
    if module not in _MODULES:
        facts.relations[table].append(
            Relation("virtual table", unknown=f"its module {module} may read anything")
        )
        return
    shadows = {name for name in tables if name.startswith(f"{table}_")}
    named = {word for word in words[words.index("using") + 1 :] if word in tables}
    reads = frozenset((shadows | named) - {table})
    facts.relations[table].append(Relation("virtual table", reads))
    code = Code(frozenset((name, STAMP) for name in shadows))
    facts.actions[table].append(Action("virtual table", table, EVENTS, code))

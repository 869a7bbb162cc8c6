"""What MariaDB and MySQL say of themselves in information_schema.

They show a user only what it has rights to. A view, trigger or routine whose text is not shown
cannot be told. MySQL, and MariaDB before 10.11, show no trigger at all to a user without the
privilege TRIGGER: then none is known to be absent.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from querycache.catalogue.bodies import read_body
from querycache.catalogue.facts import DELETE, EVENTS, INSERT, UPDATE, Action, Code, Facts, Relation
from querycache.keys import ELSEWHERE
from querycache.rawsql import Kind, analyse, table_name
from querycache.rows import INTEGER, UUID

#: Storage engines whose rows are kept, or made, somewhere else.
_ELSEWHERE = (
    "FEDERATED",
    "CONNECT",
    "SPIDER",
    "S3",
    "OQGRAPH",
    "MRG_MYISAM",
    "SPHINX",
    "CASSANDRA",
)

# Each asks one view, with the schema as a constant: joins of them look at a table's files for every
# row of another, which takes seconds where there are a thousand tables.
_TABLES = """
SELECT table_name, table_type, engine FROM information_schema.tables WHERE table_schema = DATABASE()
"""
_ENGINES = """
SELECT engine, transactions FROM information_schema.engines
"""
_VIEWS = """
SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()
"""
_TRIGGERS = """
SELECT trigger_name, event_manipulation, event_object_table, action_statement
  FROM information_schema.triggers WHERE event_object_schema = DATABASE()
"""
_KEYS = """
SELECT constraint_name, referenced_table_name, table_name, constraint_schema, DATABASE(),
       delete_rule, update_rule
  FROM information_schema.referential_constraints
 WHERE unique_constraint_schema = DATABASE()
   AND (delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
        OR update_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))
"""
_ROUTINES = """
SELECT routine_name, routine_definition FROM information_schema.routines
 WHERE routine_schema = DATABASE()
"""
_KEY_COLUMNS = """
SELECT table_name, column_name, constraint_name = 'PRIMARY', referenced_table_name IS NOT NULL
  FROM information_schema.key_column_usage
 WHERE table_schema = DATABASE()
   AND (constraint_name = 'PRIMARY' OR referenced_table_name IS NOT NULL)
"""
_COLUMNS = """
SELECT table_name, column_name, data_type, column_type, extra
  FROM information_schema.columns WHERE table_schema = DATABASE()
"""
_MAY_SEE_TRIGGERS = """
SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER'
UNION ALL
SELECT 1 FROM information_schema.schema_privileges
 WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema
"""

#: Lists the triggers of a table without their texts to users who lack the privilege TRIGGER.
_SHOWS_HIDDEN = (10, 11)

_INTEGERS = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))

#: What is said of columns that hold what statements put there; others are generated, or say when
#: their row was changed.
_PLAIN = frozenset(("auto_increment", "invisible"))

_SMALL = _INTEGERS - {"int", "bigint"}

_EVENTS = {"INSERT": INSERT, "UPDATE": UPDATE, "DELETE": DELETE}


def read(cursor: Any, database: str) -> Facts:
    """Read the catalogue of the database that a driver's cursor is connected to."""
    facts = Facts()
    tables = _rows(cursor, _TABLES)
    _read_tables(facts, tables, dict(_rows(cursor, _ENGINES)))
    for name, text in _rows(cursor, _VIEWS):
        facts.add_view(table_name(name), _view(text, database))
    triggers = _rows(cursor, _TRIGGERS)
    for name, event, table, text in triggers:
        # MariaDB 12 names several: INSERT,UPDATE.
        events = frozenset(_EVENTS[word] for word in event.replace(" ", "").split(","))
        action = Action("trigger", name, events, _code(text, database))
        facts.actions[table_name(table)].append(action)
    if not (triggers or _shows_hidden_triggers(cursor) or _rows(cursor, _MAY_SEE_TRIGGERS)):
        facts.blind = "this user lacks the privilege TRIGGER, without which no trigger can be seen"
    for name, parent, child, schema, here, *rules in _rows(cursor, _KEYS):
        child = table_name(child)
        if schema.casefold() != here.casefold():
            child = f"{ELSEWHERE}{schema.casefold()}{ELSEWHERE}{child}"
        facts.add_key(name, table_name(parent), child, (rules[0], rules[1]))
    for name, text in _rows(cursor, _ROUTINES):
        facts.routines[table_name(name)].append(_code(text, database))
    columns = _rows(cursor, _COLUMNS)
    _read_keys(facts, tables, _rows(cursor, _KEY_COLUMNS), columns)
    facts.add_columns(
        (table, table_name(table), column)
        for table, column, _, _, extra in columns
        if _PLAIN.issuperset(extra.casefold().split())
    )
    return facts


def _kind(kind: str, declared: str) -> str:
    if kind in _INTEGERS:
        return INTEGER
    return UUID if "uuid" in (kind, declared) or declared == "char(32)" else ""


def _code(text: str | None, database: str) -> Code:
    if not text:
        return Code(unknown="its text is not shown to this user")
    return read_body(text, "mysql", database)


def _shows_hidden_triggers(cursor: Any) -> bool:
    ((version,),) = _rows(cursor, "SELECT VERSION()")
    number = re.match(r"(\d+)\.(\d+)", version)
    return (
        "MariaDB" in version
        and number is not None
        and (int(number[1]), int(number[2])) >= _SHOWS_HIDDEN
    )


def _rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return [tuple(map(_text, row)) for row in cursor.fetchall()]


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _read_tables(facts: Facts, rows: list[tuple[Any, ...]], engines: dict[str, str | None]) -> None:
    untransacted = set()
    for name, kind, engine in rows:
        if kind == "VIEW":
            continue
        table = table_name(name)
        if kind == "SEQUENCE":
            facts.add_sequence(table)
        elif (engine or "").upper() in _ELSEWHERE:
            facts.relations[table].append(
                Relation("foreign table", unknown=f"its engine {engine} keeps rows elsewhere")
            )
            code = Code(unknown=f"its engine {engine} hands writes on")
            facts.actions[table].append(Action("foreign table", table, EVENTS, code))
        if engines.get(engine) != "YES":
            untransacted.add(table)
    facts.untransacted = frozenset(untransacted)


def _read_keys(
    facts: Facts,
    tables: list[tuple[Any, ...]],
    keys: list[tuple[Any, ...]],
    columns: list[tuple[Any, ...]],
) -> None:
    """Note the columns of primary and foreign keys.

    Args:
        facts: what they are added to.
        tables: rows of `_TABLES`.
        keys: rows of `_KEY_COLUMNS`.
        columns: rows of `_COLUMNS`.
    """
    described = {(table, column.casefold()): rest for table, column, *rest in columns}
    primary: dict[str, list[str]] = defaultdict(list)
    references = []
    for table, column, is_primary, refers in keys:
        if is_primary:
            primary[table].append(column)
        if refers:
            kind, declared, extra = described.get((table, column.casefold()), ("", "", ""))
            # Smaller integers may be cut to what the column can hold, and 0 may become a number.
            counts = "auto_increment" in extra.casefold()
            known = "" if kind in _SMALL or counts else _kind(kind, declared)
            references.append((table_name(table), column, known))
    facts.add_references(references)
    found: list[tuple[str, str, str | None, str]] = []
    for table, type_, engine in tables:
        its: list[str | None] = [None]
        if type_ == "BASE TABLE" and engine == "InnoDB" and table in primary:
            its = [*primary[table]]
        for column in its:
            kind, declared, _ = described.get((table, (column or "").casefold()), ("", "", ""))
            found.append((table, table_name(table), column, _kind(kind, declared)))
    facts.add_primary_keys(found)


def _view(text: str, database: str) -> Relation:
    if not text:
        return Relation("view", unknown="its text is not shown without the privilege SHOW VIEW")
    statements = analyse(text, "mysql")
    if len(statements) != 1 or statements[0].kind is not Kind.READ:
        return Relation("view", unknown="its text cannot be read")
    statement = statements[0]
    others = statement.qualifiers - {database.casefold()}
    if others:
        return Relation(
            "view",
            statement.reads,
            unknown=f"it reads another database ({', '.join(sorted(others))})",
        )
    return Relation("view", statement.reads, statement.functions)

"""The words of SQL that mean something to the analysis, by dialect family."""

from __future__ import annotations

import re
from dataclasses import dataclass


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


#: What a parenthesis that is a statement of its own begins with.
STARTERS = words("select with values table insert update delete merge replace")

#: Words behind a table that are not its alias.
AFTER_TABLE = words(
    "where group order having limit union except intersect minus join inner left"
    " right full cross natural straight_join on using set values select tablesample"
    " use force ignore partition for window fetch offset returning with indexed not"
    " default when as outer lock into procedure from overriding"
)

#: Words that end the list of tables, because they are reserved in the dialect. A word that can
#: also be a column must not be here: the comma behind it may bring another table.
_ENDS = words("where group having order union except intersect into")
_ENDS_BY_FAMILY = {
    "postgresql": _ENDS | words("limit offset fetch window for returning when"),
    "mysql": _ENDS | words("limit for set procedure lock fetch values returning"),
    "sqlite": _ENDS | frozenset(["limit", "set", "values", "returning"]),
    "other": _ENDS | frozenset(["for", "set", "values", "when"]),
}

#: Reserved words that a parenthesis may follow without being called.
_NOT_CALLED = words(
    "and or not in exists case when then else between like is null distinct select"
    " from where group having order by union except intersect all on using as join"
    " values set into returning limit cast with table update delete default check"
    " unique references collate"
)
_NOT_CALLED_BY_FAMILY = {
    "postgresql": _NOT_CALLED
    | words(
        "any some array row lateral only similar ilike offset fetch window for to"
        " variadic asymmetric symmetric insert interval"
    )
    | words(
        "bit boolean char character dec decimal float int integer bigint smallint real"
        " nchar national numeric varchar time timestamp precision varying"
    ),
    "mysql": _NOT_CALLED
    | words(
        "any some row lateral for rlike regexp div xor key index partition interval"
        " against unsigned signed fetch window to separator binary varbinary decimal"
        " numeric dec varchar character nchar float double int integer bigint smallint"
        " tinyint mediumint real"
    ),
    "sqlite": _NOT_CALLED | words("insert glob regexp match escape isnull notnull"),
    "other": _NOT_CALLED
    | words(
        "any some array row lateral only similar offset fetch for to insert interval"
        " varchar decimal numeric character nchar float double int integer bigint smallint"
        " real"
    ),
}

#: Words that call something without a parenthesis.
_CLOCK = frozenset(["current_timestamp", "current_date", "current_time"])
_WHO = frozenset(["localtime", "localtimestamp", "current_user", "session_user", "current_role"])
_CALLED_BARE_BY_FAMILY = {
    "postgresql": _CLOCK
    | _WHO
    | frozenset(["user", "current_catalog", "current_schema", "system_user"]),
    "mysql": _CLOCK | _WHO | frozenset(["utc_date", "utc_time", "utc_timestamp", "sysdate"]),
    "sqlite": _CLOCK,
    "other": _CLOCK
    | _WHO
    | words(
        "user current_catalog current_schema system_user sysdate systimestamp utc_date"
        " utc_time utc_timestamp"
    ),
}

#: Strings that are read as a time that moves, wherever the word stands in them.
_CLOCK_STRINGS_BY_FAMILY = {
    "postgresql": re.compile(r"(?<!\w)(?:now|today|tomorrow|yesterday)(?!\w)", re.IGNORECASE),
    "sqlite": re.compile(r"(?<!\w)now(?!\w)", re.IGNORECASE),
    "mysql": None,
    "other": re.compile(r"(?<!\w)(?:now|today|tomorrow|yesterday)(?!\w)", re.IGNORECASE),
}

#: Second words of a type's name that may carry its modifier.
TYPE_WORDS = words("varying char character precision unsigned signed integer int large object")

#: SQLite's table functions that are no tables.
TABLE_FUNCTIONS = frozenset(
    ["json_each", "json_tree", "jsonb_each", "jsonb_tree", "generate_series"]
)

#: Words that would begin another statement where statements need no semicolon between them.
ANOTHER_STATEMENT = words(
    "insert update delete merge exec execute truncate drop alter create begin commit"
    " rollback save call grant revoke declare use"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the words of one family mean.

    Args:
        family: ``"postgresql"``, ``"mysql"``, ``"sqlite"`` or ``"other"``.
        ends: words that end a list of tables.
        not_called: words before a parenthesis that are not functions.
        called_bare: words that are functions without a parenthesis.
        clock_strings: what strings hold that are read as a time that moves.
    """

    family: str
    ends: frozenset[str]
    not_called: frozenset[str]
    called_bare: frozenset[str]
    clock_strings: re.Pattern[str] | None


DIALECTS = {
    family: Dialect(
        family,
        _ENDS_BY_FAMILY[family],
        _NOT_CALLED_BY_FAMILY[family],
        _CALLED_BARE_BY_FAMILY[family],
        _CLOCK_STRINGS_BY_FAMILY[family],
    )
    for family in ("postgresql", "mysql", "sqlite", "other")
}

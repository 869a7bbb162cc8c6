"""PostgreSQL's parse trees (`pg_node_tree`), as far as they name relations and functions.

The functions that write them out as SQL lock every relation that they name until the end of the
transaction; the tree itself is read without. It names by OID, so overloads are told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RELATION = re.compile(r":relid (\d+)")
_FUNCTION = re.compile(r":(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)")
_COMMAND = re.compile(r"{QUERY :commandType (\d)")
#: CURRENT_DATE and the other clocks have the numbers up to 8 (`SQLValueFunctionOp` in primnodes.h).
_VALUE = re.compile(r"{SQLVALUEFUNCTION :op (\d+)")
#: A constant text that is read as a date or time each time anew: it may say 'now'.
_READ_AS_TIME = re.compile(
    r"{COERCEVIAIO :arg (?:{RELABELTYPE :arg )?{CONST [^}]*}[^{}]*}?[^{}]*"
    r":resulttype (?:1082|1083|1114|1184|1266) "
)
_LAST_CLOCK = 8
_SELECT = "1"


@dataclass(frozen=True, slots=True)
class Tree:
    """What a parse tree names.

    Args:
        relations: OIDs of tables and views.
        functions: OIDs of functions, those behind operators and aggregates included.
        writes: whether one of its statements is other than SELECT.
        clock: whether it asks the time, or draws at random which rows it reads.
        session: whether it asks who or where the session is.
    """

    relations: frozenset[int]
    functions: frozenset[int]
    writes: bool
    clock: bool
    session: bool


def read_tree(text: str) -> Tree:
    """Read a parse tree in its text form; several may be joined."""
    commands = set(_COMMAND.findall(text))
    values = {int(number) for number in _VALUE.findall(text)}
    return Tree(
        frozenset(int(oid) for oid in _RELATION.findall(text) if oid != "0"),
        frozenset(int(oid) for oid in _FUNCTION.findall(text) if oid != "0"),
        writes=bool(commands - {_SELECT}),
        clock=any(number <= _LAST_CLOCK for number in values)
        or "{TABLESAMPLECLAUSE" in text
        or _READ_AS_TIME.search(text) is not None,
        session=any(number > _LAST_CLOCK for number in values),
    )

"""What the analysis of a statement says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

Scope = Literal["local", "session", "transaction"]
_NONE: frozenset[str] = frozenset()


class Kind(Enum):
    """What a statement does."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    ROLLBACK_TO = "rollback to"
    RELEASE = "release"
    SESSION = "session"
    #: Has triggers and constraints run now that wait for the end of the transaction.
    CONSTRAINTS = "constraints"
    HARMLESS = "harmless"
    UNKNOWN = "unknown"


class Setting(NamedTuple):
    """What a SESSION statement sets.

    Args:
        scope: how long it holds: ``"local"`` to the end of the transaction, ``"transaction"`` for
            this or the next one, ``"session"`` for the connection (or longer).
        name: of the setting, lower case; several are joined by commas.
        text: the whole statement, white space and case of words made equal. Placeholders stand as
            they are: two statements with the same text and different parameters differ.
    """

    scope: Scope
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, as far as its text tells; when in doubt it says more than is true.

    All table names are those of `table_name`.

    Args:
        kind: what it does. After UNKNOWN nothing that is cached can be trusted.
        reads: tables in FROM, JOIN, USING and TABLE positions at any depth; the target of a write
            is not among them unless it also stands there.
        writes: tables whose rows or shape may change.
        everything: whether any table may have been written.
        inserts: those of `writes` that rows may be added to.
        deletes: those of `writes` that rows may vanish from.
        updates: those of `writes` whose rows may change in place, keys too.
        temporary: temporary tables and views that it creates.
        functions: what it calls, last component, casefolded; special values without parentheses
            (``current_timestamp``), variables of MySQL (``@@name``, ``@name``), and ``now`` for
            the strings that are read as a clock (PostgreSQL's ``'today'``, SQLite's ``'now'``).
        qualifiers: schemas and databases that tables or functions are qualified with, casefolded.
        calls: the procedure or prepared statement that it runs.
        locking: whether it is a SELECT that locks rows.
        savepoint: the savepoint's name, casefolded, for the three kinds of savepoint statements.
        setting: what a SESSION statement sets.
        isolation: whether it may change the isolation level.
        autocommit: what MySQL's SET autocommit sets.
        chain: whether a COMMIT or ROLLBACK begins the next transaction at once (AND CHAIN).
        refreshes: whether it only makes a materialized view say again what its query says.
        commits: whether it commits the open transaction unasked (MySQL's and Oracle's DDL).
    """

    kind: Kind
    reads: frozenset[str] = _NONE
    writes: frozenset[str] = _NONE
    everything: bool = False
    inserts: frozenset[str] = _NONE
    deletes: frozenset[str] = _NONE
    updates: frozenset[str] = _NONE
    temporary: frozenset[str] = _NONE
    functions: frozenset[str] = _NONE
    qualifiers: frozenset[str] = _NONE
    calls: str | None = None
    locking: bool = False
    savepoint: str | None = None
    setting: Setting | None = None
    isolation: bool = False
    autocommit: bool | None = None
    chain: bool = False
    refreshes: bool = False
    commits: bool = False


UNKNOWN = Statement(Kind.UNKNOWN, everything=True)

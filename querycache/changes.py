"""What a statement changes and what a result depends on: the names of stamps.

A table has a stamp of its own name, one for new rows (`NEW`), and what depends on it as a whole
depends on both. Besides, it has

- one that changes with every write which is not known to be about certain rows alone (`ALL`),
- a fixed number of buckets: the rows whose primary keys fall into one share its stamp,
- as many for each of its references (columns with a foreign key): those of new rows alone,
- one for each of its columns, and one for all of them (`ANY`): those of certain rows alone.

A result that is made of certain rows, and has every one of them, depends on `ALL` and on their
buckets. One that lacks a row depends on `NEW` as well, since nobody knows the key of a new row
before it is there. A result that is made of the rows with a reference to certain others depends on
the table's own stamp, and on those references' buckets: a new row is another's business where the
statement that makes it says what it refers to. A result whose query names a few columns alone
depends on `ALL`, `NEW`, `ANY` and those columns: what a statement puts into others is no matter.
`docs/explanation/protocol.md` says why that is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from querycache.keys import ELSEWHERE, EVERYTHING

#: Rows of one statement, and of one table in a transaction, that are told apart.
MOST_ROWS = 8

# No table's name holds it, and only names of other databases' tables begin with it (`ELSEWHERE`).
_OF = "\0"
ALL = f"{_OF}*"
NEW = f"{_OF}+"
#: New rows whose references are all known, each a change as well.
REFERRED = f"{_OF}-"

#: Certain rows that are gone, or have changed in columns that nobody knows.
ANY = f"{_OF}{_OF}"

#: References of one table that are told apart; each costs new rows a stamp.
MOST_REFERENCES = 4

#: Columns of one table, in one statement, that are told apart; each costs the statement a stamp.
MOST_COLUMNS = 4

#: Columns of one table that a result may depend on instead of the table; each is a stamp to read.
MOST_NAMED = 6


def table_of(change: str) -> str:
    """Return the table of a change: of all its rows, of some, or of new ones."""
    return change if change.startswith(ELSEWHERE) else change.partition(_OF)[0]


def row_of(table: str, bucket: int) -> str:
    """Return what stands for the rows of a bucket, as a change and as a dependency."""
    return f"{table}{_OF}{bucket}"


def reference_of(table: str, column: str, bucket: int) -> str:
    """Return what stands for new rows that refer to those of a bucket."""
    return f"{table}{_OF}{column}={bucket}"


def column_of(table: str, column: str) -> str:
    """Return what stands for a column of certain rows, as a change and as a dependency."""
    return f"{table}{ANY}{column.casefold()}"


def dependencies_of(change: str) -> tuple[str, ...]:
    """Return the dependencies whose stamps change with a change."""
    if change == EVERYTHING:
        return (change,)
    table = table_of(change)
    if change == f"{table}{REFERRED}":
        return (f"{table}{NEW}",)
    if _is_referred(change):
        return f"{table}{NEW}", change
    return table, (f"{table}{ALL}" if change == table else change)


def companion_of(dependency: str) -> str | None:
    """Return the dependency that every change to this one changes as well; None: there is none.

    That is its table for `ALL`, `ANY`, each column and each bucket, and `NEW` for references.

    Args:
        dependency: in the database that is spoken of, not elsewhere.
    """
    table, _, of = dependency.partition(_OF)
    if not of or f"{_OF}{of}" == NEW:
        return None
    return f"{table}{NEW}" if "=" in of and not of.startswith(_OF) else table


def dependencies_on(table: str, columns: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return what a result that may be made of any rows of a table depends on.

    Args:
        table: the table.
        columns: the only ones that the query names; None: any.
    """
    if table == EVERYTHING:
        return (table,)
    if columns is None:
        return table, f"{table}{NEW}"
    named = sorted({column_of(table, column) for column in columns})
    return f"{table}{ALL}", f"{table}{NEW}", f"{table}{ANY}", *named


def described(dependency: str) -> str:
    """Say for people what a dependency stands for."""
    table, _, of = dependency.partition(_OF)
    if dependency == EVERYTHING:
        return "the database as a whole"
    if not of:
        return table
    if of.startswith(_OF):
        return f"the column {of[1:]} of {table}" if of[1:] else f"any row of {table}"
    if "=" in of:
        return f"new rows of {table} by {of.rpartition('=')[0]}"
    rest = {ALL: f"{table} as a whole", NEW: f"new rows of {table}"}
    return rest.get(f"{_OF}{of}", f"the row of {table}")


def _is_column(change: str) -> bool:
    return not change.startswith(ELSEWHERE) and change.partition(_OF)[2].startswith(_OF)


def _is_referred(change: str) -> bool:
    of = "" if change.startswith(ELSEWHERE) else change.partition(_OF)[2]
    return ("=" in of and not of.startswith(_OF)) or f"{_OF}{of}" == REFERRED


def merged(changes: frozenset[str], more: frozenset[str]) -> frozenset[str]:
    """Return the changes of a transaction; a table of which many rows change has changed whole."""
    if more <= changes:
        return changes
    changes |= more
    if len(changes) <= MOST_ROWS:
        return changes
    wide = _crowded(filter(_is_column, changes), MOST_COLUMNS)
    changes = frozenset(
        f"{table_of(change)}{ANY}" if _is_column(change) and table_of(change) in wide else change
        for change in changes
    )
    crowded = _crowded((change for change in changes if not _is_column(change)), MOST_ROWS)
    # New rows first: who depends on rows by their keys has nothing to do with them.
    new = {change for change in changes if _is_referred(change) and table_of(change) in crowded}
    unknown = (f"{table_of(change)}{kind}" for change in new for kind in (NEW, ANY))
    changes = (changes - new).union(unknown)
    rows = (change for change in changes if not _is_column(change))
    whole = _crowded(rows, MOST_ROWS) | {table for table in crowded if table in changes}
    return whole | {change for change in changes if table_of(change) not in whole}


def _crowded(changes: Iterable[str], most: int) -> frozenset[str]:
    """Return the tables with more changes than are told apart."""
    counts = Counter(map(table_of, changes))
    return frozenset(table for table, count in counts.items() if count > most)

"""What is known of a statement from its text and of a database from its schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from querycache.catalogue import Catalogue
from querycache.functions import Purity
from querycache.keys import EVERYTHING, digest
from querycache.lists import Listing
from querycache.rawsql import Kind, Statement
from querycache.rows import Keyed, Refined, RowKeys

#: Longer ones are remembered by a digest: how long a text gets is often a visitor's choice (the
#: number of values after IN).
_LONGEST = 4000


@dataclass(slots=True, eq=False)
class Knowledge:
    """What was found out from the schema at one time.

    Args:
        catalogue: what the database does by itself.
        latest: whether it is what had been committed then, and not what a snapshot had kept.
        everything: the stamp of the whole database from before the catalogue was read: while it
            stays, nobody has changed the schema. None where that cannot be told.
        purities: of functions that were asked about since.
        own_functions: names of those that somebody has made in the database; None: nobody has asked
            yet.
    """

    catalogue: Catalogue
    latest: bool
    everything: bytes | None
    purities: dict[str, Purity] = field(default_factory=dict)
    own_functions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a SELECT from its text.

    Args:
        reason: why its results are never cached; None when they may be.
        tables: what they depend on, sorted; `EVERYTHING` comes first.
        dependencies: what a result of any rows of the tables depends on.
        stamp_keys: of these dependencies.
        digest: stands for the database, the version of Django and the text.
        ordered: whether the text has an ORDER BY.
        named: the tables and views that the text itself names.
        keyed: which rows of the only table they are made of; None: any.
        columns: the only ones that they depend on, by table; of other tables any.
        listing: what results are made of that say which rows these are; None for others.
        witness: the text that asks for the key of a row, of one that asks whether there is any.
        row_keys: of the stamps of the table's rows, where `keyed` says which.
        knowledge: of the schema, which the plan was made from.
    """

    reason: str | None
    tables: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    stamp_keys: tuple[bytes, ...] = ()
    digest: bytes = b""
    ordered: bool = False
    named: frozenset[str] = frozenset()
    keyed: Keyed | None = None
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    listing: Listing | None = field(default=None, hash=False)
    witness: str | None = None
    row_keys: RowKeys | None = field(default=None, compare=False, repr=False)
    knowledge: Knowledge | None = field(default=None, compare=False, repr=False)

    def depends(self, params: Any) -> tuple[tuple[bytes, ...], int]:
        """Return what a result depends on.

        Args:
            params: of the query.

        Returns:
            The keys of the stamps, and how many rows it has if it lacks none of those that it is
            made of: then it does not depend on the last stamp. 0 where it may be made of any rows.
        """
        found = None
        if self.keyed is not None and self.row_keys is not None:
            found = self.row_keys.of(self.keyed, params)
        return (self.stamp_keys, 0) if found is None else found


@dataclass(frozen=True, slots=True)
class Effect:
    """What running a statement (or a script of several) does besides returning rows.

    Args:
        writes: the tables it changes, with what the database changes in turn.
        control: its statements that steer transactions and sessions, in order.
        temporary: the names of temporary tables that it makes.
        ddl: whether it changes the schema.
        drops: what it drops or alters, if it does nothing else; where all of that is temporary, the
            schema that others see stays as it is.
        unclear: whether it may end the open transaction without saying so, as a procedure or a
            statement that is not understood may.
        refined: which rows of one of `writes` it changes; None: any.
    """

    writes: frozenset[str] = frozenset()
    control: tuple[Statement, ...] = ()
    temporary: frozenset[str] = frozenset()
    ddl: bool = False
    drops: frozenset[str] = frozenset()
    unclear: bool = False
    refined: Refined | None = None
    #: Whether it changes some tables and does nothing else, as nearly all statements that write.
    plain: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        more = self.control or self.temporary or self.ddl or self.drops or self.unclear
        plain = bool(self.writes) and EVERYTHING not in self.writes and not more
        object.__setattr__(self, "plain", plain)

    def changes(self, params: Any) -> frozenset[str]:
        """Return what changes when it runs with some parameters, None where they are not known."""
        return self.writes if self.refined is None else self.refined.changes(self.writes, params)

    @property
    def begins(self) -> bool:
        """Whether it begins a transaction."""
        return any(statement.kind is Kind.BEGIN for statement in self.control)

    def commits(self, written: bool, *, by_release: bool) -> bool:
        """Tell whether it may commit what is open, asked or unasked.

        Args:
            written: whether the open transaction has written anything.
            by_release: whether releasing a savepoint may be a commit.
        """
        return any(
            statement.kind is Kind.COMMIT
            or statement.commits
            or statement.autocommit is True
            # START TRANSACTION in a transaction commits it on MySQL, and is an error elsewhere.
            or (statement.kind is Kind.BEGIN and written)
            or (statement.kind is Kind.RELEASE and by_release)
            for statement in self.control
        )


def known_as(sql: str) -> str:
    """Return what a text is remembered by."""
    return sql if len(sql) <= _LONGEST else digest(sql).hex()

"""What the process knows of a database's schema, and when it must forget it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import connections

from querycache import functions, journal, keys
from querycache.catalogue import Catalogue, Facts, read_facts
from querycache.changes import companion_of, dependencies_of, dependencies_on
from querycache.functions import Purity
from querycache.identity import MemoryNames
from querycache.keys import ELSEWHERE, EVERYTHING
from querycache.memos import remember
from querycache.plans import Effect, Knowledge, Plan
from querycache.rawsql import Kind, Statement, table_name
from querycache.relations import normalised
from querycache.rows import RowKeys
from querycache.session import SETS_ANYTHING, Isolation

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.cache import QueryCache
    from querycache.transactions import Transaction

logger = logging.getLogger("querycache.catalogue")


class Schema:
    """The schema of one database, shared by all connections to it.

    Args:
        identity: names the database, see `keys.database_identity`.
        vendor: `connection.vendor`.
        name: the database's own name, which may qualify tables on MySQL.
        cache: holds the stamp that tells of changes of the schema.
    """

    def __init__(self, identity: str, vendor: str, name: str, cache: QueryCache) -> None:
        self.identity = identity
        self._vendor = vendor
        self._name = name
        self._cache = cache
        self._prefix = cache.config.namespace
        self._depends = normalised(cache.config.depends)
        self._triggers = normalised(cache.config.triggers)
        self._knowledge: Knowledge | None = None
        self._stamp_keys: dict[str, bytes] = {}
        self._row_keys: dict[str, RowKeys] = {}
        self._changed_keys: dict[frozenset[str], tuple[bytes, ...]] = {}
        #: Read by the compiler without a call: SQL (or a digest of a long one) → plan.
        self.plans: dict[str, Plan] = {}
        #: Read by cursors without a call: SQL (or its digest) → effect, None where there is none.
        self.effects: dict[str, Effect | None] = {}

    def stamp_key(self, table: str) -> bytes:
        """Return the key of the stamp of a table, or of another dependency."""
        found = self._stamp_keys.get(table)
        if found is None:
            identity, name = self.identity, table
            if table.startswith(ELSEWHERE):
                schema, _, name = table[1:].partition(ELSEWHERE)
                identity = identity.removesuffix(self._name) + schema
            companion = companion_of(name)
            found = keys.stamp_key(self._prefix, identity, companion or name)
            if companion is not None:
                found = keys.companion_key(found, name)
            remember(self._stamp_keys, table, found)
        return found

    def stamp_keys(self, changes: Iterable[str]) -> tuple[bytes, ...]:
        """Return the keys of all stamps that change with these changes, in a fixed order.

        Args:
            changes: tables of which any row may change, and what `rows.Refined` makes of them.
        """
        changes = frozenset(changes)
        known = self._changed_keys.get(changes)
        if known is None:
            found: set[str] = set()
            for change in changes:
                found.update(dependencies_of(change))
            known = tuple(map(self.stamp_key, sorted(found)))
            remember(self._changed_keys, changes, known)
        return known

    def read_keys(self, tables: Iterable[str]) -> tuple[bytes, ...]:
        """Return the keys of the stamps that results of any rows of the tables depend on."""
        return tuple(self.stamp_key(name) for table in tables for name in dependencies_on(table))

    def row_keys(self, table: str) -> RowKeys:
        """Return the keys of the stamps of a table's rows."""
        found = self._row_keys.get(table)
        if found is None:
            found = RowKeys(table, self.stamp_key)
            remember(self._row_keys, table, found)
        return found

    def schema_changed(self) -> None:
        """Forget everything that was found out from the schema."""
        self._knowledge = None
        # New ones, since what is being found out now goes into the old ones.
        self.plans = {}
        self.effects = {}

    def known(self, transaction: Transaction) -> Knowledge | None:
        """Return what the schema says, reading the catalogue where that was not done yet.

        Args:
            transaction: of a connection to the database.

        Returns:
            None when the catalogue could not be read just now, or is not what others see.
        """
        found = self._knowledge
        if transaction.changes_schema:
            return found
        if found is None:
            return self._read_catalogue(transaction)
        if not found.latest and self._sees_the_latest(transaction):
            # What was read in a snapshot need not be what others see.
            self.schema_changed()
            return self._read_catalogue(transaction)
        return found

    def remembering(self, knowledge: Knowledge) -> dict[str, Plan] | None:
        """Return where plans made from this knowledge are kept, None if it is forgotten."""
        plans = self.plans
        # Compared after the look at `plans`: they are replaced later than the knowledge is.
        return plans if self._knowledge is knowledge else None

    @property
    def _sets_anything(self) -> tuple[Statement, ...]:
        # SQLite has no settings but those of PRAGMA, which is a statement of its own.
        return () if self._vendor == "sqlite" else (SETS_ANYTHING,)

    def _may_set(self, transaction: Transaction, statement: Statement) -> bool:
        """Tell whether a statement runs what may change the session, and nobody has declared."""
        runs = statement.kind is Kind.WRITE and statement.everything and not statement.writes
        if runs or statement.kind is Kind.UNKNOWN:
            return statement.calls is None or table_name(statement.calls) not in self._depends
        called = statement.functions - self._depends.keys()
        # A view that is created calls nothing yet.
        if not called or statement.kind is Kind.DDL or self._vendor == "sqlite":
            return False
        knowledge = self.known(transaction)
        return any(
            purity_of(knowledge, transaction.connection, name) is Purity.WRITES for name in called
        )

    def _read_catalogue(self, transaction: Transaction) -> Knowledge | None:
        plans = self.plans
        # The stamp first: a change of the schema from here on changes it.
        everything = self._everything()
        latest = self._sees_the_latest(transaction)
        facts = None if latest else self._read_apart(transaction)
        if facts is not None:
            latest = True
        else:
            facts = read_facts(transaction.connection)
        if facts is None:
            return None
        catalogue = Catalogue(facts, self._depends, self._triggers)
        found = Knowledge(catalogue, latest, everything if latest else None)
        if plans is self.plans:
            self._knowledge = found
        return found

    def _read_apart(self, transaction: Transaction) -> Facts | None:
        """Read the catalogue as it is committed, which this connection may not see."""
        connection = transaction.connection
        if transaction.replica is not None:
            # What it has may be from before a change.
            connection = connections[transaction.replica.of]
        try:
            with journal.apart(connection) as other:
                if self._vendor == "sqlite":
                    # This transaction may be what locks the database.
                    other.create_cursor().execute("PRAGMA busy_timeout = 0")
                return read_facts(other)
        except journal.errors(connection) as error:
            logger.debug("no other connection to %s: %s", connection.alias, error)
            return None

    def _everything(self) -> bytes | None:
        cache = self._cache
        stamp_keys = [self.stamp_key(EVERYTHING)]
        found = cache.read_stamps(stamp_keys) if cache.up else None
        return None if found is None else cache.usable(stamp_keys, found)

    def _sees_the_latest(self, transaction: Transaction) -> bool:
        """Tell whether a catalogue that is read now is the committed one, not one from before."""
        # MySQL's information_schema takes no part in snapshots, and memory is the process's own.
        if transaction.replica is not None:
            return False
        if self._vendor == "mysql" or self.identity.startswith(MemoryNames.START):
            return True
        if transaction.open:
            return transaction.session.isolation is Isolation.READ_COMMITTED
        return transaction.session.may_store()


def purity_of(
    knowledge: Knowledge | None, connection: BaseDatabaseWrapper, name: str
) -> Purity | None:
    """Return what calling a function means, remembered as part of what is known."""
    found = None if knowledge is None else knowledge.purities.get(name)
    if found is None and name in functions.PURE and knowledge is not None:
        if knowledge.own_functions is None:
            knowledge.own_functions = functions.own_functions(connection)
        if knowledge.own_functions is not None and name not in knowledge.own_functions:
            found = Purity.PURE
    if found is None:
        found = functions.purity(connection, name)
        if found is not None and knowledge is not None:
            remember(knowledge.purities, name, found)
    return found

"""What a statement changes, found out once per SQL text and database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querycache.catalogue import (
    DELETE,
    INSERT,
    STAMP,
    UPDATE,
    Change,
    all_events,
)
from querycache.functions import Purity
from querycache.keys import ELSEWHERE, EVERYTHING
from querycache.memos import remember
from querycache.planning import SYSTEM_SCHEMAS, SYSTEM_TABLES, Planning
from querycache.plans import Effect, known_as
from querycache.rawsql import Kind, Statement, analyse, table_name
from querycache.refining import rows_written
from querycache.rows import Refined
from querycache.schema import purity_of

if TYPE_CHECKING:
    from querycache.transactions import Transaction
    from querycache.watch import Watch

_ALL = frozenset({EVERYTHING})

_CONTROL = frozenset(
    {
        Kind.BEGIN,
        Kind.COMMIT,
        Kind.ROLLBACK,
        Kind.CONSTRAINTS,
        Kind.SAVEPOINT,
        Kind.ROLLBACK_TO,
        Kind.RELEASE,
        Kind.SESSION,
    }
)


class Database(Planning):
    """What is known of one database, its queries and its writes, shared by all connections."""

    #: Its journal; put there by whoever makes the database known.
    watch: Watch
    #: A table of InnoDB (MySQL); None: not asked yet, empty: there is none.
    transacted_table: str | None = None

    def effect(self, transaction: Transaction, sql: str | None) -> Effect | None:
        """Find out what running a statement does, None for nothing that matters.

        Args:
            transaction: of the connection, which is asked about the schema.
            sql: the text; None when it could not be told, which counts as writing everything.
        """
        if sql is None:
            return Effect(_ALL, self._sets_anything, unclear=True)
        text = known_as(sql)
        if text is not sql and text in self.effects:
            return self.effects[text]
        effects = self.effects
        writes: set[str] = set()
        temporary: set[str] = set()
        drops: set[str] = set()
        control = []
        ddl = unclear = makes = False
        certain = True
        statements = analyse(sql, self._vendor)
        for statement in statements:
            if (
                statement.kind in _CONTROL
                or statement.commits
                or "set_config" in statement.functions
            ):
                control.append(statement)
            if self._may_set(transaction, statement):
                control += self._sets_anything
            if statement.kind is Kind.DDL and not (
                statement.temporary and statement.temporary >= statement.writes
            ):
                ddl = True
                drops |= statement.writes
                makes = makes or statement.deletes != statement.writes
            unclear = unclear or self._unclear(statement)
            temporary |= statement.temporary
            changed, known = self._changed(transaction, statement)
            writes |= changed | self._elsewhere(statement, changed)
            certain = certain and known
        if temporary & drops:
            # One that is made and renamed.
            temporary |= drops
        if not (writes or control or temporary or ddl):
            effect = None
        else:
            effect = Effect(
                _ALL if ddl or EVERYTHING in writes else frozenset(writes),
                tuple(control),
                frozenset(temporary),
                ddl,
                frozenset() if makes else frozenset(drops),
                unclear,
                self._refined(transaction, statements, sql) if certain else None,
            )
        if certain:
            remember(effects, text, effect)
        return effect

    def _refined(
        self, transaction: Transaction, statements: tuple[Statement, ...], sql: str
    ) -> Refined | None:
        """Find out which rows the only statement of a text changes, None for any."""
        # Not of DDL, for which the catalogue need not be read: a project's migrations are many.
        if len(statements) != 1 or statements[0].kind is not Kind.WRITE or not statements[0].writes:
            return None
        knowledge = self.known(transaction)
        if knowledge is None:
            return None
        changes = _changes(statements[0])
        return rows_written(knowledge.catalogue, statements[0], sql, self._vendor, changes)

    def procedure(self, transaction: Transaction, name: str) -> Effect:
        """Return what calling a procedure does: what it is declared to touch, else everything."""
        writes = self._declared(transaction, name)[0]
        control = () if table_name(name) in self._depends else self._sets_anything
        return Effect(writes, control, unclear=self._procedures_commit)

    def _declared(self, transaction: Transaction, name: str) -> tuple[frozenset[str], bool]:
        tables = self._depends.get(table_name(name))
        if tables is None:
            return _ALL, True
        return self._follow(transaction, all_events(tables))

    def written(self, transaction: Transaction, tables: frozenset[str]) -> frozenset[str]:
        """Return the tables and every table that the database changes when they are written."""
        return tables | self._follow(transaction, all_events(tables))[0]

    @property
    def _procedures_commit(self) -> bool:
        # Those of PostgreSQL may not where a transaction was open before the call.
        return self._vendor not in ("postgresql", "sqlite")

    def _unclear(self, statement: Statement) -> bool:
        return statement.kind is Kind.UNKNOWN or (
            statement.everything and statement.kind is Kind.WRITE and self._procedures_commit
        )

    def _follow(
        self, transaction: Transaction, changes: frozenset[Change]
    ) -> tuple[frozenset[str], bool]:
        knowledge = self.known(transaction)
        if knowledge is None:
            return _ALL, False
        return knowledge.catalogue.writing(changes), True

    def _changed(
        self, transaction: Transaction, statement: Statement
    ) -> tuple[frozenset[str], bool]:
        """Return the tables that a statement changes and whether that will not change."""
        if statement.everything:
            if statement.calls is not None:
                return self._declared(transaction, statement.calls)
            return _ALL, True
        if statement.kind is Kind.DDL:
            # What the schema says from then on, nobody knows yet.
            return statement.writes, True
        names = [name for name in statement.reads if not name.startswith(SYSTEM_TABLES)]
        if not (statement.writes or statement.functions or names):
            return frozenset(), True
        knowledge = self.known(transaction)
        if knowledge is None:
            return (_ALL if statement.writes or statement.functions else frozenset()), False
        catalogue = knowledge.catalogue
        changes = _changes(statement)
        certain = True
        for name in statement.functions | catalogue.reading(names).functions:
            purity = purity_of(knowledge, transaction.connection, name)
            if purity is None:
                certain = False
            elif purity is Purity.WRITES:
                if name in self._depends:
                    # Declared, for functions that read and for those that write.
                    changes |= all_events(self._depends[name])
                elif name in statement.functions:
                    return _ALL, True
                else:
                    # A view calls it, which no statement shows.
                    changes |= {(table, STAMP) for table in catalogue.calling([name])}
        return catalogue.writing(changes), certain

    def _elsewhere(self, statement: Statement, changed: frozenset[str]) -> set[str]:
        """Return the tables of other databases that a statement of MySQL names with theirs."""
        if self._vendor != "mysql" or not changed:
            return set()
        others = statement.qualifiers - SYSTEM_SCHEMAS - {self._name.casefold()}
        return {
            f"{ELSEWHERE}{schema}{ELSEWHERE}{name}"
            for schema in others
            for name in changed
            if not name.startswith(ELSEWHERE)
        }

    def immediate(self, transaction: Transaction, tables: frozenset[str]) -> frozenset[str]:
        """Return those of the tables that no transaction holds back: what is written is committed.

        Args:
            transaction: of the connection, which is asked about the schema.
            tables: that are about to be written in a transaction.
        """
        if self._vendor != "mysql":
            return frozenset()
        knowledge = self.known(transaction)
        if knowledge is None:
            return tables
        untransacted = knowledge.catalogue.facts.untransacted
        if EVERYTHING in tables:
            return _ALL if untransacted else frozenset()
        return tables & untransacted


def _changes(statement: Statement) -> frozenset[Change]:
    if statement.refreshes:
        return frozenset((table, STAMP) for table in statement.writes)
    found = {
        (table, event)
        for tables, event in (
            (statement.inserts, INSERT),
            (statement.updates, UPDATE),
            (statement.deletes, DELETE),
        )
        for table in tables
    }
    told = {table for table, _ in found}
    return frozenset(found) | all_events(statement.writes - told)

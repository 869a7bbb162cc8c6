"""What a query reads and depends on, found out once per SQL text and database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import django

from querycache import keys
from querycache.catalogue import Catalogue
from querycache.changes import ALL, ANY, column_of, dependencies_on, row_of
from querycache.functions import VOLATILE, Purity
from querycache.keys import EVERYTHING
from querycache.lists import Listing
from querycache.memos import remember
from querycache.plans import Knowledge, Plan, known_as
from querycache.rawsql import Kind, Statement, analyse, table_name
from querycache.rawsql.outlines import Rows
from querycache.refining import made_of, rows_read
from querycache.schema import Schema, purity_of
from querycache.selection import Selection

if TYPE_CHECKING:
    from querycache.cache import QueryCache
    from querycache.transactions import Transaction

SYSTEM_TABLES = ("pg_", "sqlite_", "information_schema", "pragma_")
SYSTEM_SCHEMAS = frozenset(
    {"pg_catalog", "information_schema", "mysql", "performance_schema", "sys"}
)
_OWN_TABLES = "querycache_"

_SAID = {
    Purity.VOLATILE: "may change from call to call or read what no stamp covers",
    Purity.WRITES: "may write",
}


class Planning(Schema):
    """What is known of the queries on one database, shared by all connections to it.

    Args:
        identity: names the database, see `keys.database_identity`.
        vendor: `connection.vendor`.
        name: the database's own name, which may qualify tables on MySQL.
        cache: holds the stamp that tells of changes of the schema.
        selection: what is cached at all.
    """

    def __init__(
        self, identity: str, vendor: str, name: str, cache: QueryCache, selection: Selection
    ) -> None:
        super().__init__(identity, vendor, name, cache)
        self.selection = selection

    def plan(
        self, transaction: Transaction, sql: str, recorded: Callable[[], Iterable[str] | None]
    ) -> Plan:
        """Find out what a SELECT depends on and whether it may be cached.

        Args:
            transaction: of the connection, which is asked about the schema.
            sql: the text that the compiler made.
            recorded: returns the tables that compilers name when they make it, None where it is
                another text each time. It is called where they are not known yet.
        """
        name = known_as(sql)
        if name is not sql and (found := self.plans.get(name)) is not None:
            return found
        statements = analyse(sql, self._vendor)
        reason = self._why_not(statements)
        if reason is not None:
            plan = Plan(reason)
            remember(self.plans, name, plan)
            return plan
        knowledge = self.known(transaction)
        if knowledge is None:
            return Plan("the database's catalogue could not be read")
        plans = self.remembering(knowledge)
        by_compilers = recorded()
        if by_compilers is None:
            return Plan("its text is another each time that it is made")
        plan, certain = self._cacheable(transaction, sql, statements[0], by_compilers, knowledge)
        if certain and plans is not None:
            remember(plans, name, plan)
        return plan

    def is_current(self, transaction: Transaction, sql: str, plan: Plan, everything: bytes) -> bool:
        """Tell whether a plan holds for the schema as it is, reading that anew if it has changed.

        Args:
            transaction: of the connection.
            sql: the text of the query, which has not run yet.
            plan: of it.
            everything: the stamp of the whole database, settled.
        """
        knowledge = plan.knowledge
        if knowledge is not None and knowledge.everything == everything:
            return True
        if self._knowledge is knowledge:
            self.schema_changed()
        now = self.plan(transaction, sql, lambda: plan.named)
        return (
            now.stamp_keys == plan.stamp_keys
            and now.keyed == plan.keyed
            and now.listing == plan.listing
            and now.witness == plan.witness
            and now.knowledge is not None
            and now.knowledge.everything == everything
        )

    def _cacheable(
        self,
        transaction: Transaction,
        sql: str,
        statement: Statement,
        recorded: Iterable[str],
        knowledge: Knowledge,
    ) -> tuple[Plan, bool]:
        """Return a plan and whether it will not change."""
        named = {table_name(table) for table in recorded} | statement.reads
        called = {name for name in statement.functions if name in self._depends}
        reading = knowledge.catalogue.reading(named | called)
        for name in sorted(reading.functions | statement.functions - called):
            purity = purity_of(knowledge, transaction.connection, name)
            if purity is None:
                return Plan(f"the function {name} could not be looked up"), False
            if purity is not Purity.PURE:
                # Nobody is told to declare a clock or a die, which would stand still then.
                hint = "" if name in VOLATILE else "; DEPENDS can declare it"
                return Plan(f"the function {name} {_SAID[purity]}{hint}"), True
        if not named:
            return Plan("it reads no table"), True
        if reading.unknown is not None:
            return Plan(f"{reading.unknown}; DEPENDS can declare it"), True
        tables = reading.tables - called
        for table in sorted(tables):
            if table.startswith(SYSTEM_TABLES):
                return Plan(f"it reads the database's own catalogue ({table})"), True
            if table.startswith(_OWN_TABLES):
                reason = f"{table} is querycache's own, and written behind Django's back"
                return Plan(reason), True
            if not self.selection.covers(table):
                return Plan(f"the table {table} is left out by EXCLUDE or ONLY"), True
        return self._planned(sql, statement, tables, frozenset(named), knowledge), True

    def _planned(
        self,
        sql: str,
        statement: Statement,
        tables: Iterable[str],
        named: frozenset[str],
        knowledge: Knowledge,
    ) -> Plan:
        """Return the plan of a query that may be cached.

        Args:
            sql: its text.
            statement: what that says.
            tables: everything that it depends on.
            named: what it names itself.
            knowledge: of the schema.
        """
        ordered = (EVERYTHING, *sorted(tables))
        catalogue = knowledge.catalogue
        keyed = rows_read(catalogue, statement, sql, self._vendor, tables)
        found = made_of(catalogue, statement, sql, self._vendor, tables, keyed)
        dependencies = [
            dependency
            for table in ordered
            for dependency in dependencies_on(table, found.columns.get(table))
        ]
        listing = None
        rows = found.rows
        if rows is not None:
            table = rows.table
            own: tuple[str, ...] = (table,)
            if table in found.columns:
                own = dependencies_on(table, found.columns[table])[1:]
            listing = self._listing(catalogue, rows, own)
            # Last, since lists need not depend on them.
            dependencies = [one for one in dependencies if one not in own] + [*own]
        return Plan(
            None,
            ordered,
            tuple(dependencies),
            tuple(map(self.stamp_key, dependencies)),
            keys.digest(self.identity, django.get_version(), sql),
            " ORDER BY " in sql,
            named,
            keyed,
            found.columns,
            listing,
            found.witness,
            None if keyed is None else self.row_keys(keyed.table),
            knowledge,
        )

    def _listing(self, catalogue: Catalogue, rows: Rows, own: Sequence[str]) -> Listing:
        """Return what the results of a query are made of that say which rows these are.

        Args:
            catalogue: of the database.
            rows: what the text tells of them.
            own: what these results do not depend on, and others do.
        """
        table = rows.table
        deciding = (column_of(table, column) for column in sorted(rows.columns))
        more: tuple[str, ...] = (f"{table}{ALL}", f"{table}{ANY}", *deciding)
        if rows.witness:
            # As long as one row is as it was, others make no difference.
            more = more[:1] if table in own else ()
        return Listing(
            catalogue.facts.primary_keys[table].kind,
            rows.place,
            rows.most,
            tuple(map(self.stamp_key, more)),
            len(own),
            rows.witness,
            lambda bucket: self.stamp_key(row_of(table, bucket)),
        )

    def _why_not(self, statements: tuple[Statement, ...]) -> str | None:
        """Return why a query may not be cached, as far as its text tells."""
        if len(statements) != 1 or statements[0].kind is not Kind.READ:
            return "it is not one plain SELECT"
        statement = statements[0]
        if statement.writes or statement.everything or statement.temporary:
            return "it writes"
        if statement.locking:
            return "it locks rows"
        for schema in sorted(statement.qualifiers):
            if schema in SYSTEM_SCHEMAS:
                return f"it reads the schema {schema}"
            if self._vendor == "mysql" and schema != self._name.casefold():
                return f"it reads another database ({schema})"
        return None

"""What a query reads and what a statement changes, found out once per SQL text and database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import django

from querycache import functions, keys
from querycache.conf import Config
from querycache.functions import Purity
from querycache.keys import EVERYTHING
from querycache.questions import question
from querycache.rawsql import Kind, Statement, analyse, table_name
from querycache.relations import closure, database_cascades, normalised
from querycache.selection import Selection

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.watch import Watch

#: Texts, tables and functions that are remembered per database; a program that makes up more starts
#: afresh.
_REMEMBERED = 4096
#: Longer ones are remembered by a digest: how long a text gets is often a visitor's choice (the
#: number of values after IN).
_LONGEST = 4000

_SYSTEM_TABLES = ("pg_", "sqlite_", "information_schema", "pragma_")
_OWN_TABLES = "querycache_"
_SYSTEM_SCHEMAS = frozenset(
    {"pg_catalog", "information_schema", "mysql", "performance_schema", "sys"}
)
_ALL = frozenset({EVERYTHING})

#: Begins the name of a table in another database of the same server, and ends that database's.
ELSEWHERE = "\0"
_CONTROL = frozenset(
    {
        Kind.BEGIN,
        Kind.COMMIT,
        Kind.ROLLBACK,
        Kind.SAVEPOINT,
        Kind.ROLLBACK_TO,
        Kind.RELEASE,
        Kind.SESSION,
    }
)

_Remembered = TypeVar("_Remembered")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a SELECT from its text.

    Args:
        reason: why its results are never cached; None when they may be.
        tables: what they depend on, sorted; `EVERYTHING` comes first.
        stamp_keys: of the tables, in the same order.
        digest: stands for the database, the version of Django and the text.
        ordered: whether the text has an ORDER BY.
    """

    reason: str | None
    tables: tuple[str, ...] = ()
    stamp_keys: tuple[bytes, ...] = ()
    digest: bytes = b""
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What running a statement (or a script of several) does besides returning rows.

    Args:
        writes: the tables it changes, database cascades and triggers included.
        control: its statements that steer transactions and sessions, in order.
        temporary: the names of temporary tables that it makes.
        ddl: whether it changes the schema.
        unclear: whether it may end the open transaction without saying so, as a procedure or a
            statement that is not understood may.
    """

    writes: frozenset[str] = frozenset()
    control: tuple[Statement, ...] = ()
    temporary: frozenset[str] = frozenset()
    ddl: bool = False
    unclear: bool = False


class Database:
    """What is known of one database, shared by all connections to it.

    Args:
        identity: names the database, see `keys.database_identity`.
        vendor: `connection.vendor`.
        name: the database's own name, which may qualify tables on MySQL.
        config: the settings.
        selection: what is cached at all.
    """

    def __init__(
        self, identity: str, vendor: str, name: str, config: Config, selection: Selection
    ) -> None:
        self.identity = identity
        self.selection = selection
        #: Its journal; put there by whoever makes the database known.
        self.watch: Watch
        self._vendor = vendor
        self._name = name
        self._prefix = config.key_prefix
        self._depends = normalised(config.depends)
        self._triggers = normalised(config.triggers)
        self._purities: dict[str, Purity] = {}
        self._untransacted: frozenset[str] | None = None
        #: A table of InnoDB (MySQL); None: not asked yet, empty: there is none.
        self.transacted_table: str | None = None
        self._stamp_keys: dict[str, bytes] = {}
        #: Read by the compiler without a call: SQL (or its digest, see `_name`) → plan.
        self.plans: dict[str, Plan] = {}
        #: Read by cursors without a call: SQL (or its digest) → effect, None where there is none.
        self.effects: dict[str, Effect | None] = {}

    def stamp_key(self, table: str) -> bytes:
        """Return the key of a table's stamp."""
        found = self._stamp_keys.get(table)
        if found is None:
            identity, name = self.identity, table
            if table.startswith(ELSEWHERE):
                schema, name = table[1:].split(ELSEWHERE)
                identity = identity.removesuffix(self._name) + schema
            found = keys.stamp_key(self._prefix, identity, name)
            _remember(self._stamp_keys, table, found)
        return found

    def stamp_keys(self, tables: Iterable[str]) -> tuple[bytes, ...]:
        """Return the keys of several tables' stamps, in a fixed order."""
        return tuple(self.stamp_key(table) for table in sorted(tables))

    def schema_changed(self) -> None:
        """Forget everything that was found out from the schema."""
        self.plans.clear()
        self.effects.clear()
        self._purities.clear()
        self._untransacted = None

    # -- reads ---------------------------------------------------------------------------------

    def plan(self, connection: BaseDatabaseWrapper, sql: str, recorded: Iterable[str]) -> Plan:
        """Find out what a SELECT depends on and whether it may be cached.

        Args:
            connection: asked about functions that are not known.
            sql: the text that the compiler made.
            recorded: the tables that compilers named while it was made.
        """
        name = _name(sql)
        if name is not sql and (found := self.plans.get(name)) is not None:
            return found
        statements = analyse(sql, self._vendor)
        reason, certain = self._why_not(connection, statements)
        if reason is None:
            plan = self._cacheable(sql, statements[0], recorded)
        else:
            plan = Plan(reason)
        if certain:
            _remember(self.plans, name, plan)
        return plan

    def _cacheable(self, sql: str, statement: Statement, recorded: Iterable[str]) -> Plan:
        named = {table_name(table) for table in recorded} | statement.reads
        called = {name for name in statement.functions if name in self._depends}
        tables = closure(named | called, self._depends) - called
        if not named:
            return Plan("it reads no table")
        for table in sorted(tables):
            if table.startswith(_SYSTEM_TABLES):
                return Plan(f"it reads the database's own catalogue ({table})")
            if table.startswith(_OWN_TABLES):
                return Plan(f"{table} is querycache's own, and written behind Django's back")
            if not self.selection.covers(table):
                return Plan(f"the table {table} is left out by EXCLUDE or ONLY")
        ordered = (EVERYTHING, *sorted(tables))
        return Plan(
            None,
            ordered,
            tuple(map(self.stamp_key, ordered)),
            keys.digest(self.identity, django.get_version(), sql),
            " ORDER BY " in sql,
        )

    def _why_not(
        self, connection: BaseDatabaseWrapper, statements: tuple[Statement, ...]
    ) -> tuple[str | None, bool]:
        """Return why a query may not be cached, and whether that will not change."""
        if len(statements) != 1 or statements[0].kind is not Kind.READ:
            return "it is not one plain SELECT", True
        statement = statements[0]
        if statement.writes or statement.everything or statement.temporary:
            return "it writes", True
        if statement.locking:
            return "it locks rows", True
        for schema in sorted(statement.qualifiers):
            if schema in _SYSTEM_SCHEMAS:
                return f"it reads the schema {schema}", True
            if self._vendor == "mysql" and schema != self._name.casefold():
                return f"it reads another database ({schema})", True
        for name in sorted(statement.functions):
            if name in self._depends:
                continue
            purity = self._purity(connection, name)
            if purity is None:
                return f"the function {name} could not be looked up", False
            if purity is not Purity.PURE:
                return f"the function {name} {_SAID[purity]}; DEPENDS can declare it", True
        return None, True

    # -- writes --------------------------------------------------------------------------------

    def effect(self, connection: BaseDatabaseWrapper, sql: str | None) -> Effect | None:
        """Find out what running a statement does, None for nothing that matters.

        Args:
            connection: asked about functions that are not known.
            sql: the text; None when it could not be told, which counts as writing everything.
        """
        if sql is None:
            return Effect(_ALL, unclear=True)
        known_as = _name(sql)
        if known_as is not sql and known_as in self.effects:
            return self.effects[known_as]
        writes: set[str] = set()
        temporary: set[str] = set()
        control = []
        ddl = unclear = False
        certain = True
        for statement in analyse(sql, self._vendor):
            if (
                statement.kind in _CONTROL
                or statement.commits
                or "set_config" in statement.functions
            ):
                control.append(statement)
            ddl = ddl or statement.kind is Kind.DDL
            unclear = unclear or self._unclear(statement)
            temporary |= statement.temporary
            changed, known = self._changed(connection, statement)
            writes |= changed | self._elsewhere(statement, changed)
            certain = certain and known
        if not (writes or control or temporary or ddl):
            effect = None
        else:
            effect = Effect(
                _ALL if EVERYTHING in writes else frozenset(writes),
                tuple(control),
                frozenset(temporary),
                ddl,
                unclear,
            )
        if certain:
            _remember(self.effects, known_as, effect)
        return effect

    def procedure(self, name: str) -> Effect:
        """Return what calling a procedure does: what it is declared to touch, else everything."""
        return Effect(self._declared(name), unclear=self._procedures_commit)

    def _declared(self, name: str) -> frozenset[str]:
        tables = self._depends.get(table_name(name))
        return _ALL if tables is None else closure(tables, self._triggers)

    @property
    def _procedures_commit(self) -> bool:
        # Those of PostgreSQL may not where a transaction was open before the call.
        return self._vendor not in ("postgresql", "sqlite")

    def _unclear(self, statement: Statement) -> bool:
        return statement.kind is Kind.UNKNOWN or (
            statement.everything and statement.kind is Kind.WRITE and self._procedures_commit
        )

    def _changed(
        self, connection: BaseDatabaseWrapper, statement: Statement
    ) -> tuple[frozenset[str], bool]:
        if statement.everything:
            if statement.calls is not None:
                return self._declared(statement.calls), True
            return _ALL, True
        changed = set(statement.writes)
        if statement.kind is Kind.WRITE and not statement.refreshes:
            # A view that can be written through hands on what it gets.
            changed = set(closure(changed, self._depends))
        for table in statement.deletes:
            changed |= self._cascades.get(table, frozenset())
        certain = True
        for name in statement.functions:
            purity = self._purity(connection, name)
            if name in self._depends:
                # Declared, for functions that read and for those that write.
                if purity is Purity.WRITES:
                    changed |= self._depends[name]
            elif purity is None:
                certain = False
            elif purity is Purity.WRITES:
                return _ALL, True
        return closure(changed, self._triggers), certain

    def _elsewhere(self, statement: Statement, changed: frozenset[str]) -> set[str]:
        """Return the tables of other databases that a statement of MySQL names with theirs."""
        if self._vendor != "mysql" or not changed:
            return set()
        others = statement.qualifiers - _SYSTEM_SCHEMAS - {self._name.casefold()}
        return {f"{ELSEWHERE}{schema}{ELSEWHERE}{name}" for schema in others for name in changed}

    def immediate(self, connection: BaseDatabaseWrapper, tables: frozenset[str]) -> frozenset[str]:
        """Return those of the tables that no transaction holds back: what is written is committed.

        Args:
            connection: asked once which tables have such an engine (MyISAM and its like).
            tables: that are about to be written in a transaction.
        """
        if self._vendor != "mysql":
            return frozenset()
        if self._untransacted is None:
            self._untransacted = _tables_without_transactions(connection)
        if EVERYTHING in tables:
            return _ALL if self._untransacted else frozenset()
        return tables & self._untransacted

    @cached_property
    def _cascades(self) -> dict[str, frozenset[str]]:
        return database_cascades()

    def _purity(self, connection: BaseDatabaseWrapper, name: str) -> Purity | None:
        found = self._purities.get(name)
        if found is None:
            found = functions.purity(connection, name)
            if found is not None:
                _remember(self._purities, name, found)
        return found


def _tables_without_transactions(connection: BaseDatabaseWrapper) -> frozenset[str]:
    # The statement that asks is the caller's: its errors are Django's, as those of any other.
    with connection.wrap_database_errors, question(connection) as cursor:
        cursor.execute(
            "SELECT t.table_name FROM information_schema.tables t"
            " LEFT JOIN information_schema.engines e ON e.engine = t.engine"
            " WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'"
            " AND coalesce(e.transactions, 'NO') <> 'YES'"
        )
        return frozenset(table_name(name) for (name,) in cursor.fetchall())


_SAID = {
    Purity.VOLATILE: "may change from call to call or read what no stamp covers",
    Purity.WRITES: "may write",
}


def _name(sql: str) -> str:
    """Return what a text is remembered by."""
    return sql if len(sql) <= _LONGEST else keys.digest(sql).hex()


def _remember(memo: dict[str, _Remembered], sql: str, value: _Remembered) -> None:
    if len(memo) >= _REMEMBERED:
        memo.clear()
    memo[sql] = value

"""`explain()`: why a queryset is, or is not, served from the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError

from querycache import stamps
from querycache.changes import ALL, NEW, described, reference_of, row_of
from querycache.compiler import BYPASS, tables_of
from querycache.entries import Forged, created, has_all_rows
from querycache.keys import EVERYTHING, Unkeyable, entry_key
from querycache.lists import HEAD, Asked, is_listed
from querycache.plans import Plan
from querycache.reading import ALL_ROWS
from querycache.reads import caught_up, fingerprint_of, with_session
from querycache.rows import seal_of
from querycache.runtime import runtime
from querycache.session import Isolation
from querycache.state import transaction_of
from querycache.switch import reads_enabled
from querycache.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the cache would do with a queryset now.

    Args:
        sql: the query's text; empty when it needs no query.
        key: of its entry in the store; None when it is not cacheable.
        dependencies: the tables that the result depends on, sorted.
        cacheable: whether its result may be cached at all.
        hit: whether it would be served from the cache now.
        reason: why it is not cacheable, why it is not a hit, or what it is a hit of.
        size: bytes of its entry in the store; None when there is none.
        age: seconds since the entry was made; None when there is none that is valid.
        rows: primary keys of the only rows that the result is made of; writes to others leave it
            alone. Empty where they are not known.
        columns: of tables, the only ones that the result depends on; what a write to certain rows
            puts into others leaves it alone. Of tables that are not there any may matter.
    """

    sql: str
    key: str | None
    dependencies: tuple[str, ...]
    cacheable: bool
    hit: bool
    reason: str
    size: int | None = None
    age: float | None = None
    rows: tuple[Any, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        verdict = "hit" if self.hit else "miss" if self.cacheable else "not cacheable"
        lines = [
            f"{verdict}: {self.reason}",
            f"dependencies: {', '.join(self.dependencies) or 'none'}",
        ]
        if self.rows:
            lines.append(f"rows: {', '.join(map(str, self.rows))}")
        for table, columns in self.columns.items():
            lines.append(f"columns of {table}: {', '.join(columns) or 'none'}")
        if self.key is not None:
            lines.append(f"key: {self.key}")
        if self.size is not None:
            lines.append(f"entry: {self.size} bytes")
        if self.age is not None:
            lines.append(f"age: {self.age:.1f} s")
        return "\n".join(lines)


def explain(queryset: QuerySet[Any]) -> Explanation:
    """Tell whether a queryset is cacheable and whether it would be a hit; runs no query of it.

    Args:
        queryset: any queryset, `values()` and unions included. It is looked at as iterating over it
            would run it; `count()`, `exists()` and `aggregate()` are queries of their own.

    Raises:
        TypeError: it is no queryset, or a raw one (raw querysets are left alone).
    """
    if not isinstance(queryset, QuerySet):
        raise TypeError(f"explain() takes a queryset, not {type(queryset).__name__}")
    query = queryset.query.chain()
    connection = connections[queryset.db]
    compiler = query.get_compiler(connection=connection, using=queryset.db)
    installed = runtime.current
    texts = None
    if installed is not None and compiler.is_stock:
        texts = transaction_of(connection).texts
    try:
        sql, params = compiler.as_sql() if texts is None else texts.compile(compiler)
    except EmptyResultSet:
        return _not_cacheable("", "it is known to be empty and runs no query")
    except TransactionManagementError as error:
        # select_for_update() outside a transaction does not even compile.
        return _not_cacheable("", str(error))
    if installed is None:
        reason = 'querycache is off (not in INSTALLED_APPS, MODE is "off", or a DummyCache)'
        return _not_cacheable(sql, reason)
    if query.model in installed.skipped:
        return _not_cacheable(sql, "its model is left out by EXCLUDE or ONLY")
    transaction = with_session(transaction_of(connection))
    for applies, reason in (
        (not transaction.serves, f"the database {queryset.db} is not among DATABASES"),
        (query.select_for_update, "it locks rows (select_for_update)"),
        (query.explain_info, "it is an EXPLAIN"),
        (BYPASS in query.__dict__, "bypass() was called for it"),
        (not reads_enabled(), "it is within disabled()"),
        (connection.needs_rollback, "the transaction is broken"),
    ):
        if applies:
            return _not_cacheable(sql, reason)
    plan = transaction.database.plans.get(sql)
    if plan is None:
        plan = transaction.database.plan(transaction, sql, lambda: tables_of(compiler, sql))
    conversion = None if compiler.text is None else compiler.text.conversion
    form = ALL_ROWS if conversion is None else conversion.form
    return explain_read(transaction, plan, sql, params, form=form)


def explain_read(
    transaction: Transaction,
    plan: Plan,
    sql: str,
    params: Any,
    *,
    form: bytes = ALL_ROWS,
    witness: bool = False,
) -> Explanation:
    """Tell whether a query would be a hit now; `explain` has looked at what comes before.

    Args:
        transaction: of the connection that it would run on.
        plan: what is known of its text.
        sql: its text.
        params: its parameters.
        form: see `Read`.
        witness: whether any row that there is answers it.
    """
    if plan.reason is not None:
        return _not_cacheable(sql, plan.reason)
    dependencies = tuple(table for table in plan.tables if table != EVERYTHING)
    if not transaction.session.temporary.isdisjoint(plan.tables):
        return _not_cacheable(sql, "it reads a temporary table", dependencies)
    try:
        fingerprint = fingerprint_of(transaction, plan, params, form)
    except Unkeyable as error:
        return _not_cacheable(sql, str(error), dependencies)
    key = entry_key(transaction.cache.entry_prefix, fingerprint)
    keys, count = plan.depends(params)
    listed = None
    if plan.listing is not None and plan.listing.witness is witness:
        listed = transaction.cache.lists.asked(fingerprint, plan.listing, keys)
        keys = listed.keys
    seen = _look(transaction, _Asked(plan, fingerprint, key, keys, count, listed))
    rows = tuple(plan.keyed.values(params) or ()) if count and plan.keyed is not None else ()
    columns = {table: tuple(sorted(names)) for table, names in sorted(plan.columns.items())}
    return Explanation(sql, key.decode(), dependencies, True, *seen, rows, columns)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for.

    Args:
        plan: of the query.
        fingerprint: of the query.
        key: of its entry.
        stamps: the keys of the stamps that its result depends on.
        rows: how many rows it has where it does not depend on the last stamp, else 0.
        listed: what is asked for where the result says which rows it is made of.
    """

    plan: Plan
    fingerprint: bytes
    key: bytes
    stamps: tuple[bytes, ...]
    rows: int
    listed: Asked | None

    def named(self) -> Iterator[str]:
        """Yield what each stamp stands for."""
        yield "the database as a whole"
        if self.rows:
            table = self.plan.tables[-1]
            yield described(f"{table}{ALL}")
            yield from [described(row_of(table, 0))] * (len(self.stamps) - 3)
            yield described(f"{table}{NEW}")
        else:
            *base, last = self._any_rows()
            yield from base
            if self.listed is not None:
                rows = f"the rows of the result in {last}"
                yield from [rows] * len(self.listed.further)
            yield last

    def _any_rows(self) -> list[str]:
        """Return what a result depends on that may be made of any rows, besides the database."""
        keyed = self.plan.keyed
        keys = self.stamps if self.listed is None else self.listed.whole
        if keys == self.plan.stamp_keys or keyed is None:
            return [described(name) for name in self.plan.dependencies[1:]]
        new = described(reference_of(keyed.table, keyed.reference or "", 0))
        return [*[new] * (len(keys) - 2), keyed.table]


def _not_cacheable(sql: str, reason: str, dependencies: tuple[str, ...] = ()) -> Explanation:
    return Explanation(sql, None, dependencies, False, False, reason)


#: Whether it is a hit, what to say of it, and the entry's size and age.
Look = tuple[bool, str, int | None, float | None]


def _miss(reason: str, size: int | None = None) -> Look:
    return False, reason, size, None


def _look(transaction: Transaction, asked: _Asked) -> Look:
    """Look at what a read would look at, in the same order."""
    if not transaction.open:
        return _look_shared(transaction, asked)
    isolation = transaction.session.isolation
    if isolation is Isolation.OTHER:
        return _miss("the isolation of the open transaction is not one that is cached")
    if transaction.changes_schema:
        return _miss("the open transaction may have changed the schema")
    committed = isolation is Isolation.READ_COMMITTED
    if transaction.has_written(asked.plan.tables):
        return _look_overlay(transaction, asked, not committed)
    if committed:
        return _look_shared(transaction, asked)
    own = _look_overlay(transaction, asked, True)
    if transaction.overlay.holds(asked.fingerprint):
        return own
    if isolation is Isolation.SERIALIZABLE:
        return _miss("a serializable transaction runs every query once, to find conflicts")
    snapshot = transaction.snapshot
    if not snapshot.can_pin(transaction):
        return own
    return _look_shared(transaction, asked, snapshot.noted)


def _look_shared(
    transaction: Transaction, asked: _Asked, clock: stamps.Clock | None = None
) -> Look:
    """Look at the shared cache, as of the clock from before a transaction's state was taken."""
    cache = transaction.cache
    if not cache.up:
        return _miss("the store is down")
    if not transaction.database.watch.clear(transaction):
        return _miss(transaction.database.watch.served.why_not)
    if clock is None and (declined := _declined(transaction, asked.plan)) is not None:
        return _miss(declined)
    try:
        entry, *found = cache.store.read(asked.key, asked.stamps)
        if asked.listed is not None and entry is not None:
            listed, current = cache.lists.ask(
                cache.store, asked.fingerprint, asked.listed, entry, found
            )
            asked, found = replace(asked, stamps=listed.keys, listed=listed), list(current)
    except Exception as error:  # noqa: BLE001 - people want to read whatever it is
        cache.failed(error)
        return _miss(f"the store failed: {error}")
    size = None if entry is None else len(entry)
    # A result that lacks no row depends on new ones in transactions that see one state alone.
    some = asked.rows > 0 and clock is None and (entry is None or has_all_rows(entry))
    names, counting = list(asked.named()), found[:-1] if some else found
    if asked.listed is not None:
        if entry is not None and is_listed(entry):
            counting = [*asked.listed.of_rows(found)]
        else:
            names = [*asked.listed.of_whole(names)]
            counting = [*asked.listed.of_whole(found)]
    for name, stamp in zip(names, counting, strict=False):
        if stamp is None and entry is None and cache.store.durable:
            # It is made as soon as a query asks for it.
            return _miss("the store has no entry for it")
        if stamp is None:
            return _miss(f"the store has no stamp of {name} yet", size)
        if not stamps.is_settled(stamp):
            return _miss(f"{name} is being written, or was and its quarantine runs", size)
        if clock is not None and not stamps.unchanged_since(stamp, clock):
            return _miss(f"{name} was written since this transaction sees the database", size)
    joined = b"".join(stamp for stamp in counting if stamp is not None)
    soon = ""
    if transaction.replica is not None and not caught_up(transaction, [joined]):
        soon = "; what a replica gives is stored when the last write is longer ago than its max_lag"
    held = None if cache.near is None else cache.near.get(asked.fingerprint)
    if held is not None and held.fits(found, asked.listed) and not cache.shadow:
        return True, "this process holds the result, and it is valid", size, None
    if entry is None:
        return _miss(f"the store has no entry for it{soon}")
    if asked.listed is not None:
        joined = asked.listed.under(entry[HEAD], found)
    sealed = seal_of(found) if asked.rows and has_all_rows(entry) else joined
    try:
        if cache.sealer.open(asked.fingerprint, sealed, entry) is None:
            return _miss(f"a table was written since the entry was stored{soon}", size)
    except Forged:
        return _miss("the entry is damaged or not ours", size)
    age = max(0.0, time.time() - created(entry, sealed))
    if cache.shadow:
        return False, 'the entry is valid; MODE is "shadow", so it is only compared', size, age
    return True, "the entry is valid", size, age


def _declined(transaction: Transaction, plan: Plan) -> str | None:
    """Return why `ADMISSION` leaves a query to the database; None where it does not."""
    admission = transaction.cache.admission
    if admission is None or plan.digest not in admission.declined:
        return None
    query, store = (1000 * (seconds or 0.0) for seconds in admission.costs(plan.digest))
    return f"the database takes {query:.2f} ms for it, and the store {store:.2f} ms (ADMISSION)"


def _look_overlay(transaction: Transaction, asked: _Asked, snapshot: bool) -> Look:
    cache = transaction.cache
    plan = asked.plan
    joined = b""
    if not snapshot:
        usable = cache.up and transaction.database.watch.clear(transaction)
        found = cache.read_stamps(plan.stamp_keys) if usable else None
        if found is None or not all(map(stamps.is_settled, found)):
            return _miss("a table is being written by others, or the store is down")
        joined = b"".join(stamp for stamp in found if stamp is not None)
    marks = transaction.marks(plan.tables)
    body = transaction.overlay.seen(asked.fingerprint, marks, joined)
    if body is None:
        return _miss("this transaction, which has its own view, has not run it yet")
    return True, "this transaction has run it and nothing changed since", len(body), None

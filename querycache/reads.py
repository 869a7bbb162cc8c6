"""One read: which cache may serve it, what a miss may leave behind, and checking hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from random import random
from typing import TYPE_CHECKING, Any

from querycache import codec, stamps
from querycache.admission import SAMPLED, SELDOM, Admission
from querycache.cache import FAILURES, Row
from querycache.keys import Unkeyable, dump_parameters, entry_key
from querycache.leases import clock
from querycache.overlay import Seen
from querycache.plans import Plan
from querycache.reading import Read, Under, kept_under
from querycache.session import Isolation
from querycache.stamps import SETTLED_BYTES
from querycache.state import transaction_of
from querycache.transactions import Transaction
from querycache.verify import report_difference, same_rows

if TYPE_CHECKING:
    from querycache.cache import QueryCache


def fingerprint_of(transaction: Transaction, plan: Plan, params: Any, form: bytes) -> bytes:
    """Return everything that a result depends on besides the data.

    Args:
        transaction: of the connection that the query runs on.
        plan: of the query.
        params: of the query.
        form: see `Read`.

    Raises:
        Unkeyable: a parameter cannot be written whole.
    """
    # Schema-per-tenant packages keep the tenant here.
    schema = transaction.connection.__dict__.get("schema_name")
    tenant = transaction.tenant
    if schema is not None or tenant is not None:
        given = None if tenant is None else tenant(transaction.connection)
        form += dump_parameters((schema, given))
    return b"".join((plan.digest, transaction.session.context, form, dump_parameters(params)))


def with_session(transaction: Transaction) -> Transaction:
    """Return the state of a connection whose session is known.

    A hit needs no connection, but one from a pool may bring settings that others have made.
    """
    connection = transaction.connection
    if connection.connection is None and getattr(connection, "pool", None) is not None:
        connection.ensure_connection()
        return transaction_of(connection)
    return transaction


def read(transaction: Transaction, query: Read) -> Any:
    """Answer a query in the shape that compilers return rows in."""
    cache = transaction.cache
    plan = query.plan
    if plan.reason is not None:
        return _bypass(cache, query)
    if transaction.connection.connection is None:
        transaction = with_session(transaction)
    session = transaction.session
    if session.temporary and not session.temporary.isdisjoint(plan.tables):
        return _bypass(cache, query)
    try:
        fingerprint = fingerprint_of(transaction, plan, query.params, query.form)
    except Unkeyable:
        return _bypass(cache, query)
    if plan.keyed is None:
        query.keys = plan.stamp_keys
    else:
        query.keys, query.rows = plan.depends(query.params)
    if plan.listing is not None and plan.listing.witness is (query.witness is not None):
        listed = query.listed = cache.lists.asked(fingerprint, plan.listing, query.keys)
        query.keys = listed.keys
    inside = transaction.open
    if inside:
        isolation = session.isolation
        if isolation is Isolation.OTHER:
            return _bypass(cache, query)
        if transaction.changes_schema:
            return _bypass(cache, query)
        if transaction.has_written(plan.tables):
            own = isolation is not Isolation.READ_COMMITTED
            return _read_overlay(transaction, query, fingerprint, own)
        if isolation is not Isolation.READ_COMMITTED:
            return _read_snapshot(transaction, query, fingerprint, isolation)
    return _read_shared(transaction, query, fingerprint, inside)


def _read_shared(transaction: Transaction, query: Read, fingerprint: bytes, inside: bool) -> Any:
    cache = transaction.cache
    if cache.breaker.down and not cache.up:
        return _bypass(cache, query)
    watch = transaction.database.watch
    if watch.until < clock() and not watch.clear(transaction):
        return _bypass(cache, query)
    plan = query.plan
    admission = cache.admission
    if admission is not None and plan.digest in admission.declined:
        cache.counters.declined += 1
        _time_store(cache, admission, query, fingerprint, SELDOM)
        return admission.timed(plan.digest, query.run)
    noted = transaction.noted
    rows, found = cache.lookup(fingerprint, query)
    if rows is not None:
        if cache.inspects:
            assert found is not None
            keys, counting = query.counting(rows, found)
            if transaction.replica is None or caught_up(transaction, counting):
                same = _same_stamps(cache, keys, counting)
                return _inspect(
                    transaction, query, rows, lambda: noted == transaction.noted and same()
                )
            if cache.shadow:
                return query.run()
        cache.counters.hits += 1
        return _shape(rows, query.multi)
    if found is None:
        return _bypass(cache, query)
    cache.counters.misses += 1
    under = kept_under(cache, query, found)
    if (
        under is None
        or not _is_current(transaction, query, under.everything)
        or not (inside or transaction.session.may_store())
    ):
        return query.run()
    if transaction.replica is not None:
        under = under.filtered(lambda joined: caught_up(transaction, [joined]))
        if under is None:
            return query.run()
    return _run_and_keep(transaction, query, fingerprint, under, noted)


def caught_up(transaction: Transaction, settled: Any) -> bool:
    """Tell whether a query run on a replica from now on sees the last writes.

    Args:
        transaction: of a connection to a replica.
        settled: the settled stamps of what the query depends on.

    The clock is read before the query runs, so that a later one is not taken for the query's.
    """
    cache = transaction.cache
    now = cache.clock()
    if now is None or transaction.replica is None:
        return False
    # A write was over within the tick that its stamp tells.
    least = now.wall - transaction.replica.max_lag - cache.store.tick
    return stamps.settled_by(b"".join(settled), least)


def _run_and_keep(
    transaction: Transaction, query: Read, fingerprint: bytes, under: Under, noted: int
) -> Any:
    """Run a query and store what it gives under the stamps that were read before."""
    cache = transaction.cache
    context = transaction.session.context
    run = query.witness or query.run
    if cache.admission is None:
        result = run()
    else:
        _time_store(cache, cache.admission, query, fingerprint, SAMPLED)
        result = cache.admission.timed(query.plan.digest, run)
    # A thread that shares the connection may have written meanwhile, and not committed.
    if noted == transaction.noted and _same_session(transaction, context):
        rows = _rows(result, query.multi)
        narrow = query.rows or query.listed is not None
        seal = under.seal(query, rows) if narrow else under.whole
        if seal is not None:
            cache.keep(fingerprint, seal, rows)
            if query.listed is not None:
                cache.lists.note(fingerprint, query.listed, seal)
    return result


def _time_store(
    cache: QueryCache, admission: Admission, query: Read, fingerprint: bytes, every: int
) -> None:
    """Learn what a read of the store takes, in one of so many calls; never raises."""
    key = entry_key(cache.entry_prefix, fingerprint)
    try:
        admission.sample(cache.store, key, query.keys, every)
    except FAILURES as error:
        cache.failed(error)


def _read_snapshot(
    transaction: Transaction, query: Read, fingerprint: bytes, isolation: Isolation
) -> Any:
    """Read in a transaction that sees one state, and has not written what the query reads."""
    cache = transaction.cache
    noted = transaction.noted
    if transaction.overlay.holds(fingerprint) or isolation is Isolation.SERIALIZABLE:
        # A serializable transaction must read for itself, for the database to see its conflicts.
        return _read_overlay(transaction, query, fingerprint, True)
    clock = transaction.snapshot.pin(transaction)
    if clock is None or (cache.breaker.down and not cache.up):
        return _read_overlay(transaction, query, fingerprint, True)
    rows, found = cache.lookup(fingerprint, query, ask=True)
    # Stamps that this settles are younger than the clock: it is for the transactions to come.
    under = None if found is None else kept_under(cache, query, found)
    under = under and under.filtered(lambda joined: stamps.unchanged_since(joined, clock))
    # A row that is there now may have come since, which no stamp of it says.
    if under is None or (rows is not None and under.whole is None):
        return _read_overlay(transaction, query, fingerprint, True)
    if rows is not None:
        if cache.inspects:
            return _inspect(transaction, query, rows, lambda: noted == transaction.noted)
        cache.counters.hits += 1
        return _shape(rows, query.multi)
    if not _is_current(transaction, query, under.everything):
        return _read_overlay(transaction, query, fingerprint, True)
    cache.counters.misses += 1
    return _run_and_keep(transaction, query, fingerprint, under, noted)


def _read_overlay(transaction: Transaction, query: Read, fingerprint: bytes, snapshot: bool) -> Any:
    cache = transaction.cache
    plan = query.plan
    shared = b""
    if not snapshot:
        # Others may commit to the same tables meanwhile.
        usable = cache.up and transaction.database.watch.clear(transaction)
        found = cache.read_stamps(plan.stamp_keys) if usable else None
        joined = None if found is None else cache.usable(plan.stamp_keys, found)
        if joined is None or not _is_current(transaction, query, joined[:SETTLED_BYTES]):
            return _bypass(cache, query)
        shared = joined
    noted = transaction.noted
    marks = transaction.marks(plan.tables)
    body = transaction.overlay.seen(fingerprint, marks, shared)
    if body is not None:
        rows = codec.decode(body)
        if cache.inspects:

            def unchanged() -> bool:
                if snapshot:
                    return True
                now = cache.read_stamps(plan.stamp_keys)
                return now is not None and None not in now and b"".join(now) == shared  # type: ignore[arg-type]

            return _inspect(transaction, query, rows, unchanged)
        cache.counters.hits += 1
        return _shape(rows, query.multi)
    cache.counters.misses += 1
    context = transaction.session.context
    result = query.run()
    body = cache.encode(_rows(result, query.multi))
    # A thread that shares the connection may have written meanwhile, and have rolled it back.
    if body is not None and noted == transaction.noted and _same_session(transaction, context):
        transaction.overlay.see(fingerprint, Seen(marks, shared, body))
    return result


def _is_current(transaction: Transaction, query: Read, everything: bytes) -> bool:
    """Tell whether the plan of a query that has not run yet holds for the schema as it is."""
    return transaction.database.is_current(transaction, query.sql, query.plan, everything)


def _same_session(transaction: Transaction, context: bytes) -> bool:
    """Tell whether a query ran in the session that its fingerprint speaks of.

    It may have opened the connection, whose settings nobody knew before, and a cursor may change
    settings as it is made.
    """
    return transaction_of(transaction.connection).session.context == context


def _inspect(
    transaction: Transaction, query: Read, rows: list[Row], unchanged: Callable[[], bool]
) -> Any:
    """Compare a hit with the database where `VERIFY` or shadow mode asks for it."""
    cache = transaction.cache
    cache.counters.hits += 1
    if not cache.shadow and random() >= cache.config.verify:  # noqa: S311
        return _shape(rows, query.multi)
    result = query.run()
    fresh = _rows(result, query.multi)
    if query.witness is None:
        same = same_rows(rows, fresh, ordered=query.plan.ordered)
    else:
        # Which row there is makes no difference.
        same = bool(rows) is bool(fresh)
    if not same and unchanged():
        cache.counters.stale += 1
        transaction.overlay.forget()
        cache.touch(query.keys)
        report_difference(
            query.sql, rows, fresh, raises=cache.config.verify_raises and not cache.shadow
        )
    return result


def _same_stamps(
    cache: QueryCache, keys: Sequence[bytes], before: Sequence[bytes | None]
) -> Callable[[], bool]:
    def unchanged() -> bool:
        now = cache.read_stamps(keys)
        return now is not None and list(now) == list(before)

    return unchanged


def _bypass(cache: QueryCache, query: Read) -> Any:
    cache.counters.bypassed += 1
    return query.run()


def _shape(rows: list[Row], multi: bool) -> Any:
    if multi:
        return [rows] if rows else []
    return rows[0] if rows else None


def _rows(result: Any, multi: bool) -> list[Row]:
    if multi:
        return list(chain.from_iterable(result))
    return [] if result is None else [result]

"""Isolation levels: snapshots keep to themselves, and dirty reads are never kept."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.environment import Environment, elsewhere, in_thread
from tests.library.models import Author, Genre, Publisher
from tests.watching import Watch, alias_of, execute, seed

postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)


def names(using: str) -> list[str]:
    return list(Genre.objects.using(using).order_by("name").values_list("name", flat=True))


def fresh(using: str) -> list[str]:
    with querycache.disabled():
        return names(using)


def add(using: str, name: str) -> Any:
    return elsewhere(lambda: Genre.objects.using(using).create(name=name))


def _snapshot_stays_apart(using: str, reader: str, cache: QueryCache) -> None:
    """Read in a transaction of `reader` while others commit through `using`."""
    names(using)
    with transaction.atomic(reader):
        assert names(reader) == ["crime", "poetry"]
        add(using, "new")
        # Repeatable, also for a query that the shared cache knows by now.
        assert elsewhere(lambda: names(using)) == ["crime", "new", "poetry"]
        stored = cache.counters.stored
        assert names(reader) == fresh(reader) == ["crime", "poetry"]
        hits = cache.counters.hits
        for _ in range(3):
            assert names(reader) == fresh(reader) == ["crime", "poetry"]
        assert cache.counters.hits == hits + 3
        # What it sees for the first time now is not for others.
        assert Genre.objects.using(reader).count() == 2
        assert Genre.objects.using(reader).count() == 2
        assert cache.counters.stored == stored
        assert elsewhere(Genre.objects.using(using).count) == 3
        assert elsewhere(Genre.objects.using(using).count) == 3
        assert Genre.objects.using(reader).count() == 2
    assert names(reader) == fresh(reader) == ["crime", "new", "poetry"]
    with transaction.atomic(reader):
        assert names(reader) == ["crime", "new", "poetry"]
    add(using, "newer")
    with transaction.atomic(reader):
        assert names(reader) == ["crime", "new", "newer", "poetry"]


@postgresql
@pytest.mark.parametrize("level", ["REPEATABLE_READ", "SERIALIZABLE"])
def test_snapshots_of_postgresql(database: str, cache: QueryCache, level: str) -> None:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    seed(database)
    options = {"isolation_level": IsolationLevel[level]}
    with alias_of(database, OPTIONS=options) as reader:
        _snapshot_stays_apart(database, reader, cache)


@mariadb
@pytest.mark.parametrize("level", ["repeatable read"])
def test_snapshots_of_mariadb(database: str, cache: QueryCache, level: str) -> None:
    seed(database)
    with alias_of(database, OPTIONS={"isolation_level": level}) as reader:
        _snapshot_stays_apart(database, reader, cache)


@mariadb
def test_serializable_of_mariadb_locks_what_it_reads(database: str, cache: QueryCache) -> None:
    seed(database)
    with (
        alias_of(database, OPTIONS={"isolation_level": "serializable"}) as reader,
        transaction.atomic(reader),
    ):
        assert names(reader) == names(reader) == ["crime", "poetry"]
        assert elsewhere(lambda: names(database)) == ["crime", "poetry"]


@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_snapshots_of_sqlite(database: str, cache: QueryCache) -> None:
    seed(database)
    _snapshot_stays_apart(database, database, cache)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_transaction_of_sqlite_without_wal(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    names(database)
    hits = cache.counters.hits
    with transaction.atomic(database):
        assert names(database) == names(database) == ["crime", "poetry"]
        assert Genre.objects.using(database).count() == 2
        assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
    assert elsewhere(Genre.objects.using(database).count) == 2
    assert cache.counters.hits == hits + 4
    watch.check()


@postgresql
def test_the_default_of_a_role(database: str, cache: QueryCache) -> None:
    execute(database, "DROP ROLE IF EXISTS snapshots")
    execute(database, "CREATE ROLE snapshots LOGIN SUPERUSER")
    execute(database, "ALTER ROLE snapshots SET default_transaction_isolation = 'serializable'")
    try:
        seed(database)
        with alias_of(database, USER="snapshots") as reader:
            _snapshot_stays_apart(database, reader, cache)
    finally:
        execute(database, "DROP ROLE snapshots")


@mariadb
def test_the_default_of_the_server(
    database: str, cache: QueryCache, environment: Environment
) -> None:
    seed(database)
    execute(database, "SET @was = @@GLOBAL.tx_isolation")
    execute(database, "SET GLOBAL tx_isolation = 'REPEATABLE-READ'")
    try:
        with alias_of(database, OPTIONS={"isolation_level": None}) as reader:
            _snapshot_stays_apart(database, reader, cache)
    finally:
        execute(database, "SET GLOBAL tx_isolation = @was")


# -- chosen by a statement ---------------------------------------------------------------------


@postgresql
def test_set_transaction(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    with transaction.atomic(database):
        execute(database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert names(database) == ["crime", "poetry"]
        add(database, "new")
        assert elsewhere(lambda: names(database)) == ["crime", "new", "poetry"]
        assert names(database) == fresh(database) == ["crime", "poetry"]
    assert elsewhere(lambda: names(database)) == ["crime", "new", "poetry"]
    with transaction.atomic(database):
        names(database)
        hits = cache.counters.hits
        names(database)
        assert cache.counters.hits == hits + 1


@postgresql
def test_begin_with_a_level(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    for chain in (False, True):
        execute(database, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        if chain:
            execute(database, "COMMIT AND CHAIN")
        before = fresh(database)
        add(database, f"new {chain}")
        assert elsewhere(lambda: names(database)) != before
        assert names(database) == before
        execute(database, "COMMIT")
        assert names(database) == fresh(database) != before


@postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET default_transaction_isolation = 'repeatable read'",
        "SELECT set_config('default_transaction_isolation', 'repeatable read', false)",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_level_for_the_transactions_to_come(
    database: str, cache: QueryCache, statement: str, inside: bool
) -> None:
    seed(database)
    Watch(database)
    with transaction.atomic(database) if inside else contextlib.nullcontext():
        execute(database, statement)
        names(database)
    try:
        with transaction.atomic(database):
            before = fresh(database)
            add(database, "new")
            assert elsewhere(lambda: names(database)) == ["crime", "new", "poetry"]
            assert names(database) == before == fresh(database)
        assert names(database) == ["crime", "new", "poetry"]
    finally:
        connections[database].close()


@mariadb
def test_set_transaction_of_mariadb(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    execute(database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    execute(database, "START TRANSACTION")
    before = fresh(database)
    add(database, "new")
    assert elsewhere(lambda: names(database)) == ["crime", "new", "poetry"]
    assert names(database) == before == fresh(database)
    execute(database, "COMMIT")
    assert names(database) == ["crime", "new", "poetry"]


@mariadb
def test_uncommitted_rows_are_never_kept(database: str, cache: QueryCache) -> None:
    seed(database)
    Watch(database)
    with alias_of(database, OPTIONS={"isolation_level": "read uncommitted"}) as reader:
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="dirty")
            # The reader sees it, as it asked to, in autocommit and in a transaction.
            assert fresh(reader) == ["crime", "dirty", "poetry"]
            stored = cache.counters.stored
            assert Genre.objects.using(reader).count() == 3
            with transaction.atomic(reader):
                assert Genre.objects.using(reader).count() == 3
            assert cache.counters.stored == stored
            assert elsewhere(Genre.objects.using(database).count) == 2
            transaction.set_rollback(True, using=database)
        assert Genre.objects.using(reader).count() == 2
        assert elsewhere(Genre.objects.using(database).count) == 2


@mariadb
def test_ddl_ends_the_snapshot(database: str, cache: QueryCache) -> None:
    seed(database)
    with (
        alias_of(database, OPTIONS={"isolation_level": "repeatable read"}) as reader,
        transaction.atomic(reader),
    ):
        assert names(reader) == names(reader) == ["crime", "poetry"]
        add(database, "new")
        assert names(reader) == ["crime", "poetry"]
        execute(reader, "CREATE TABLE passing (id int)")
        execute(reader, "DROP TABLE passing")
        assert names(reader) == fresh(reader) == ["crime", "new", "poetry"]


@mariadb
def test_a_deadlock_takes_the_own_view_along(database: str, cache: QueryCache) -> None:
    """InnoDB answers it by rolling the whole transaction back."""
    seed(database)
    execute(database, "DELETE FROM library_review")
    publishers = Publisher.objects.using(database)
    Publisher.objects.using(database).create(name="second")
    first, second = publishers.order_by("pk").values_list("pk", flat=True)
    waiting = threading.Event()

    def other() -> None:
        with transaction.atomic(database):
            # Heavier than the other side, so that this one survives.
            for _ in range(50):
                Author.objects.using(database).create(name="weight")
            publishers.filter(pk=second).update(name="other's")
            waiting.set()
            publishers.filter(pk=first).update(name="other's too")

    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert names(database) == names(database) == ["crime", "own", "poetry"]
        list(publishers.filter(pk=first).select_for_update())
        with in_thread(other):
            assert waiting.wait(60)
            with pytest.raises(OperationalError, match="Deadlock"):
                list(publishers.filter(pk=second).select_for_update())
        assert names(database) == fresh(database) == ["crime", "poetry"]


@postgresql
def test_a_commit_that_fails_takes_the_own_view_along(database: str, cache: QueryCache) -> None:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    seed(database)
    execute(
        database,
        "CREATE TABLE tight (id int PRIMARY KEY,"
        " parent int REFERENCES tight (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    options = {"isolation_level": IsolationLevel.REPEATABLE_READ}
    try:
        with alias_of(database, OPTIONS=options) as using:
            connection = connections[using]
            connection.set_autocommit(False)
            Genre.objects.using(using).create(name="own")
            execute(using, "INSERT INTO tight VALUES (1, 99)")
            assert names(using) == names(using) == ["crime", "own", "poetry"]
            with pytest.raises(IntegrityError):
                connection.commit()
            # The server has rolled back, and begins the next transaction with this query.
            assert names(using) == ["crime", "poetry"]
            connection.rollback()
            connection.set_autocommit(True)
    finally:
        execute(database, "DROP TABLE tight")

"""Isolation levels: snapshots keep to themselves, and dirty reads are never kept."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

from querycache.cache import QueryCache
from tests.environment import Environment, elsewhere, in_thread
from tests.kinds import mariadb, postgresql, sqlite, wal
from tests.library.models import Author, Genre, Publisher
from tests.watching import Watch, alias_of, execute, fresh_genres, genres, seed


def add(using: str, name: str) -> Any:
    return elsewhere(lambda: Genre.objects.using(using).create(name=name))


def _snapshot_stays_apart(using: str, reader: str, cache: QueryCache) -> None:
    """Read in a transaction of `reader` while others commit through `using`."""
    genres(using)
    with transaction.atomic(reader):
        assert genres(reader) == ["crime", "poetry"]
        add(using, "new")
        # Repeatable, also for a query that the shared cache knows by now.
        assert elsewhere(lambda: genres(using)) == ["crime", "new", "poetry"]
        stored = cache.counters.stored
        assert genres(reader) == fresh_genres(reader) == ["crime", "poetry"]
        hits = cache.counters.hits
        for _ in range(3):
            assert genres(reader) == fresh_genres(reader) == ["crime", "poetry"]
        assert cache.counters.hits == hits + 3
        # What it sees for the first time now is not for others.
        assert Genre.objects.using(reader).count() == 2
        assert Genre.objects.using(reader).count() == 2
        assert cache.counters.stored == stored
        assert elsewhere(Genre.objects.using(using).count) == 3
        assert elsewhere(Genre.objects.using(using).count) == 3
        assert Genre.objects.using(reader).count() == 2
    assert genres(reader) == fresh_genres(reader) == ["crime", "new", "poetry"]
    with transaction.atomic(reader):
        assert genres(reader) == ["crime", "new", "poetry"]
    add(using, "newer")
    with transaction.atomic(reader):
        assert genres(reader) == ["crime", "new", "newer", "poetry"]


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
        assert genres(reader) == genres(reader) == ["crime", "poetry"]
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]


@wal
def test_snapshots_of_sqlite(database: str, cache: QueryCache) -> None:
    seed(database)
    _snapshot_stays_apart(database, database, cache)


@sqlite
def test_a_transaction_of_sqlite_without_wal(
    database: str, cache: QueryCache, watch: Watch
) -> None:
    genres(database)
    hits = cache.counters.hits
    with transaction.atomic(database):
        assert genres(database) == genres(database) == ["crime", "poetry"]
        assert Genre.objects.using(database).count() == 2
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
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
def test_set_transaction(database: str, cache: QueryCache, watch: Watch) -> None:
    with transaction.atomic(database):
        execute(database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert genres(database) == ["crime", "poetry"]
        add(database, "new")
        assert elsewhere(lambda: genres(database)) == ["crime", "new", "poetry"]
        assert genres(database) == fresh_genres(database) == ["crime", "poetry"]
    assert elsewhere(lambda: genres(database)) == ["crime", "new", "poetry"]
    with transaction.atomic(database):
        genres(database)
        hits = cache.counters.hits
        genres(database)
        assert cache.counters.hits == hits + 1


@postgresql
def test_begin_with_a_level(database: str, watch: Watch) -> None:
    for chain in (False, True):
        execute(database, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        if chain:
            execute(database, "COMMIT AND CHAIN")
        before = fresh_genres(database)
        add(database, f"new {chain}")
        assert elsewhere(lambda: genres(database)) != before
        assert genres(database) == before
        execute(database, "COMMIT")
        assert genres(database) == fresh_genres(database) != before


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
    database: str, statement: str, inside: bool, watch: Watch
) -> None:
    with transaction.atomic(database) if inside else contextlib.nullcontext():
        execute(database, statement)
        genres(database)
    try:
        with transaction.atomic(database):
            before = fresh_genres(database)
            add(database, "new")
            assert elsewhere(lambda: genres(database)) == ["crime", "new", "poetry"]
            assert genres(database) == before == fresh_genres(database)
        assert genres(database) == ["crime", "new", "poetry"]
    finally:
        connections[database].close()


@mariadb
def test_set_transaction_of_mariadb(database: str, watch: Watch) -> None:
    execute(database, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    execute(database, "START TRANSACTION")
    before = fresh_genres(database)
    add(database, "new")
    assert elsewhere(lambda: genres(database)) == ["crime", "new", "poetry"]
    assert genres(database) == before == fresh_genres(database)
    execute(database, "COMMIT")
    assert genres(database) == ["crime", "new", "poetry"]


@mariadb
def test_uncommitted_rows_are_never_kept(database: str, cache: QueryCache, watch: Watch) -> None:
    with alias_of(database, OPTIONS={"isolation_level": "read uncommitted"}) as reader:
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="dirty")
            # The reader sees it, as it asked to, in autocommit and in a transaction.
            assert fresh_genres(reader) == ["crime", "dirty", "poetry"]
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
        assert genres(reader) == genres(reader) == ["crime", "poetry"]
        add(database, "new")
        assert genres(reader) == ["crime", "poetry"]
        execute(reader, "CREATE TABLE passing (id int)")
        execute(reader, "DROP TABLE passing")
        assert genres(reader) == fresh_genres(reader) == ["crime", "new", "poetry"]


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
        assert genres(database) == genres(database) == ["crime", "own", "poetry"]
        list(publishers.filter(pk=first).select_for_update())
        with in_thread(other):
            assert waiting.wait(60)
            with pytest.raises(OperationalError, match="Deadlock"):
                list(publishers.filter(pk=second).select_for_update())
        assert genres(database) == fresh_genres(database) == ["crime", "poetry"]


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
            assert genres(using) == genres(using) == ["crime", "own", "poetry"]
            with pytest.raises(IntegrityError):
                connection.commit()
            # The server has rolled back, and begins the next transaction with this query.
            assert genres(using) == ["crime", "poetry"]
            connection.rollback()
            connection.set_autocommit(True)
    finally:
        execute(database, "DROP TABLE tight")

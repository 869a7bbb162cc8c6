"""What a transaction that sees one state does itself: writes, savepoints, its begin and end."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest
from django.db import connections, transaction

import querycache
from querycache.state import transaction_of
from tests.environment import elsewhere
from tests.library.models import Genre, Publisher
from tests.snapshots.helpers import (
    WITH_LEVELS,
    another_query,
    beside,
    everywhere,
    fresh_genres,
    genres,
    mariadb,
    postgresql,
    register_of,
    runs,
    wal,
)
from tests.stages import Register, staged
from tests.watching import execute


@everywhere
def test_own_writes(database: str) -> None:
    with register_of(database) as register:
        with transaction.atomic(register.alias):
            assert register.read() == "old"
            register.write("own")
            assert register.read() == register.read() == "own"
            assert runs(register.alias, lambda: genres(register.alias)) == []
            transaction.set_rollback(True, using=register.alias)
        assert runs(register.alias, register.read) == []
        assert register.read() == "old"


@beside
def test_savepoints_take_no_state(database: str) -> None:
    with (
        register_of(database) as register,
        transaction.atomic(register.alias),
        transaction.atomic(register.alias),
    ):
        elsewhere(register.write)
        # As without the cache: the state is that of the first read.
        assert register.read() == register.fresh() == "new"
        assert runs(register.alias, lambda: genres(register.alias)) == []
        elsewhere(lambda: register.write("newer"))
        assert register.read() == register.fresh() == "new"


@beside
def test_the_state_outlives_a_rollback_to_a_savepoint(database: str) -> None:
    with register_of(database) as register, transaction.atomic(register.alias):
        with transaction.atomic(register.alias):
            assert register.read() == "old"
            Genre.objects.using(register.alias).create(name="own")
            transaction.set_rollback(True, using=register.alias)
        if database != "sqlite_wal":
            # There the write has the file locked.
            elsewhere(register.write)
        # InnoDB has joined the transaction after the savepoint, and begins another with this.
        expected = "new" if database == "mariadb" else "old"
        assert register.read() == register.fresh() == expected
        assert another_query(register.alias) == [expected]
        assert genres(register.alias) == ["crime"]
        if database != "sqlite_wal":
            elsewhere(lambda: Genre.objects.using(register.alias).create(name="poetry"))
        assert genres(register.alias) == fresh_genres(register.alias) == ["crime"]


@mariadb
def test_a_rollback_to_a_savepoint_ends_the_state_of_innodb(database: str) -> None:
    with register_of(database) as register, transaction.atomic(register.alias):
        with transaction.atomic(register.alias):
            register.read()
            Genre.objects.using(register.alias).create(name="own")
            transaction.set_rollback(True, using=register.alias)
        first = genres(register.alias)
        elsewhere(lambda: Genre.objects.using(register.alias).create(name="poetry"))
        assert genres(register.alias) == fresh_genres(register.alias) == first


@beside
def test_each_transaction_has_a_state_of_its_own(database: str) -> None:
    with register_of(database) as register:
        for number in range(3):
            with transaction.atomic(register.alias):
                before = register.read()
                elsewhere(partial(register.write, f"new {number}"))
                assert register.read() == register.fresh() == before
            assert register.read() == f"new {number}"


@pytest.mark.parametrize("database", WITH_LEVELS, indirect=True)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_without_autocommit_the_next_statement_begins(database: str, end: str) -> None:
    with register_of(database) as register:
        connection = connections[register.alias]
        connection.set_autocommit(False)
        try:
            for number in range(3):
                before = register.read()
                assert runs(register.alias, lambda: genres(register.alias)) == []
                elsewhere(partial(register.write, f"new {number}"))
                assert elsewhere(register.read) == f"new {number}"
                assert register.read() == register.fresh() == before
                getattr(connection, end)()
                # The state of this one begins with what is served first.
                before_it = genres(register.alias)
                elsewhere(lambda: Genre.objects.using(register.alias).create(name=f"{uuid4()}"))
                assert genres(register.alias) == fresh_genres(register.alias) == before_it
                assert register.read() == register.fresh() == f"new {number}"
                getattr(connection, end)()
                elsewhere(partial(genres, register.alias))
        finally:
            connection.set_autocommit(True)


@postgresql
def test_a_raw_begin_has_another_level_than_the_drivers(database: str) -> None:
    with register_of(database) as register:
        execute(register.alias, "BEGIN")
        assert register.read() == "old"
        elsewhere(register.write)
        assert register.read() == register.fresh() == "new"
        execute(register.alias, "COMMIT")
        with transaction.atomic(register.alias):
            assert register.read() == "new"
            elsewhere(lambda: register.write("newer"))
            assert elsewhere(register.read) == "newer"
            assert register.read() == register.fresh() == "new"
            assert another_query(register.alias) == ["new"]


@postgresql
def test_a_raw_begin_at_the_servers_level(database: str) -> None:
    execute(
        database, "ALTER DATABASE library SET default_transaction_isolation = 'repeatable read'"
    )
    try:
        connections[database].close()
        with staged(database) as stage:
            register = Register(stage)
            register.warm()
            execute(database, "BEGIN")
            elsewhere(register.write)
            first = register.read()
            assert register.fresh() == first == "new"
            elsewhere(lambda: register.write("newer"))
            assert register.read() == register.fresh() == "new"
            execute(database, "COMMIT")
            assert register.read() == "newer"
    finally:
        execute(database, "ALTER DATABASE library RESET default_transaction_isolation")


@wal
def test_a_raw_begin(database: str) -> None:
    with register_of(database) as register:
        elsewhere(lambda: register.write("before"))
        assert register.fresh() == "before"
        execute(register.alias, "BEGIN")
        elsewhere(register.write)
        first = register.read()
        assert register.fresh() == first == "new"
        elsewhere(lambda: register.write("newer"))
        assert register.read() == register.fresh() == "new"
        execute(register.alias, "COMMIT")
        assert register.read() == "newer"


@mariadb
def test_a_state_that_is_taken_by_the_begin(database: str) -> None:
    with register_of(database) as register:
        execute(register.alias, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        elsewhere(register.write)
        assert elsewhere(register.read) == "new"
        assert register.read() == register.fresh() == "old"
        execute(register.alias, "COMMIT")


@pytest.mark.parametrize("database", WITH_LEVELS, indirect=True)
def test_asking_for_the_isolation_takes_no_state(database: str) -> None:
    with register_of(database) as register:
        connections[register.alias].close()
        session = transaction_of(connections[register.alias]).session
        assert not session.knows_isolation
        with transaction.atomic(register.alias):
            session = transaction_of(connections[register.alias]).session
            assert session.isolation.name == "SNAPSHOT"
            elsewhere(register.write)
            assert register.fresh() == "new"


@postgresql
def test_a_question_of_the_library_is_a_statement(database: str) -> None:
    """Finding out about a function reads the catalogue, with which the state is taken."""
    with register_of(database, "memory://") as register:
        connections[register.alias].close()
        with transaction.atomic(register.alias):
            rows = Publisher.objects.using(register.alias).extra(select={"x": "hashtext(name)"})
            querycache.explain(rows)
            elsewhere(register.write)
            assert elsewhere(register.read) == "new"
            assert register.read() == register.fresh() == "old"

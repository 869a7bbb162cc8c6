"""What the database makes of a state: conflicts, locks, and what the isolation is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from tests.environment import elsewhere
from tests.library.models import Genre, Publisher
from tests.snapshots.helpers import (
    another_query,
    everywhere,
    genres,
    mariadb,
    postgresql,
    register_of,
    runs,
    wal,
)
from tests.stages import Register, plant, staged
from tests.watching import alias_of, execute


@pytest.mark.parametrize(
    ("database", "refusal"),
    [("sqlite_wal", "locked"), ("postgresql", "could not serialize")],
    indirect=["database"],
)
def test_a_lost_update_is_refused(database: str, refusal: str) -> None:
    """The database refuses to write on top of an older state, also when it was only served."""
    with register_of(database) as register:

        def increment() -> None:
            with transaction.atomic(register.alias):
                value = register.read()
                elsewhere(lambda: register.write("theirs"))
                register.write(value + " and mine")

        with pytest.raises(OperationalError, match=refusal):
            increment()
        assert register.read() == register.fresh() == "theirs"


@postgresql
def test_write_skew_is_found(database: str) -> None:
    """Two that each read both rows and write one: no order of the two explains it.

    PostgreSQL finds it by what each has read, so it must have read it from PostgreSQL.
    """
    with register_of(database, level="serializable") as register:
        query = (
            Publisher.objects.using(register.alias).order_by("pk").values_list("name", flat=True)
        )
        register.other_write()
        plant(register.stage.store, register.keys)
        assert list(query.all()) == ["old", "another"]
        assert runs(register.alias, lambda: list(query.all())) == []

        def turn(pk: int) -> Callable[[], str]:
            def work() -> str:
                try:
                    with transaction.atomic(register.alias):
                        assert not any(name.startswith("off") for name in query.all())
                        others = Publisher.objects.using(register.alias).filter(pk=pk)
                        others.update(name=f"off {pk}")
                except OperationalError as error:
                    return str(error).partition("\n")[0]
                return "committed"

            return work

        first = register.stage.actor(turn(1)).run_to("before begin")
        second = register.stage.actor(turn(2)).run_to("before begin")
        refused = "could not serialize access due to read/write dependencies among transactions"
        assert {first.finish(), second.finish()} == {"committed", refused}


@mariadb
def test_serializable_of_mariadb_locks_what_it_reads(database: str) -> None:
    with register_of(database, level="serializable") as register:
        with transaction.atomic(register.alias):
            assert register.read() == "old"

            def write() -> None:
                execute(register.alias, "SET innodb_lock_wait_timeout = 1")
                register.write()

            with pytest.raises(OperationalError, match="Lock wait timeout"):
                elsewhere(write)
        assert register.read() == register.fresh() == "old"


# -- SQLite ---------------------------------------------------------------------------------------


@wal
def test_a_cursor_that_was_open_before_the_transaction(database: str) -> None:
    """It keeps its connection in the state of its first row, and BEGIN changes nothing of that."""
    with register_of(database) as register:
        for number in range(300):
            Genre.objects.using(register.alias).create(name=f"genre {number}")
        rows: Any = Genre.objects.using(register.alias).iterator(chunk_size=2)
        next(rows)
        elsewhere(register.write)
        assert elsewhere(register.read) == elsewhere(register.read) == "new"
        with transaction.atomic(register.alias):
            rows.close()
            assert register.read() == register.fresh() == "old"
            assert another_query(register.alias) == ["old"]
        assert register.read() == "new"


@pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)
@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_transaction_that_locks_at_its_begin(database: str, mode: str) -> None:
    with (
        alias_of(database, OPTIONS={"transaction_mode": mode}) as alias,
        staged(alias) as stage,
    ):
        register = Register(stage)
        register.warm()
        register.write("newer")
        with transaction.atomic(alias):
            assert register.read() == register.fresh() == "newer"
            assert runs(alias, register.read) == []
            register.write("own")
            assert register.read() == "own"
        assert register.read() == "own"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_wal_what_is_served_keeps_writers_out(database: str) -> None:
    """As what is read does: a writer cannot commit while a reader is in its transaction."""
    with alias_of(database, OPTIONS={"timeout": 0.05}) as writer, register_of(database) as register:

        def write() -> None:
            Publisher.objects.using(writer).filter(pk=1).update(name="new")

        with transaction.atomic(register.alias):
            assert runs(register.alias, register.read) == []
            with pytest.raises(OperationalError, match="locked"):
                elsewhere(write)
            assert register.read() == register.fresh() == "old"
        elsewhere(write)
        assert register.read() == register.fresh() == "new"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_connections_that_share_memory_have_no_state_of_their_own(database: str) -> None:
    name = "file:snapshots?mode=memory&cache=shared"
    with alias_of(database, NAME=name) as alias, staged(alias) as stage:
        from tests.environment import make_tables

        make_tables(alias)
        register = Register(stage)
        register.warm()
        with transaction.atomic(alias):
            assert register.read() == "old"
            # What was read is locked, and nothing but that.
            with pytest.raises(OperationalError, match="locked"):
                elsewhere(register.write)
            assert register.read() == register.fresh() == "old"


# -- what the isolation is ------------------------------------------------------------------------


@postgresql
def test_a_state_that_another_transaction_exports(database: str) -> None:
    other = database
    with register_of(database) as register:
        with transaction.atomic(other):
            execute(other, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            with connections[other].cursor() as cursor:
                cursor.execute("SELECT pg_export_snapshot()")
                (name,) = cursor.fetchone()
            elsewhere(register.write)
            assert elsewhere(register.read) == "new"
            with transaction.atomic(register.alias):
                execute(register.alias, f"SET TRANSACTION SNAPSHOT '{name}'")
                assert register.read() == register.fresh() == "old"
                assert another_query(register.alias) == ["old"]
        assert register.read() == "new"


@postgresql
def test_read_committed_pays_nothing(database: str) -> None:
    with register_of(database, level="read committed") as register:
        store: Any = register.stage.store
        store.calls.clear()
        with transaction.atomic(register.alias):
            assert register.read() == "old"
            elsewhere(register.write)
            assert register.read() == register.fresh() == "new"
        assert "clock" not in store.calls


@everywhere
def test_writers_and_autocommit_pay_nothing(database: str) -> None:
    """With a store on a network, whose clock costs a round trip."""
    with register_of(database) as register:
        store: Any = register.stage.store
        vars(store)["remote"] = True
        store.calls.clear()
        register.read()
        register.write("newer")
        register.write_atomically("newest")
        assert "clock" not in store.calls
        with transaction.atomic(register.alias):
            register.read()
            register.read()
            genres(register.alias)
        assert store.calls.count("clock") == 1

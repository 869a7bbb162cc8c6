"""Transactions that see one state are served what is of that state, and store what is new."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext

import querycache
from querycache.runtime import transaction_of
from querycache.stores.base import StoreError
from tests.environment import elsewhere
from tests.library.models import Genre, Publisher
from tests.stages import LossyStore, Register, plant, staged
from tests.watching import alias_of, execute

WITH_LEVELS = ("postgresql", "mariadb")
#: Where others can commit while a transaction sees an older state.
BESIDE = ("sqlite_wal", "postgresql", "mariadb")
EVERYWHERE = ("sqlite", *BESIDE)

_numbers = itertools.count()


def level_of(database: str, level: str) -> Any:
    if database == "postgresql":
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        return IsolationLevel[level.upper().replace(" ", "_")]
    return level


@contextmanager
def register_of(
    database: str, store_url: str = "memory://", level: str = "repeatable read", **settings: Any
) -> Iterator[Register]:
    """A register with a warm cache on an alias whose transactions see one state."""
    with ExitStack() as stack:
        alias = database
        if database in WITH_LEVELS:
            options = {"isolation_level": level_of(database, level)}
            alias = stack.enter_context(alias_of(database, OPTIONS=options))
        stage = stack.enter_context(staged(alias, STORE=store_url, **settings))
        register = Register(stage)
        Genre.objects.using(alias).create(name="crime")
        plant(stage.store, [*register.keys, *keys_of(alias, Genre)])
        genres(alias)
        register.read()
        yield register


def keys_of(alias: str, *models: Any) -> tuple[bytes, ...]:
    database = transaction_of(connections[alias]).database
    return database.stamp_keys([model._meta.db_table for model in models])


def genres(alias: str) -> list[str]:
    return list(Genre.objects.using(alias).order_by("name").values_list("name", flat=True))


def fresh_genres(alias: str) -> list[str]:
    with querycache.disabled():
        return genres(alias)


def another_query(alias: str) -> list[str]:
    """Another query of the register's table, which nobody has run yet."""
    one = f"nobody {next(_numbers)}"
    return list(Publisher.objects.using(alias).exclude(name=one).values_list("name", flat=True))


def runs(alias: str, work: Callable[[], Any]) -> list[str]:
    """Return the statements that something runs."""
    with CaptureQueriesContext(connections[alias]) as captured:
        work()
    return [query["sql"] for query in captured]


everywhere = pytest.mark.parametrize("database", EVERYWHERE, indirect=True)
beside = pytest.mark.parametrize("database", BESIDE, indirect=True)
stores = pytest.mark.parametrize(
    "store_url", ["memory", "lmdb", "redis", "memcached"], indirect=True
)
postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
wal = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)


# -- served, and stored ------------------------------------------------------------------------


@everywhere
@stores
def test_hits(database: str, store_url: str) -> None:
    with register_of(database, store_url) as register, transaction.atomic(register.alias):
        assert runs(register.alias, register.read) == []
        assert runs(register.alias, register.read) == []
        assert runs(register.alias, lambda: genres(register.alias)) == []
        assert register.read() == "old"


@everywhere
@stores
def test_what_is_provably_new_is_stored(database: str, store_url: str) -> None:
    with register_of(database, store_url) as register:
        query = Publisher.objects.using(register.alias).filter(pk=1).values_list("pk", "name")
        with transaction.atomic(register.alias):
            assert list(query.all()) == [(1, "old")]
        assert runs(register.alias, lambda: list(query.all())) == []
        assert elsewhere(lambda: runs(register.alias, lambda: list(query.all()))) == []


@beside
@stores
def test_a_read_is_repeatable(database: str, store_url: str) -> None:
    """The first hit already has the database take the state that the rest is read from."""
    with register_of(database, store_url) as register, transaction.atomic(register.alias):
        assert runs(register.alias, register.read) == []
        elsewhere(register.write)
        assert register.fresh() == "old"
        assert register.read() == "old"
        assert another_query(register.alias) == ["old"]
        assert elsewhere(register.read) == "new"
        assert register.read() == "old"
        # What was not written since is still served.
        assert runs(register.alias, lambda: genres(register.alias)) == []


@beside
@stores
def test_what_is_served_first_is_of_the_state_of_all_that_follows(
    database: str, store_url: str
) -> None:
    with register_of(database, store_url) as register, transaction.atomic(register.alias):
        assert genres(register.alias) == ["crime"]
        elsewhere(register.write)
        elsewhere(lambda: Genre.objects.using(register.alias).create(name="poetry"))
        assert elsewhere(register.read) == "new"
        assert register.read() == register.fresh() == "old"
        assert genres(register.alias) == ["crime"]


@beside
@stores
def test_old_rows_are_never_stored(database: str, store_url: str) -> None:
    """Stamps that are read after the state was taken may be newer than the rows."""
    with register_of(database, store_url) as register, transaction.atomic(register.alias):
        genres(register.alias)
        elsewhere(register.write)
        query = Publisher.objects.using(register.alias).filter(pk=1).values_list("pk", "name")
        assert list(query.all()) == [(1, "old")]
        assert list(query.all()) == [(1, "old")]
        assert elsewhere(lambda: list(query.all())) == [(1, "new")]
        assert list(query.all()) == [(1, "old")]


@beside
@stores
def test_a_statement_of_the_project_may_have_the_state_taken(database: str, store_url: str) -> None:
    with register_of(database, store_url) as register, transaction.atomic(register.alias):
        # As much as any read, but not the cache's.
        assert register.fresh() == "old"
        elsewhere(register.write)
        assert elsewhere(register.read) == "new"
        assert register.read() == "old"
        assert another_query(register.alias) == ["old"]
        query = Publisher.objects.using(register.alias).filter(pk=1).values_list("pk", "name")
        assert list(query.all()) == [(1, "old")]
        assert elsewhere(lambda: list(query.all())) == [(1, "new")]


@beside
def test_behind_a_statement_of_the_project(database: str) -> None:
    """A clock that costs nothing is read before it, so there are hits nevertheless."""
    with register_of(database, "memory://") as register:
        # The isolation of a connection is known once it was asked for.
        with transaction.atomic(register.alias):
            register.read()
        with transaction.atomic(register.alias):
            register.fresh()
            assert runs(register.alias, register.read) == []
            elsewhere(register.write)
            assert register.read() == register.fresh() == "old"


# -- a write in flight -------------------------------------------------------------------------


@beside
@pytest.mark.parametrize("point", ["before begin", "after begin", "before query", "before end"])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_write_in_flight_when_the_clock_is_read(database: str, point: str, atomic: bool) -> None:
    with register_of(database) as register:
        write = register.write_atomically if atomic else register.write
        writer = register.stage.actor(write).run_to(point)
        with transaction.atomic(register.alias):
            genres(register.alias)
            first = register.read()
            assert register.fresh() == first
            writer.finish()
            assert register.read() == register.fresh() == first
            assert another_query(register.alias) == [first]
            elsewhere(lambda: another_query(register.alias))
            assert elsewhere(register.read) == "new"
            assert register.read() == register.fresh() == first
        assert register.read() == "new"


@everywhere
def test_a_write_between_the_clock_and_the_state(database: str) -> None:
    """It is in the state, but was over after the clock: nothing of before it is served."""
    with register_of(database) as register:

        def read_twice() -> tuple[str, str]:
            with transaction.atomic(register.alias):
                return register.read(), register.fresh()

        reader = register.stage.actor(read_twice).run_to("after clock")
        register.write()
        assert reader.finish() == ("new", "new")


@beside
def test_a_write_between_the_state_and_the_look_at_the_store(database: str) -> None:
    with register_of(database) as register:

        def read_twice() -> tuple[str, str]:
            with transaction.atomic(register.alias):
                return register.read(), register.fresh()

        reader = register.stage.actor(read_twice).run_to("before read")
        register.write()
        assert register.read() == "new"
        assert reader.finish() == ("old", "old")
        assert register.read() == "new"


@beside
def test_a_write_between_the_look_at_the_store_and_the_query(database: str) -> None:
    with register_of(database) as register:
        query = Publisher.objects.using(register.alias).filter(pk=1).values_list("pk", "name")

        def read_twice() -> list[Any]:
            with transaction.atomic(register.alias):
                return [*query.all(), *query.all()]

        reader = register.stage.actor(read_twice).run_to("after read")
        register.write()
        assert reader.finish() == [(1, "old")] * 2
        assert list(query.all()) == [(1, "new")]


# -- the counter and the store -----------------------------------------------------------------


@beside
def test_the_counter_is_lost(database: str) -> None:
    """It begins anew far below the clock that was read, so what is new would look old."""
    with register_of(database, store=LossyStore) as register, transaction.atomic(register.alias):
        genres(register.alias)
        lossy: Any = register.stage.store
        lossy.inner.evict_counter()
        elsewhere(register.write)
        assert elsewhere(register.read) == elsewhere(register.read) == "new"
        assert register.read() == register.fresh() == "old"


@beside
def test_the_store_is_down_when_the_clock_is_read(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with register_of(database) as register:
        store: Any = register.stage.store

        def fail() -> Any:
            raise StoreError("no clock")

        with transaction.atomic(register.alias):
            monkeypatch.setattr(store, "clock", fail)
            assert register.read() == "old"
            monkeypatch.undo()
            register.stage.cache.breaker.reset()
            elsewhere(register.write)
            assert elsewhere(register.read) == "new"
            assert another_query(register.alias) == [register.read()] == ["old"]
        assert register.read() == "new"


def write_without_the_store(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write while the store answers no writer: the write is in the database's journal alone."""

    def fail(*_: Any) -> Any:
        raise StoreError("cut off")

    for step in ("begin", "end", "touch"):
        monkeypatch.setattr(register.stage.store, step, fail)
    elsewhere(register.write)
    monkeypatch.undo()
    register.stage.cache.breaker.reset()


@beside
def test_a_write_that_is_in_the_journal_alone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state has it, and no stamp says so."""
    with register_of(database) as register:
        write_without_the_store(register, monkeypatch)
        with transaction.atomic(register.alias):
            assert register.read() == register.fresh() == "new"
            assert genres(register.alias) == ["crime"]
        assert register.read() == "new"


class Unaware:
    """A follower of stamps that no message of a change has reached yet."""

    def __init__(self, keys: Sequence[bytes], stamps: Sequence[bytes | None]) -> None:
        self._told = dict(zip(keys, stamps, strict=True))

    def known(self, keys: Sequence[bytes]) -> list[bytes | None] | None:
        return [self._told[key] for key in keys] if set(keys) <= set(self._told) else None

    def ticket(self) -> int:
        return 0

    def note(self, ticket: int, keys: Sequence[bytes], stamps: Sequence[bytes | None]) -> None:
        pass


@beside
def test_changes_that_were_not_told_yet(database: str) -> None:
    """A near cache may lag behind a commit, and a state that has it must not be mixed with that."""
    with register_of(database, NEAR="push") as register:
        near: Any = register.stage.cache.near
        register.read()
        near.follower = Unaware(register.keys, register.stage.store.stamps(register.keys))
        elsewhere(register.write)
        assert register.read() == "old"
        with transaction.atomic(register.alias):
            assert register.read() == register.fresh() == "new"


@beside
def test_bounded_mode_keeps_to_what_the_transaction_has_read(database: str) -> None:
    """There a write is told after its commit: nobody knows which entries a state has outlived."""
    with register_of(database, CONSISTENCY="bounded") as register:
        writer = register.stage.actor(register.write).run_to("before touch")
        with transaction.atomic(register.alias):
            first = register.read()
            writer.finish()
            assert register.read() == register.fresh() == first == "new"


# -- what the transaction does itself ----------------------------------------------------------


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


# -- conflicts that the database must see ------------------------------------------------------


@wal
def test_a_lost_update_is_refused(database: str) -> None:
    """SQLite refuses to write on top of an older state, also when it was only served."""
    with register_of(database) as register:

        def increment() -> None:
            with transaction.atomic(register.alias):
                value = register.read()
                elsewhere(lambda: register.write("theirs"))
                register.write(value + " and mine")

        with pytest.raises(OperationalError, match="locked"):
            increment()
        assert register.read() == register.fresh() == "theirs"


@postgresql
def test_an_update_of_a_row_that_has_changed_is_refused(database: str) -> None:
    with register_of(database) as register:

        def increment() -> None:
            with transaction.atomic(register.alias):
                value = register.read()
                elsewhere(lambda: register.write("theirs"))
                register.write(value + " and mine")

        with pytest.raises(OperationalError, match="could not serialize"):
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


# -- SQLite ------------------------------------------------------------------------------------


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


# -- what the isolation is ---------------------------------------------------------------------


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

"""Transactions that end, begin or go on where it is easily overlooked."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from querycache.signals import invalidated
from querycache.state import transaction_of
from tests.environment import elsewhere, in_thread
from tests.kinds import concurrent, every, mariadb, on, postgresql, servers, sqlites, wal
from tests.library.models import Author, Genre
from tests.snapshots.helpers import level_of
from tests.stores.calls import until
from tests.watching import TABLES, Watch, alias_of, execute, fresh_genres, genres

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

#: `PQTRANS_ACTIVE` of libpq.
ACTIVE = 1

RENAME = "UPDATE library_genre SET name = 'other' WHERE name = 'crime'"


def authors(using: str) -> list[str]:
    return list(Author.objects.using(using).order_by("pk").values_list("name", flat=True))


# -- what callbacks of a commit write -------------------------------------------------------------


@every
def test_a_hook_that_begins_a_transaction(database: str, watch: Watch) -> None:
    """It is over when that is, not when the hooks are."""

    def begin() -> None:
        execute(database, "BEGIN")
        execute(database, RENAME)

    with transaction.atomic(using=database):
        Author.objects.using(database).create(name="Cid")
        transaction.on_commit(begin, using=database)
    execute(database, "COMMIT")
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@every
def test_a_hook_that_fails_is_the_last_one(database: str, watch: Watch) -> None:
    """As without the cache: the rest of them are not run, and autocommit is on."""
    ran: list[int] = []

    def fail() -> None:
        raise KeyError

    def commit() -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Cid")
            transaction.on_commit(fail, using=database)
            transaction.on_commit(lambda: ran.append(1), using=database)

    with pytest.raises(KeyError):
        commit()
    assert connections[database].get_autocommit()
    assert ran == []
    watch.check_rows()


@pytest.fixture
def receiving(database: str) -> Iterator[None]:
    """A receiver writes to another table than that of the commit which it hears of."""

    def write(tables: frozenset[str], **_: Any) -> None:
        if "library_author" in tables:
            Genre.objects.using(database).filter(name="crime").update(name="other")

    invalidated.connect(write)
    yield
    invalidated.disconnect(write)


@concurrent
@pytest.mark.usefixtures("receiving")
def test_a_receiver_that_writes_after_a_raw_commit(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    execute(database, "UPDATE library_author SET name = 'Ada' WHERE name = 'Ann'")
    execute(database, "COMMIT")
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@concurrent
@pytest.mark.usefixtures("receiving")
def test_a_receiver_that_writes_between_commits(database: str, watch: Watch) -> None:
    connection = connections[database]
    connection.set_autocommit(False)
    Author.objects.using(database).filter(name="Ann").update(name="Ada")
    connection.commit()
    connection.commit()
    connection.set_autocommit(True)
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


# -- SQLite with autocommit off -------------------------------------------------------------------


@sqlites
def test_a_savepoint_that_is_the_transaction(database: str, watch: Watch) -> None:
    """sqlite3 begins none before SAVEPOINT, so its release commits."""
    connection = connections[database]
    connection.set_autocommit(False)
    try:
        with transaction.atomic(using=database):
            Genre.objects.using(database).filter(name="crime").update(name="other")
        connection.commit()
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    finally:
        connection.set_autocommit(True)
    watch.check_rows()


@sqlites
@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (SELECT 'other' AS v) " + RENAME.replace("'other'", "(SELECT v FROM x)"),
        f";{RENAME}",
        f"/* no more than that */ {RENAME}",
    ],
    ids=["with", "empty statement", "comment"],
)
def test_statements_before_which_no_transaction_is_begun(
    database: str, watch: Watch, sql: str
) -> None:
    connection = connections[database]
    connection.set_autocommit(False)
    try:
        execute(database, sql)
        if not connection.connection.in_transaction:
            assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
        connection.commit()
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    finally:
        connection.set_autocommit(True)
    watch.check_rows()


# -- a transaction that goes on -------------------------------------------------------------------


@wal
def test_autocommit_that_was_off_already(database: str, watch: Watch) -> None:
    connection = connections[database]
    connection.set_autocommit(False)
    try:
        execute(database, "BEGIN")
        authors(database)
        elsewhere(lambda: execute(database, RENAME))
        connection.set_autocommit(False)
        assert genres(database) == ["crime", "poetry"]
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    watch.check_rows()


def begins_by_hand(alias: str) -> None:
    execute(alias, "BEGIN")
    execute(alias, "SELECT * FROM library_author")
    elsewhere(lambda: execute(alias, RENAME))
    with transaction.atomic(using=alias):
        genres(alias)


def turns_autocommit_off(alias: str) -> None:
    execute(alias, "SET autocommit = 0")
    execute(alias, "SELECT * FROM library_author")
    elsewhere(lambda: execute(alias, RENAME))
    with transaction.atomic(using=alias):
        genres(alias)


@mariadb
@pytest.mark.parametrize("begin", [begins_by_hand, turns_autocommit_off])
def test_atomic_in_a_transaction_that_was_begun_before(
    database: str, watch: Watch, begin: Callable[[str], None]
) -> None:
    options = {"isolation_level": level_of(database, "repeatable read")}
    with alias_of(database, OPTIONS=options) as alias:
        genres(alias)
        begin(alias)
        assert elsewhere(lambda: genres(alias)) == ["other", "poetry"]
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@postgresql
def test_begin_in_a_transaction_is_a_warning(database: str, watch: Watch) -> None:
    """The state that it sees stays the same."""
    options = {"options": r"-c default_transaction_isolation=repeatable\ read"}
    with alias_of(database, OPTIONS=options) as alias:
        genres(alias)
        with transaction.atomic(using=alias):
            authors(alias)
            elsewhere(lambda: execute(alias, RENAME))
            execute(alias, "BEGIN")
            assert genres(alias) == ["crime", "poetry"]
        assert elsewhere(lambda: genres(alias)) == ["other", "poetry"]
    watch.check_rows()


# -- a server that goes on ------------------------------------------------------------------------


SCRIPT = f"SELECT 1; SELECT GET_LOCK('ends', 10); {RENAME}"


@pytest.fixture
def holding(database: str) -> Iterator[Callable[[], None]]:
    """Have a lock that others wait for; gives what lets go of it."""
    with alias_of(database) as other:
        execute(other, "SELECT GET_LOCK('ends', 10)")
        yield lambda: execute(other, "SELECT RELEASE_LOCK('ends')")


def by_script(database: str, cursor: Any) -> None:
    cursor.execute(SCRIPT)


def by_call(database: str, cursor: Any) -> None:
    cursor.execute("CALL goes_on()")


def by_callproc(database: str, cursor: Any) -> None:
    cursor.callproc("goes_on")


@mariadb
@pytest.mark.parametrize("end", ["closed", "used again", "dropped"])
@pytest.mark.parametrize("run", [by_script, by_call, by_callproc])
def test_results_that_are_still_to_come(
    database: str,
    watch: Watch,
    holding: Callable[[], None],
    run: Callable[[str, Any], None],
    end: str,
) -> None:
    """The driver waits for the first one only, and the server commits after that."""
    execute(database, "DROP PROCEDURE IF EXISTS goes_on")
    execute(database, f"CREATE PROCEDURE goes_on() BEGIN {SCRIPT}; END")
    watch.warm()
    cursor = connections[database].cursor()
    run(database, cursor)
    for _ in range(3):
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
    holding()
    if end == "closed":
        cursor.close()
    elif end == "used again":
        with closing(cursor):
            cursor.execute("SELECT 1")
    else:
        del cursor
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    execute(database, "DROP PROCEDURE goes_on")
    watch.check_rows()


@postgresql
@pytest.mark.parametrize("given_up", ["connection", "statement"])
def test_a_statement_that_the_client_has_given_up(
    database: str, watch: Watch, given_up: str
) -> None:
    """The server does not know, and commits when it is done."""
    connection = connections[database]
    connection.ensure_connection()
    driver: Any = connection.connection

    def cut() -> None:
        until(lambda: driver.info.transaction_status == ACTIVE)
        if given_up == "connection":
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as copy:
                copy.shutdown(socket.SHUT_RDWR)
        else:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def soft_time_limit(*_: Any) -> None:
        raise KeyError("as Celery's")

    former = signal.signal(signal.SIGALRM, soft_time_limit)
    with alias_of(database) as holder:
        execute(holder, "SELECT pg_advisory_lock(7)")
        slowly = f"{RENAME} AND (SELECT count(*) FROM (SELECT pg_advisory_lock(7)) x) = 1"
        try:
            with in_thread(cut), pytest.raises((DatabaseError, KeyError)):
                execute(database, slowly)
        finally:
            signal.signal(signal.SIGALRM, former)
        for _ in range(3):
            assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
        execute(holder, "SELECT pg_advisory_unlock(7)")
        until(lambda: elsewhere(lambda: fresh_genres(database)) == ["other", "poetry"])
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    driver.close()
    connection.close()
    watch.check_rows()


@mariadb
def test_a_cursor_that_has_run_ddl_and_is_kept(database: str, watch: Watch) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute("ALTER TABLE library_thing ADD COLUMN more int")
        watch.check("*")
        cursor.execute("ALTER TABLE library_thing DROP COLUMN more")
        watch.check("*")


@mariadb
def test_a_cursor_that_calls_twice(database: str, watch: Watch) -> None:
    """The first call is over when the second is made, and its lease with it."""
    execute(database, "DROP PROCEDURE IF EXISTS renames")
    execute(database, f"CREATE PROCEDURE renames() BEGIN {RENAME}; END")
    with connections[database].cursor() as cursor:
        for _ in range(2):
            cursor.callproc("renames")
            cursor.nextset()
        cursor.execute("CALL renames()")
        cursor.callproc("renames")
    execute(database, "DROP PROCEDURE renames")
    watch.check("*")


# -- temporary tables -----------------------------------------------------------------------------

_TABLE = {
    "sqlite": "(id integer, name varchar(40))",
    "postgresql": "(id bigint, name varchar(40))",
    "mariadb": "(id bigint, name varchar(40))",
}


@every
def test_a_temporary_table_that_takes_the_name_of_another(database: str, watch: Watch) -> None:
    columns = _TABLE[database.partition("_")[0]]
    execute(database, f"CREATE TEMPORARY TABLE xx {columns}")
    execute(database, "INSERT INTO xx VALUES (6, 'own')")
    execute(database, "ALTER TABLE xx RENAME TO library_genre")
    try:
        for _ in range(2):
            assert genres(database) == ["own"]
            assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
    finally:
        connections[database].close()


def dropped_with_the_commit(database: str) -> None:
    with transaction.atomic(using=database):
        execute(database, "CREATE TEMP TABLE library_thing (id int) ON COMMIT DROP")


def dropped_by_name(database: str) -> None:
    execute(database, "CREATE TEMPORARY TABLE library_thing (id int)")
    execute(database, "DROP TEMPORARY TABLE library_thing")


def rolled_back(database: str) -> None:
    execute(database, "BEGIN")
    execute(database, "CREATE TEMPORARY TABLE library_thing (id int)")
    execute(database, "ROLLBACK")


def rolled_back_to_a_savepoint(database: str) -> None:
    execute(database, "BEGIN")
    execute(database, "SAVEPOINT s")
    execute(database, "CREATE TEMPORARY TABLE library_thing (id int)")
    execute(database, "ROLLBACK TO SAVEPOINT s")


@pytest.mark.parametrize(
    ("database", "make"),
    [
        ("postgresql", dropped_with_the_commit),
        ("postgresql", rolled_back),
        ("postgresql", rolled_back_to_a_savepoint),
        ("mariadb", dropped_by_name),
        ("sqlite", rolled_back),
        ("sqlite", rolled_back_to_a_savepoint),
    ],
    indirect=["database"],
)
def test_a_name_that_outlives_its_temporary_table(
    database: str, watch: Watch, make: Callable[[str], None]
) -> None:
    """What is altered under it then is what others see."""
    make(database)
    execute(database, "ALTER TABLE library_thing ADD COLUMN more int")
    if make is rolled_back_to_a_savepoint:
        execute(database, "COMMIT")
    try:
        assert elsewhere(watch.cold) >= set(TABLES)
    finally:
        execute(database, "ALTER TABLE library_thing DROP COLUMN more")


@servers
def test_dropping_a_temporary_table_is_nobody_elses_business(database: str, watch: Watch) -> None:
    for _ in range(2):
        execute(database, "CREATE TEMPORARY TABLE own (id int)")
        execute(database, "DROP TABLE own")
    with transaction.atomic(using=database):
        execute(database, "CREATE TEMPORARY TABLE own (id int)")
        if database == "postgresql":
            execute(database, "DROP TABLE own")
    watch.check()


# -- within a transaction -------------------------------------------------------------------------


@postgresql
def test_triggers_that_wait_and_are_told_not_to(database: str, watch: Watch) -> None:
    execute(
        database,
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {RENAME}; RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER follows AFTER UPDATE ON library_author"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION follow()",
    )
    try:
        watch.warm()
        with transaction.atomic(using=database):
            Author.objects.using(database).filter(name="Ann").update(name="Ada")
            for _ in range(2):
                assert genres(database) == ["crime", "poetry"]
            connections[database].check_constraints()
            assert genres(database) == ["other", "poetry"]
        watch.check_rows()
    finally:
        execute(database, "DROP TRIGGER follows ON library_author; DROP FUNCTION follow()")


@on("sqlite_wal", "postgresql")
def test_a_thread_that_shares_the_connection_and_reads_what_is_taken_back(
    database: str, watch: Watch
) -> None:
    connection = connections[database]
    asked, told = threading.Event(), threading.Event()
    read: list[list[str]] = []

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            asked.set()
            assert told.wait(10)
        return execute(sql, params, many, context)

    def reading() -> None:
        connections[database] = connection
        with connection.execute_wrapper(wait):
            read.append(genres(database))
        # It is not the thread's to close.
        del connections[database]

    connection.inc_thread_sharing()
    try:
        with transaction.atomic(using=database):
            Genre.objects.using(database).filter(name="poetry").update(name="prose")
            execute(database, "SAVEPOINT s")
            with in_thread(reading):
                assert asked.wait(10)
                execute(database, RENAME)
                told.set()
            assert read == [["other", "prose"]]
            execute(database, "ROLLBACK TO SAVEPOINT s")
            assert genres(database) == ["crime", "prose"]
    finally:
        connection.dec_thread_sharing()
    watch.check_rows()


# -- a look at the journal ------------------------------------------------------------------------


@pytest.fixture
def weak(database: str) -> Iterator[str]:
    """A role that may read one table, and none of querycache's."""
    execute(database, "CREATE ROLE weak")
    execute(database, "GRANT SELECT ON library_genre TO weak")
    yield "weak"
    execute(database, "DROP OWNED BY weak; DROP ROLE weak")


@postgresql
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("seen", ["role", "search_path"])
def test_who_may_not_see_the_journal_loses_no_transaction(
    database: str, watch: Watch, weak: str, level: str, seen: str
) -> None:
    with alias_of(database, OPTIONS={"isolation_level": level_of(database, level)}) as alias:
        genres(alias)
        # Others have seen it.
        transaction_of(connections[database]).database.watch.clear(
            transaction_of(connections[alias])
        )
        with transaction.atomic(using=alias):
            if seen == "role":
                execute(alias, f"SET LOCAL ROLE {weak}")
            else:
                execute(alias, "SET LOCAL search_path = pg_catalog")
            transaction_of(connections[alias]).database.watch.expire()
            if seen == "role":
                assert genres(alias) == ["crime", "poetry"]
            else:
                with pytest.raises(DatabaseError, match="library_genre"), transaction.atomic(alias):
                    genres(alias)
            execute(alias, "SELECT 1")
            execute(alias, "RESET ROLE; RESET search_path")
            execute(alias, RENAME)
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()

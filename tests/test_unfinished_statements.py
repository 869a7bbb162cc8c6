"""Statements that the server is still at when the client has its answer, or waits for none."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DatabaseError, connections

from tests.environment import elsewhere, in_thread
from tests.kinds import mariadb, postgresql
from tests.stores.calls import until
from tests.watching import RENAME, Watch, alias_of, execute, fresh_genres, genres

#: `PQTRANS_ACTIVE` of libpq.
ACTIVE = 1

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

"""Transactions that end, begin or go on where it is easily overlooked."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections, transaction

from tests.environment import elsewhere, in_thread
from tests.kinds import mariadb, on, postgresql, sqlites, wal
from tests.library.models import Author, Genre
from tests.snapshots.helpers import level_of
from tests.watching import (
    RENAME,
    Watch,
    alias_of,
    autocommit_off,
    execute,
    genres,
)


def authors(using: str) -> list[str]:
    return list(Author.objects.using(using).order_by("pk").values_list("name", flat=True))


# -- SQLite with autocommit off --------------------------------------------------------------------


@sqlites
def test_a_savepoint_that_is_the_transaction(database: str, watch: Watch) -> None:
    """sqlite3 begins none before SAVEPOINT, so its release commits."""
    with autocommit_off(database) as connection:
        with transaction.atomic(using=database):
            Genre.objects.using(database).filter(name="crime").update(name="other")
        connection.commit()
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
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
    with autocommit_off(database) as connection:
        execute(database, sql)
        if not connection.connection.in_transaction:
            assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
        connection.commit()
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


# -- a transaction that goes on --------------------------------------------------------------------


@wal
def test_autocommit_that_was_off_already(database: str, watch: Watch) -> None:
    with autocommit_off(database) as connection:
        execute(database, "BEGIN")
        authors(database)
        elsewhere(lambda: execute(database, RENAME))
        connection.set_autocommit(False)
        assert genres(database) == ["crime", "poetry"]
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
        connection.rollback()
    watch.check_rows()


@mariadb
@pytest.mark.parametrize("begin", ["BEGIN", "SET autocommit = 0"])
def test_atomic_in_a_transaction_that_was_begun_before(
    database: str, watch: Watch, begin: str
) -> None:
    options = {"isolation_level": level_of(database, "repeatable read")}
    with alias_of(database, OPTIONS=options) as alias:
        genres(alias)
        execute(alias, begin)
        execute(alias, "SELECT * FROM library_author")
        elsewhere(lambda: execute(alias, RENAME))
        with transaction.atomic(using=alias):
            genres(alias)
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


# -- what its own reads may see --------------------------------------------------------------------


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

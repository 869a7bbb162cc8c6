"""Temporary tables with the name of another, and names that outlive them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connections, transaction

from tests.environment import elsewhere
from tests.kinds import every, servers
from tests.watching import TABLES, Watch, execute, genres


@every
def test_a_temporary_table_that_takes_the_name_of_another(database: str, watch: Watch) -> None:
    execute(database, "CREATE TEMPORARY TABLE xx (id integer, name varchar(40))")
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

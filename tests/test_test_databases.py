"""Test databases that are made anew, under names that the store may have heard before."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
from django.db import connections

import querycache
from querycache.cache import QueryCache
from tests.environment import add_database, remove_database
from tests.library.models import Genre


@pytest.fixture
def alias(database: str, cache: QueryCache) -> Iterator[str]:
    """An alias beside the one of the fixture, of which only the test database is ever made."""
    settings = copy.deepcopy(connections[database].settings_dict)
    # The app of these tests has no migrations, and refers to apps that have some.
    settings["TEST"] = {"NAME": "anew", "MIGRATE": False}
    add_database("made", settings)
    yield "made"
    remove_database("made")


def create(alias: str) -> None:
    connections[alias].creation.create_test_db(verbosity=0, autoclobber=True)


def outside(alias: str, name: str, *statements: str) -> None:
    """Run statements in a database of the same server, on a connection of the driver alone."""
    connection = connections[alias]
    driver = connection.get_new_connection({**connection.get_connection_params(), "dbname": name})
    driver.autocommit = True
    with driver.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    driver.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_nothing_is_left_of_a_database_of_the_same_name(alias: str) -> None:
    create(alias)
    Genre.objects.using(alias).create(name="old")
    for _ in range(2):
        assert [genre.name for genre in Genre.objects.using(alias).all()] == ["old"]
    assert querycache.explain(Genre.objects.using(alias).all()).hit
    connections[alias].close()
    outside(alias, "postgres", "CREATE DATABASE template TEMPLATE anew")
    outside(alias, "template", "UPDATE library_genre SET name = 'new'")
    # All its tables are there, so that `migrate` writes nothing.
    connections[alias].settings_dict["TEST"]["TEMPLATE"] = "template"
    create(alias)
    assert [genre.name for genre in Genre.objects.using(alias).all()] == ["new"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.skipif(django.VERSION < (6, 1), reason="nothing that Django warns of")
def test_a_warning_of_django_names_its_caller(alias: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connections[alias].creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    (warning,) = (one for one in caught if "create_test_db(serialize)" in str(one.message))
    assert Path(warning.filename).samefile(__file__)

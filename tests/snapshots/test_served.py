"""Transactions that see one state are served what is of that state, and store what is new."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from tests.environment import elsewhere
from tests.library.models import Genre, Publisher
from tests.snapshots.helpers import (
    another_query,
    beside,
    everywhere,
    genres,
    register_of,
    runs,
    stores,
)


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
        first = Publisher.objects.using(register.alias).filter(pk__lte=1)
        query = first.values_list("pk", "name")
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


# -- a write in flight ----------------------------------------------------------------------------


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

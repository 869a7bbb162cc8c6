"""Writes that fail, writes through another alias, and reads that belong to a write."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction

from querycache.cache import QueryCache
from tests.environment import add_database
from tests.kinds import every
from tests.library.models import Author, Book, Genre, Thing
from tests.watching import Watch, seed


@every
def test_a_failed_write_leaves_the_truth(database: str, watch: Watch) -> None:
    with pytest.raises(IntegrityError):
        Thing.objects.using(database).bulk_create([Thing(code="b"), Thing(code="a")])
    # Django before 6.1 does it in a transaction, whose rollback leaves nothing to announce.
    assert watch.cold() <= {"library_thing"}
    assert watch.wrong() == {}


@every
def test_an_alias_of_the_same_database_shares_its_stamps(database: str, cache: QueryCache) -> None:
    seed(database)
    second = f"{database}_again"
    add_database(second, dict(connections.settings[database]))
    try:
        watch = Watch(database)
        Author.objects.using(second).create(name="new")
        assert watch.cold() == {"library_author"}
        assert watch.wrong() == {}
        other = Watch(second)
        Genre.objects.using(database).update(name="x")
        assert other.cold() == {"library_genre"}
        assert other.wrong() == {}
    finally:
        connections[second].close()
        del connections.settings[second]


@every
def test_reads_for_a_write_are_never_served(database: str, cache: QueryCache) -> None:
    seed(database)
    locked = Book.objects.using(database).select_for_update()
    with transaction.atomic(database):
        list(locked)
        hits = cache.counters.hits
        list(locked)
    assert cache.counters.hits == hits

"""Savepoints, Django's and raw ones: what is rolled back was never there."""

# ruff: noqa: PT012 - the transaction ends by the exception that is expected
from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.environment import elsewhere
from tests.kinds import every
from tests.library.models import Author, Genre, Thing
from tests.watching import Watch, execute, genres, seed

pytestmark = every


def add(using: str, name: str) -> None:
    Genre.objects.using(using).create(name=name)


def test_nested_blocks(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        add(database, "a")
        assert genres(database) == ["a", "crime", "poetry"]
        with pytest.raises(LookupError), transaction.atomic(database):
            add(database, "b")
            assert genres(database) == ["a", "b", "crime", "poetry"]
            with transaction.atomic(database):
                add(database, "c")
                assert genres(database) == ["a", "b", "c", "crime", "poetry"]
            assert genres(database) == ["a", "b", "c", "crime", "poetry"]
            raise LookupError
        assert genres(database) == ["a", "crime", "poetry"]
        with transaction.atomic(database):
            add(database, "d")
        assert genres(database) == ["a", "crime", "d", "poetry"]
    assert elsewhere(lambda: genres(database)) == ["a", "crime", "d", "poetry"]
    assert watch.wrong() == {}


def test_a_rolled_back_savepoint_is_all_there_was(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        with pytest.raises(LookupError), transaction.atomic(database):
            add(database, "a")
            raise LookupError
        assert genres(database) == ["crime", "poetry"]
    # Nothing has changed, so nothing was announced.
    watch.check()


def test_the_commit_announces_what_a_released_savepoint_wrote(database: str, watch: Watch) -> None:
    with transaction.atomic(database), transaction.atomic(database):
        add(database, "a")
    assert elsewhere(lambda: genres(database)) == ["a", "crime", "poetry"]
    assert watch.wrong() == {}


def test_an_inner_block_without_a_savepoint(database: str, watch: Watch) -> None:
    with transaction.atomic(database):
        add(database, "a")
        with pytest.raises(LookupError), transaction.atomic(database, savepoint=False):
            add(database, "b")
            raise LookupError
        transaction.set_rollback(True, using=database)
    assert genres(database) == ["crime", "poetry"]
    watch.check()


def test_get_or_create_that_loses_a_race(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        Thing.objects.using(database).create(code="b")
        things = Thing.objects.using(database).order_by("code").values_list("code", flat=True)
        assert list(things.all()) == ["a", "b"]
        with pytest.raises(IntegrityError), transaction.atomic(database):
            Thing.objects.using(database).create(code="c")
            Thing.objects.using(database).create(code="a")
        assert list(things.all()) == ["a", "b"]
    assert elsewhere(lambda: list(things.all())) == ["a", "b"]


def test_methods_of_the_connection(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        connection = connections[database]
        first = str(connection.savepoint())
        add(database, "a")
        second = str(connection.savepoint())
        add(database, "b")
        assert genres(database) == ["a", "b", "crime", "poetry"]
        connection.savepoint_rollback(second)
        assert genres(database) == ["a", "crime", "poetry"]
        add(database, "c")
        connection.savepoint_commit(second)
        assert genres(database) == ["a", "c", "crime", "poetry"]
        connection.savepoint_rollback(first)
        assert genres(database) == ["crime", "poetry"]
        # The savepoint is still there.
        add(database, "d")
        connection.savepoint_rollback(first)
        assert genres(database) == ["crime", "poetry"]
        add(database, "e")
    assert elsewhere(lambda: genres(database)) == ["crime", "e", "poetry"]
    assert genres(database) == ["crime", "e", "poetry"]


def test_raw_savepoints(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        execute(database, "SAVEPOINT one")
        add(database, "a")
        execute(database, "savepoint ONE")
        add(database, "b")
        execute(database, "ROLLBACK TO SAVEPOINT one")
        assert genres(database) == ["a", "crime", "poetry"]
        execute(database, "RELEASE SAVEPOINT one")
        assert genres(database) == ["a", "crime", "poetry"]
    assert elsewhere(lambda: genres(database)) == ["a", "crime", "poetry"]


def test_what_was_seen_before_a_savepoint_is_a_hit_again(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        add(database, "a")
        genres = Genre.objects.using(database).order_by("name").values_list("name", flat=True)
        authors = Author.objects.using(database).values_list("pk")
        before = list(genres.all())
        list(authors.all())
        with pytest.raises(LookupError), transaction.atomic(database):
            add(database, "b")
            assert not querycache.explain(genres).hit
            assert list(genres.all()) != before
            assert querycache.explain(genres).hit
            raise LookupError
        # What was seen inside went with the savepoint.
        list(genres.all())
        assert querycache.explain(genres).hit
        assert list(genres.all()) == before
        with pytest.raises(LookupError), transaction.atomic(database):
            add(database, "c")
            raise LookupError
        # InnoDB may give up what it sees at such a rollback, so there nothing that was seen stays.
        assert querycache.explain(genres).hit is (database != "mariadb")
        assert list(genres.all()) == before


def test_savepoint_of_a_savepoint_of_the_same_serial(database: str, cache: QueryCache) -> None:
    """Rolling back and writing again must not look like what was rolled back."""
    seed(database)
    with transaction.atomic(database):
        for name in ("a", "b", "c"):
            with pytest.raises(LookupError), transaction.atomic(database):
                add(database, name)
                assert genres(database) == [name, "crime", "poetry"]
                assert genres(database) == [name, "crime", "poetry"]
                raise LookupError
    assert connections[database].get_autocommit()

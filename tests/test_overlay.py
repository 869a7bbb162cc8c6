"""A transaction's own view: hits after own writes, never a row that is not there."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from querycache.plans import Effect
from querycache.state import transaction_of
from tests.environment import elsewhere
from tests.kinds import every, on, servers, sqlites
from tests.library.models import Author, Book, Genre
from tests.watching import Watch, execute, fresh_genres, genres, seed


@every
def test_hits_after_own_writes(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        for number in range(3):
            Genre.objects.using(database).create(name=f"z{number}")
            hits, misses = cache.counters.hits, cache.counters.misses
            assert genres(database)[-1] == f"z{number}"
            assert (cache.counters.hits, cache.counters.misses) == (hits, misses + 1)
            for _ in range(4):
                assert genres(database)[-1] == f"z{number}"
            assert (cache.counters.hits, cache.counters.misses) == (hits + 4, misses + 1)


@every
def test_a_join_is_of_all_its_tables(database: str, cache: QueryCache) -> None:
    seed(database)
    joined = Book.objects.using(database).order_by("pk").values_list("title", "author__name")
    with transaction.atomic(database):
        Author.objects.using(database).update(name="one")
        assert [name for _, name in joined.all()] == ["one", "one"]
        Book.objects.using(database).update(title="t")
        assert list(joined.all()) == [("t", "one"), ("t", "one")]
        Author.objects.using(database).update(name="two")
        assert list(joined.all()) == [("t", "two"), ("t", "two")]
        hits = cache.counters.hits
        # A table that the query does not read.
        Genre.objects.using(database).update(name="g")
        list(joined.all())
        assert cache.counters.hits == hits + 1


@every
def test_nothing_of_it_outlives_the_transaction(database: str, cache: QueryCache) -> None:
    seed(database)
    for _ in range(2):
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="own")
            assert genres(database) == ["crime", "own", "poetry"]
            transaction.set_rollback(True, using=database)
        assert genres(database) == ["crime", "poetry"]
    with transaction.atomic(database):
        assert genres(database) == ["crime", "poetry"]
    transaction_state = connections[database].__dict__["_querycache"]
    assert not transaction_state.written
    assert not transaction_state.overlay._results


@every
def test_nothing_of_it_is_stored(database: str, cache: QueryCache) -> None:
    seed(database)
    genres(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        stored = cache.counters.stored
        genres(database)
        genres(database)
        assert cache.counters.stored == stored
        transaction.set_rollback(True, using=database)


@servers
def test_others_commit_to_the_same_table(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        assert genres(database) == genres(database) == ["crime", "own", "poetry"]
        for number in range(2):
            elsewhere(partial(Genre.objects.using(database).create, name=f"z{number}"))
            assert not querycache.explain(Genre.objects.using(database).all()).hit
            assert genres(database) == fresh_genres(database)
            assert genres(database)[-1] == f"z{number}"
            hits = cache.counters.hits
            genres(database)
            assert cache.counters.hits == hits + 1


@servers
def test_while_others_are_committing(database: str, cache: QueryCache) -> None:
    """A lease says that a commit may come at any moment: nothing is kept or served."""
    seed(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        genres(database)
        keys = connections[database].__dict__["_querycache"].database.stamp_keys({"library_genre"})
        lease = cache.begin(keys)
        try:
            hits = cache.counters.hits
            execute(database, "SELECT 1")
            assert genres(database) == genres(database) == ["crime", "own", "poetry"]
            assert cache.counters.hits == hits
        finally:
            cache.end(keys, lease)
        genres(database)
        genres(database)
        assert cache.counters.hits == hits + 1


@every
def test_raw_writes_count(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        execute(database, "DELETE FROM library_thing")
        Genre.objects.using(database).create(name="own")
        assert genres(database) == ["crime", "own", "poetry"]
        execute(database, "UPDATE library_genre SET name = 'x'")
        assert genres(database) == genres(database) == ["x", "x", "x"]


@every
def test_invalidate_counts(database: str, cache: QueryCache) -> None:
    seed(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        genres(database)
        querycache.invalidate(Genre, using=database)
        assert not querycache.explain(Genre.objects.using(database).order_by("name")).hit
        assert genres(database) == ["crime", "own", "poetry"]


@every
def test_it_does_not_grow_without_end(
    database: str, cache: QueryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from querycache import overlay

    monkeypatch.setattr(overlay, "OVERLAY_BYTES", 2000)
    seed(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own" * 10)
        for number in range(200):
            list(Genre.objects.using(database).filter(pk__gte=-number))
            state = connections[database].__dict__["_querycache"]
            assert sum(len(seen.body) for seen in state.overlay._results.values()) <= 2000


@every
def test_a_large_result_is_not_kept(database: str, store_url: str) -> None:
    from tests.environment import configure

    installed = configure(STORE=store_url, MAX_ROWS=2)
    seed(database)
    with transaction.atomic(database):
        Genre.objects.using(database).create(name="own")
        genres(database)
        hits = installed.cache.counters.hits
        assert genres(database) == ["crime", "own", "poetry"]
        assert installed.cache.counters.hits == hits


@sqlites
def test_threads_that_share_a_connection(database: str, watch: Watch) -> None:
    """As a live server of a test case does with its in-memory database."""
    connection = connections[database]
    connection.inc_thread_sharing()
    failures: list[BaseException] = []

    def other(work: object) -> None:
        def run() -> None:
            connections[database] = connection
            try:
                work()  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
        if failures:
            raise failures[0]

    try:
        with transaction.atomic(database):
            Genre.objects.using(database).create(name="own")
            assert genres(database) == ["crime", "own", "poetry"]
            other(lambda: Genre.objects.using(database).update(name="x"))
            assert genres(database) == ["x", "x", "x"]
            other(lambda: _same(genres(database), ["x", "x", "x"]))
            transaction.set_rollback(True, using=database)
        other(lambda: _same(genres(database), ["crime", "poetry"]))
        other(lambda: Genre.objects.using(database).update(name="y"))
        assert genres(database) == ["y", "y"]
    finally:
        connection.dec_thread_sharing()
    assert watch.wrong() == {}


def _same(found: object, expected: object) -> None:
    assert found == expected


STATEMENT = "INSERT INTO library_genre (name) VALUES ('own')"


@on("sqlite_wal", "postgresql")
@pytest.mark.parametrize("before", [True, False])
def test_a_read_while_a_statement_runs(database: str, cache: QueryCache, before: bool) -> None:
    """A thread that shares the connection may read between its effect and its end."""
    seed(database)
    genres(database)
    connection: Any = connections[database]
    with transaction.atomic(database):
        state = transaction_of(connection)

        def execute() -> None:
            if before:
                assert genres(database) == ["crime", "poetry"]
            with closing(connection.connection.cursor()) as driver:
                driver.execute(STATEMENT)
            if not before:
                assert genres(database) == ["crime", "own", "poetry"]

        stored = cache.counters.stored
        with connection.cursor() as cursor:
            state.run(Effect(frozenset({"library_genre"})), STATEMENT, None, True, execute, cursor)
        assert genres(database) == ["crime", "own", "poetry"]
        assert cache.counters.stored == stored
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
        transaction.set_rollback(True, using=database)
    assert genres(database) == ["crime", "poetry"]

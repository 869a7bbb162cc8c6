"""`invalidated`: after the commit, once, with a connection that receivers can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Any

import pytest
from django.db import Error, IntegrityError, connections, transaction

import querycache
from querycache.cache import QueryCache
from querycache.signals import invalidated
from tests.environment import DATABASES, elsewhere
from tests.library.models import Author, Genre, Publisher

EVERYWHERE = pytest.mark.parametrize("database", DATABASES, indirect=True)

Signals = list[tuple[str, Set[str]]]


@pytest.fixture
def signals(cache: QueryCache) -> Iterator[Signals]:
    """What was sent so far."""
    found: Signals = []

    def receive(sender: type, using: str, tables: frozenset[str], **kwargs: Any) -> None:
        assert sender is QueryCache
        found.append((using, tables))

    invalidated.connect(receive)
    yield found
    invalidated.disconnect(receive)


@pytest.fixture
def receive(cache: QueryCache) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Connects what is to be called with every signal."""
    connected = []

    def connect(call: Callable[[], None]) -> None:
        def receiver(**kwargs: Any) -> None:
            call()

        connected.append(receiver)
        invalidated.connect(receiver)

    yield connect
    for receiver in connected:
        invalidated.disconnect(receiver)


@EVERYWHERE
class TestWhen:
    def test_after_a_statement(self, database: str, signals: Signals) -> None:
        Author.objects.using(database).create(name="Ann")
        assert signals == [(database, {"library_author"})]
        Author.objects.using(database).update(name="Bob")
        assert signals == [(database, {"library_author"})] * 2
        with connections[database].cursor() as cursor:
            cursor.execute("DELETE FROM library_genre")
        assert signals[2:] == [(database, {"library_genre"})]
        with connections[database].cursor() as cursor:
            cursor.execute("SELECT 1")
        list(Author.objects.using(database).all())
        assert len(signals) == 3

    def test_once_per_commit_and_after_it(self, database: str, signals: Signals) -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
            with transaction.atomic(using=database):
                Author.objects.using(database).create(name="Bob")
                Genre.objects.using(database).create(name="G")
            assert signals == []
        assert signals == [(database, {"library_author", "library_genre"})]

    def test_not_after_a_rollback(self, database: str, signals: Signals) -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
            transaction.set_rollback(True, using=database)
        assert signals == []
        with transaction.atomic(using=database):
            Genre.objects.using(database).create(name="G")
            with transaction.atomic(using=database):
                Author.objects.using(database).create(name="Ann")
                transaction.set_rollback(True, using=database)
        assert signals == [(database, {"library_genre"})]
        with transaction.atomic(using=database):
            pass
        assert len(signals) == 1

    def test_before_the_hooks_of_the_commit(self, database: str, signals: Signals) -> None:
        seen = []
        with transaction.atomic(using=database):
            transaction.on_commit(lambda: seen.append(len(signals)), using=database)
            Author.objects.using(database).create(name="Ann")
        assert seen == [1]

    def test_commits_by_hand(self, database: str, signals: Signals) -> None:
        connection = connections[database]
        connection.set_autocommit(False)
        try:
            Author.objects.using(database).create(name="Ann")
            assert signals == []
            connection.commit()
            assert signals == [(database, {"library_author"})]
            Genre.objects.using(database).create(name="G")
            connection.rollback()
            assert len(signals) == 1
        finally:
            connection.set_autocommit(True)
        assert len(signals) == 1

    def test_invalidate(self, database: str, signals: Signals) -> None:
        querycache.invalidate(Author, "library.genre", using=database)
        querycache.invalidate(using=database)
        assert signals == [(database, {"library_author", "library_genre"}), (database, {"*"})]
        with transaction.atomic(using=database):
            querycache.invalidate(Author, using=database)
            assert len(signals) == 3
        assert signals[2:] == [(database, {"library_author"})] * 2

    def test_in_the_process_that_writes(self, database: str, signals: Signals) -> None:
        elsewhere(lambda: Author.objects.using(database).create(name="Ann"))
        assert signals == [(database, {"library_author"})]


@EVERYWHERE
class TestReceivers:
    def write_in_each_way(self, database: str) -> Iterator[int]:
        """Write, and give how many authors there are then."""
        Author.objects.using(database).create(name="Ann")
        yield 1
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Bob")
        yield 2
        connection = connections[database]
        connection.set_autocommit(False)
        Author.objects.using(database).create(name="Cid")
        connection.commit()
        # What the receiver has read is in a transaction now, as all code between commits is.
        connection.rollback()
        connection.set_autocommit(True)
        yield 3
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO library_author (name) VALUES ('Dan')")
            cursor.execute("COMMIT")
        yield 4

    def test_see_the_new_rows(
        self, database: str, receive: Callable[[Callable[[], None]], None]
    ) -> None:
        seen: list[int] = []
        receive(lambda: seen.append(Author.objects.using(database).count()))
        receive(lambda: seen.append(elsewhere(Author.objects.using(database).count)))
        for number in self.write_in_each_way(database):
            assert seen == [number, number]
            assert connections[database].get_autocommit()
            assert Author.objects.using(database).count() == number
            seen.clear()

    def test_may_write(self, database: str, receive: Callable[[Callable[[], None]], None]) -> None:
        def write() -> None:
            if Publisher.objects.using(database).count() < 2:
                with transaction.atomic(using=database):
                    number = Publisher.objects.using(database).count()
                    Publisher.objects.using(database).create(name=f"P{number}")

        receive(write)
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
        assert Publisher.objects.using(database).count() == 2

    def test_errors_are_theirs_alone(
        self,
        database: str,
        receive: Callable[[Callable[[], None]], None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The rows are committed, and hooks run: who wrote has nothing to repair."""

        def fail() -> None:
            raise RuntimeError("a receiver's own trouble")

        receive(fail)
        hooks = []
        for number in self.write_in_each_way(database):
            assert Author.objects.using(database).count() == number
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Eve")
            transaction.on_commit(lambda: hooks.append(1), using=database)
        assert hooks == [1]
        assert connections[database].get_autocommit()
        assert "a receiver's own trouble" in caplog.text

    def test_errors_of_the_database_too(
        self, database: str, receive: Callable[[Callable[[], None]], None]
    ) -> None:
        def fail() -> None:
            with connections[database].cursor() as cursor:
                cursor.execute("SELECT nothing_like_it FROM nowhere")

        receive(fail)
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
        assert Author.objects.using(database).get().name == "Ann"
        with pytest.raises(Error):
            fail()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_commit_that_fails(database: str, signals: Signals) -> None:
    """Nobody can know what became of it, so it counts as a write; later commits stay apart."""
    with pytest.raises(IntegrityError), transaction.atomic(using=database):
        # The check of the foreign key waits for the commit.
        Author.objects.using(database).create(name="Ann", mentor_id=12345)
    assert signals == [(database, {"library_author"})]
    assert Author.objects.using(database).count() == 0
    with transaction.atomic(using=database):
        Genre.objects.using(database).create(name="G")
    assert signals[1:] == [(database, {"library_genre"})]

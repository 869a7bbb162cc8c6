"""last_write: the time of the last commit that changed what was asked about."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from querycache.state import transaction_of
from tests.api.helpers import FILES, names, turn_off
from tests.environment import STORES, configure
from tests.library.models import Author, Book, Genre, Publisher


def written_at(*targets: Any, using: str | None = None) -> datetime.datetime:
    found = querycache.last_write(*targets, using=using)
    assert found is not None
    return found


def settled(alias: str) -> None:
    """Have the store know all stamps."""
    querycache.last_write(using=alias)


def floor(moment: datetime.datetime) -> datetime.datetime:
    """Stores keep milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def wait_past(moment: datetime.datetime) -> None:
    """Let the clock show another millisecond."""
    passed = threading.Event()
    while datetime.datetime.now(datetime.UTC) < moment + datetime.timedelta(milliseconds=2):
        passed.wait(0.001)


class TestLastWrite:
    @pytest.fixture
    def start(self, cache: QueryCache, database: str) -> datetime.datetime:
        """Stamps exist, and are older than everything that the test does."""
        settled(database)
        found = written_at("library", using=database)
        wait_past(found)
        return found

    @FILES
    def test_aware_and_now(self, cache: QueryCache, database: str) -> None:
        before = floor(datetime.datetime.now(datetime.UTC))
        Author.objects.using(database).create(name="Ann")
        found = written_at(Author, using=database)
        assert found.tzinfo is datetime.UTC
        # The digits below a tick of the store's clock tell its writes apart.
        tick = datetime.timedelta(milliseconds=1)
        assert before <= found < datetime.datetime.now(datetime.UTC) + tick

    @FILES
    def test_moves_with_the_right_tables_only(
        self, start: datetime.datetime, database: str
    ) -> None:
        Author.objects.using(database).create(name="Ann")
        written = written_at(Author, using=database)
        assert written > start
        assert written_at(Publisher, Genre, using=database) <= start
        for target in ("library", "library.Author", "library_author", Author()):
            assert written_at(target, using=database) == written
        assert written_at(Publisher, Author, using=database) == written
        assert written_at(using=database) == written
        assert written_at() >= written

    @FILES
    def test_does_not_move_by_reading(self, start: datetime.datetime, database: str) -> None:
        for _ in range(3):
            list(names(database))
        assert written_at("library", using=database) == start

    @FILES
    def test_rollbacks_and_commits(self, start: datetime.datetime, database: str) -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
            assert written_at(Author, using=database) <= start
            transaction.set_rollback(True, using=database)
        assert written_at(Author, using=database) <= start
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
        assert written_at(Author, using=database) > start

    @FILES
    def test_invalidating_counts(self, start: datetime.datetime, database: str) -> None:
        querycache.invalidate(Author, using=database)
        assert written_at(Author, using=database) > start
        assert written_at(Genre, using=database) <= start
        querycache.invalidate(using=database)
        assert written_at(Genre, using=database) > start

    @FILES
    def test_many_to_many(self, start: datetime.datetime, database: str) -> None:
        """The table between has no model that anybody wrote, but the app's label stands for it."""
        author = Author.objects.using(database).create(name="Ann")
        book = Book.objects.using(database).create(title="A", author=author)
        genre = Genre.objects.using(database).create(name="G")
        before = written_at("library", using=database)
        wait_past(before)
        book.genres.add(genre)
        assert written_at("library", using=database) > before
        assert written_at(Book.genres.through, using=database) > before
        assert written_at(Book, using=database) <= before

    @FILES
    def test_now_while_a_write_is_under_way(
        self, start: datetime.datetime, cache: QueryCache, database: str
    ) -> None:
        state = transaction_of(connections[database])
        with state.writing({"library_author"}):
            first = written_at(Author, using=database)
            assert first > start
            wait_past(first)
            assert written_at(Author, using=database) > first
            assert written_at(Genre, using=database) <= start

    @pytest.mark.parametrize("store_url", STORES, indirect=True)
    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)
    def test_a_store_without_a_record(self, database: str, cache: QueryCache) -> None:
        """Nobody knows what was written before, so it cannot be earlier than the record."""
        before = floor(datetime.datetime.now(datetime.UTC))
        found = written_at(Author, using=database)
        assert found >= before

    @FILES
    def test_unreachable_store(self, database: str, store_url: str) -> None:
        configure(STORE="redis://127.0.0.1:1/0", TIMEOUT=0.05)
        assert querycache.last_write(Author, using=database) is None
        querycache.invalidate(Author, using=database)

    def test_off(self) -> None:
        turn_off()
        assert querycache.last_write(Author) is None
        with pytest.raises(LookupError):
            querycache.last_write("nothing_like_it")

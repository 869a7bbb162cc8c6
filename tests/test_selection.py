"""EXCLUDE, ONLY, DATABASES and MODE: what is cached at all, and what that means for writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.db.models import QuerySet

import querycache
from querycache import install
from querycache.signals import invalidated
from tests.environment import add_database, configure, elsewhere, remove_database
from tests.library.models import Author, Book, Genre, Place, Publisher, Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite", "sqlite_wal"], indirect=True)

Rows = QuerySet[Any, Any]


def counts() -> tuple[int, int, int]:
    found = querycache.stats()
    return found.hits, found.misses, found.stored


def is_cached(queryset: Rows) -> bool:
    """Run a query twice and tell whether the second was served."""
    hits, misses, stored = counts()
    assert list(queryset.all()) == list(queryset.all())
    found = counts()
    assert found in ((hits, misses, stored), (hits + 1, misses + 1, stored + 1)), found
    assert querycache.explain(queryset).hit is (found != (hits, misses, stored))
    return found != (hits, misses, stored)


class TestExclude:
    @pytest.mark.parametrize(
        "names", [["library.Author"], ["LIBRARY.AUTHOR"], ["library_author"]], ids=str
    )
    def test_a_model(self, database: str, names: list[str]) -> None:
        configure(STORE="memory://", EXCLUDE=names)
        authors = Author.objects.using(database)
        Author.objects.using(database).create(name="Ann")
        assert not is_cached(authors.all())
        assert authors.count() == 1
        assert authors.exists()
        assert counts() == (0, 0, 0)
        assert querycache.stats().bypassed == 0, "it never came near the cache"
        assert "EXCLUDE" in querycache.explain(authors.all()).reason
        assert is_cached(Publisher.objects.using(database).all())

    def test_an_app(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library"])
        for model in (Author, Book, Genre, Book.genres.through):
            assert not is_cached(model._default_manager.using(database).all())
        from django.contrib.auth.models import Group

        assert is_cached(Group.objects.using(database).all())

    def test_joins_and_subqueries(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library.Author"])
        books = Book.objects.using(database)
        authors = Author.objects.using(database).filter(name="Ann").values("pk")
        assert is_cached(books.all())
        for queryset in (
            books.select_related("author"),
            books.filter(author__name="Ann"),
            books.filter(author__in=authors),
            books.order_by("author__name"),
            books.values("pk").union(Author.objects.using(database).values("pk")),
        ):
            assert not is_cached(queryset)
            assert "library_author" in querycache.explain(queryset).reason or (
                "its model" in querycache.explain(queryset).reason
            )

    def test_prefetches_are_queries_of_their_own(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library.Genre"])
        author = Author.objects.using(database).create(name="Ann")
        book = Book.objects.using(database).create(title="A", author=author)
        book.genres.add(Genre.objects.using(database).create(name="old"))
        books = Book.objects.using(database).prefetch_related("genres")
        for name in ("old", "new"):
            Genre.objects.using(database).update(name=name)
            assert [[g.name for g in found.genres.all()] for found in books.all()] == [[name]]
        assert counts()[0] == 1, "the books were a hit"

    def test_parents(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library.Place"])
        assert not is_cached(Shop.objects.using(database).all())
        assert not is_cached(Place.objects.using(database).all())

    def test_wins_over_only(self, database: str) -> None:
        configure(STORE="memory://", ONLY=["library"], EXCLUDE=["library.Author"])
        assert not is_cached(Author.objects.using(database).all())
        assert is_cached(Genre.objects.using(database).all())

    def test_writes_are_announced_all_the_same(self, database: str) -> None:
        """For `last_write`, for receivers, and for processes that still run with other settings."""
        configure(STORE="memory://", EXCLUDE=["library.Author"])
        sent: list[Any] = []

        def receive(tables: Any, **kwargs: Any) -> None:
            sent.append(tables)

        before = querycache.last_write(Author, using=database)
        invalidated.connect(receive)
        try:
            Author.objects.using(database).create(name="Ann")
        finally:
            invalidated.disconnect(receive)
        assert sent == [{"library_author"}]
        while querycache.last_write(Author, using=database) == before:
            Author.objects.using(database).update(name="Bob")

    def test_in_transactions(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library.Author"])
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
            assert not is_cached(Author.objects.using(database).all())
            Genre.objects.using(database).create(name="G")
            for _ in range(2):
                assert len(Genre.objects.using(database).all()) == 1
            assert counts()[0] == 1


class TestOnly:
    def test_nothing_else(self, database: str) -> None:
        configure(STORE="memory://", ONLY=["library.Book", "library_genre"])
        books = Book.objects.using(database)
        assert is_cached(books.all())
        assert is_cached(Genre.objects.using(database).all())
        assert not is_cached(Author.objects.using(database).all())
        assert not is_cached(books.filter(author__name="Ann"))
        assert not is_cached(books.filter(genres__name="G")), "the table between is not listed"
        assert "ONLY" in querycache.explain(Author.objects.using(database).all()).reason

    def test_an_app(self, database: str) -> None:
        configure(STORE="memory://", ONLY=["library"])
        assert is_cached(Book.objects.using(database).filter(genres__name="G"))
        from django.contrib.auth.models import Group

        assert not is_cached(Group.objects.using(database).all())

    def test_writes_invalidate(self, database: str) -> None:
        configure(STORE="memory://", ONLY=["library.Book"])
        author = Author.objects.using(database).create(name="Ann")
        books = Book.objects.using(database).order_by("title")
        assert is_cached(books)
        Book.objects.using(database).create(title="A", author=author)
        assert [book.title for book in books.all()] == ["A"]
        # Its books go with it.
        author.delete()
        assert list(books.all()) == []


class TestDatabases:
    @pytest.fixture
    def twin(self, database: str) -> Iterator[str]:
        """Another alias of the same database."""
        add_database("twin", dict(connections[database].settings_dict))
        yield "twin"
        remove_database("twin")

    def test_one_that_is_left_out(self, database: str) -> None:
        configure(STORE="memory://", DATABASES=["default"])
        assert not is_cached(Author.objects.using(database).all())
        assert "DATABASES" in querycache.explain(Author.objects.using(database).all()).reason

    def test_its_writes_matter_to_another_alias(self, database: str, twin: str) -> None:
        configure(STORE="memory://", DATABASES=[database])
        rows = Author.objects.using(database).order_by("name")
        assert is_cached(rows)
        assert not is_cached(Author.objects.using(twin).all())
        Author.objects.using(twin).create(name="Ann")
        assert [author.name for author in rows.all()] == ["Ann"]
        with transaction.atomic(using=twin):
            Author.objects.using(twin).update(name="Bob")
        assert [author.name for author in rows.all()] == ["Bob"]
        with connections[twin].cursor() as cursor:
            cursor.execute("UPDATE library_author SET name = 'Cid'")
        assert [author.name for author in rows.all()] == ["Cid"]
        querycache.invalidate(Author, using=twin)
        assert not querycache.explain(rows).hit

    def test_writes_of_no_concern_reach_no_store(self, database: str) -> None:
        configure(STORE="memory://", DATABASES=["default"])
        Author.objects.using(database).create(name="Ann")
        assert querycache.stats().invalidations == 0

    def test_aliases_share_entries(self, database: str, twin: str) -> None:
        configure(STORE="memory://")
        list(Author.objects.using(database).all())
        assert querycache.explain(Author.objects.using(twin).all()).hit


class TestMode:
    def test_off(self, database: str) -> None:
        settings.QUERYCACHE = {"MODE": "off"}
        install.install()
        for name in ("Ann", "Bob"):
            Author.objects.using(database).create(name=name)
            assert Author.objects.using(database).order_by("-pk")[0].name == name
        assert counts() == (0, 0, 0)
        assert "MODE" in querycache.explain(Author.objects.using(database).all()).reason

    def test_a_dummy_cache_is_off(self, database: str) -> None:
        before = settings.CACHES
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
        settings.QUERYCACHE = {}
        try:
            install.install()
            list(Author.objects.using(database).all())
            assert counts() == (0, 0, 0)
        finally:
            settings.CACHES = before

    def test_shadow_serves_nothing(self, database: str, caplog: pytest.LogCaptureFixture) -> None:
        """What would have been wrong is counted and logged, and never raised."""
        configure(STORE="memory://", MODE="shadow", VERIFY_RAISES=True)
        Author.objects.using(database).create(name="Ann")
        rows = Author.objects.using(database).values_list("name", flat=True)
        for _ in range(3):
            assert list(rows.all()) == ["Ann"]
        assert counts() == (2, 1, 1)
        assert querycache.stats().stale == 0
        assert "shadow" in querycache.explain(rows).reason
        connections[database].connection.execute("UPDATE library_author SET name = 'Bob'")
        with caplog.at_level(logging.ERROR, "querycache.verify"):
            assert list(rows.all()) == ["Bob"]
        assert querycache.stats().stale == 1
        assert "Ann" in caplog.text
        assert "Bob" in caplog.text
        # What was wrong is gone.
        assert list(rows.all()) == ["Bob"]
        assert list(rows.all()) == ["Bob"]
        assert querycache.stats().stale == 1

    def test_shadow_with_writes(self, database: str) -> None:
        configure(STORE="memory://", MODE="shadow")
        rows = Author.objects.using(database).values_list("name", flat=True)
        for name in ("Ann", "Bob"):
            Author.objects.using(database).all().delete()
            Author.objects.using(database).create(name=name)
            assert list(rows.all()) == list(rows.all()) == [name]
            assert elsewhere(lambda: list(rows.all())) == [name]
        assert querycache.stats().stale == 0

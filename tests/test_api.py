"""What Python code may ask of the cache: invalidate, last_write, stats, bypass."""

from __future__ import annotations

import datetime
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.db.models import QuerySet

import querycache
from querycache import install
from querycache.cache import QueryCache
from querycache.runtime import transaction_of
from tests.environment import STORES, add_database, configure, elsewhere, remove_database
from tests.library.models import Author, Book, Genre, Place, Publisher, Shop

ROOT = Path(__file__).resolve().parents[1]

FILES = pytest.mark.parametrize(
    ("database", "store_url"), [("sqlite", "memory"), ("sqlite_wal", "lmdb")], indirect=True
)


def behind(alias: str, sql: str) -> None:
    """Write past Django, and so past the library."""
    connections[alias].ensure_connection()
    driver = connections[alias].connection
    driver.execute(sql)
    driver.commit()


def turn_off() -> None:
    settings.QUERYCACHE = {"MODE": "off"}
    install.install()


def names(alias: str) -> QuerySet[Author, str]:
    return Author.objects.using(alias).order_by("name").values_list("name", flat=True)


def hit(queryset: QuerySet[Any, Any]) -> bool:
    return querycache.explain(queryset).hit


@pytest.fixture
def warm(cache: QueryCache, database: str) -> str:
    """An alias with an author and a publisher, whose lists are cached and no longer true."""
    Author.objects.using(database).create(name="Ann")
    Publisher.objects.using(database).create(name="Pan")
    for _ in range(2):
        assert list(names(database)) == ["Ann"]
        assert len(Publisher.objects.using(database).all()) == 1
    assert cache.counters.hits == 2
    behind(database, "UPDATE library_author SET name = 'Bob'")
    assert list(names(database)) == ["Ann"], "nobody has told the cache"
    return database


class TestInvalidate:
    @FILES
    @pytest.mark.parametrize(
        "target",
        [
            Author,
            Author(name="not saved"),
            "library",
            "LIBRARY",
            "library.Author",
            "library.author",
            "library_author",
            "LIBRARY_AUTHOR",
        ],
        ids=str,
    )
    def test_each_kind_of_target(self, warm: str, target: Any) -> None:
        querycache.invalidate(target, using=warm)
        assert list(names(warm)) == ["Bob"]

    @FILES
    def test_several_and_all_databases(self, warm: str) -> None:
        querycache.invalidate(Genre, "library.author")
        assert list(names(warm)) == ["Bob"]

    @FILES
    def test_others_stay(self, warm: str) -> None:
        querycache.invalidate(Author)
        assert hit(Publisher.objects.using(warm).all())

    @FILES
    def test_nothing_means_everything(self, warm: str) -> None:
        querycache.invalidate()
        assert not hit(Publisher.objects.using(warm).all())
        assert list(names(warm)) == ["Bob"]
        assert list(names(warm)) == ["Bob"]
        assert hit(names(warm))

    @FILES
    def test_another_database_stays(self, warm: str) -> None:
        querycache.invalidate(using="default")
        querycache.invalidate(Author, using="default")
        assert hit(names(warm))

    @FILES
    def test_parents_of_a_model(self, cache: QueryCache, database: str) -> None:
        """The columns of a parent are a child's own."""
        places = Place.objects.using(database)
        for _ in range(2):
            assert len(places.all()) == 0
        assert hit(places.all())
        querycache.invalidate(Shop)
        assert not hit(places.all())

    @FILES
    def test_a_table_without_a_model(self, cache: QueryCache, database: str) -> None:
        """It is in one database only, and that is enough."""
        with connections[database].cursor() as cursor:
            cursor.execute("CREATE TABLE plain_words (id integer PRIMARY KEY, word text)")
        try:
            querycache.invalidate("plain_words", using=database)
            querycache.invalidate("plain_words")
            assert querycache.last_write("Plain_Words") is not None
            with pytest.raises(LookupError, match="plain_words"):
                querycache.invalidate("plain_word", using=database)
            with pytest.raises(LookupError, match="plain_words"):
                querycache.invalidate("plain_words", using="default")
        finally:
            with connections[database].cursor() as cursor:
                cursor.execute("DROP TABLE plain_words")

    @FILES
    @pytest.mark.parametrize("ask", [querycache.invalidate, querycache.last_write])
    @pytest.mark.parametrize(
        ("target", "near"),
        [
            ("library.Auhtor", "library.Author"),
            ("libary", "library"),
            ("library_autor", "library_author"),
        ],
    )
    def test_unknown_targets(self, warm: str, ask: Any, target: str, near: str) -> None:
        with pytest.raises(LookupError) as caught:
            ask(Publisher, target)
        assert repr(target) in str(caught.value)
        assert repr(near) in str(caught.value)
        assert hit(Publisher.objects.using(warm).all()), "all targets or none"

    @FILES
    @pytest.mark.parametrize("ask", [querycache.invalidate, querycache.last_write])
    def test_unknown_alias(self, cache: QueryCache, ask: Any) -> None:
        with pytest.raises(LookupError, match="'default'"):
            ask(Author, using="defualt")
        with pytest.raises(LookupError, match="nothing_like_it"):
            ask(using="nothing_like_it")

    @FILES
    @pytest.mark.parametrize("ask", [querycache.invalidate, querycache.last_write])
    @pytest.mark.parametrize("target", [3, None, object, b"library"])
    def test_what_is_no_target(self, cache: QueryCache, ask: Any, target: Any) -> None:
        with pytest.raises(TypeError, match="a target is a model"):
            ask(target)

    @FILES
    def test_at_once_within_a_transaction(self, warm: str) -> None:
        with transaction.atomic(using=warm):
            querycache.invalidate(Author, using=warm)
            assert list(names(warm)) == ["Bob"]
            assert elsewhere(lambda: list(names(warm))) == ["Bob"]
            # The other thread has stored what it read; the commit makes that unusable.
            assert elsewhere(lambda: hit(names(warm)))
        assert not elsewhere(lambda: hit(names(warm)))

    @FILES
    def test_a_rollback_does_not_take_it_back(self, warm: str) -> None:
        with transaction.atomic(using=warm):
            querycache.invalidate(Author, using=warm)
            transaction.set_rollback(True, using=warm)
        assert list(names(warm)) == ["Bob"]

    @FILES
    def test_forgets_what_a_transaction_has_seen(self, cache: QueryCache, database: str) -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Ann")
            for _ in range(2):
                assert list(names(database)) == ["Ann"]
            assert hit(names(database))
            connections[database].connection.execute("UPDATE library_author SET name = 'Bob'")
            querycache.invalidate(Author, using=database)
            assert list(names(database)) == ["Bob"]

    @FILES
    def test_from_another_connection(self, warm: str) -> None:
        elsewhere(lambda: querycache.invalidate(Author, using=warm))
        assert list(names(warm)) == ["Bob"]

    @pytest.mark.parametrize(
        ("database", "store_url"),
        [("sqlite", "lmdb"), ("sqlite", "redis"), ("sqlite", "memcached")],
        indirect=True,
    )
    @pytest.mark.parametrize("how", ["library.Author", ""], ids=["a model", "everything"])
    def test_from_another_process(self, cache: QueryCache, database: str, how: str) -> None:
        """Which knows the database by another alias."""
        configure(STORE=cache.config.store, KEY_PREFIX=cache.config.key_prefix, LEASE=0.2)
        Author.objects.using(database).create(name="Ann")
        while not hit(names(database)):
            assert list(names(database)) == ["Ann"]
        behind(database, "UPDATE library_author SET name = 'Bob'")
        assert list(names(database)) == ["Ann"]
        script = f"""
            import django
            from django.conf import settings
            settings.configure(
                INSTALLED_APPS=["django.contrib.contenttypes", "querycache", "tests.library"],
                DATABASES={{"default": {{
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": {str(connections[database].settings_dict["NAME"])!r},
                }}}},
                QUERYCACHE={{
                    "STORE": {cache.config.store!r},
                    "KEY_PREFIX": {cache.config.key_prefix!r},
                    "LEASE": 0.2,
                }},
                SECRET_KEY="another process",
            )
            django.setup()
            import querycache
            querycache.invalidate(*{how.split()!r})
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, cwd=ROOT)
        assert list(names(database)) == ["Bob"]

    def test_off(self) -> None:
        turn_off()
        querycache.invalidate()
        querycache.invalidate(Author)
        with pytest.raises(LookupError):
            querycache.invalidate("nothing_like_it")


def written_at(*targets: Any, using: str | None = None) -> datetime.datetime:
    found = querycache.last_write(*targets, using=using)
    assert found is not None
    return found


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
        assert before <= found <= datetime.datetime.now(datetime.UTC)

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


class TestStats:
    @FILES
    def test_counts(self, cache: QueryCache, database: str) -> None:
        assert querycache.stats() == querycache.Stats(0, 0, 0, 0, 0, 0, 0, 0)
        assert querycache.stats().hit_rate == 0.0
        Author.objects.using(database).create(name="Ann")
        for _ in range(4):
            list(names(database))
        list(Author.objects.using(database).order_by("?"))
        found = querycache.stats()
        assert (found.hits, found.misses, found.stored) == (3, 1, 1)
        assert (found.bypassed, found.invalidations) == (1, 1)
        assert (found.damaged, found.stale, found.failures) == (0, 0, 0)
        assert found.hit_rate == 0.75
        with pytest.raises(AttributeError):
            found.hits = 0  # type: ignore[misc]

    @FILES
    def test_an_unreachable_store(self, database: str, store_url: str) -> None:
        configure(STORE="redis://127.0.0.1:1/0", TIMEOUT=0.05)
        assert list(names(database)) == []
        assert querycache.stats().failures >= 1
        assert querycache.stats().bypassed == 1

    def test_off(self) -> None:
        turn_off()
        assert querycache.stats() == querycache.Stats(0, 0, 0, 0, 0, 0, 0, 0)


class TestBypass:
    @FILES
    def test_reads_the_database(self, warm: str) -> None:
        before = querycache.stats()
        for queryset in (
            querycache.bypass(names(warm)),
            querycache.bypass(names(warm)).filter(name__gt="").exclude(pk=0)[:5],
            querycache.bypass(names(warm)).all(),
        ):
            assert list(queryset) == ["Bob"]
        assert querycache.bypass(Author.objects.using(warm)).get().name == "Bob"
        assert querycache.bypass(Author.objects.using(warm).filter(name="Bob")).exists()
        assert querycache.bypass(Author.objects.using(warm).filter(name="Bob")).count() == 1
        after = querycache.stats()
        assert (after.hits, after.stored) == (before.hits, before.stored)

    @FILES
    def test_leaves_the_queryset_alone(self, warm: str) -> None:
        queryset = names(warm)
        querycache.bypass(queryset)
        assert list(queryset) == ["Ann"]
        assert "bypass" in querycache.explain(querycache.bypass(queryset)).reason


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


@FILES
def test_an_alias_of_the_same_database(warm: str) -> None:
    add_database("twin", dict(connections[warm].settings_dict))
    try:
        querycache.invalidate(Author, using="twin")
        assert list(names(warm)) == ["Bob"]
        assert querycache.last_write(Author, using="twin") == querycache.last_write(
            Author, using=warm
        )
    finally:
        remove_database("twin")

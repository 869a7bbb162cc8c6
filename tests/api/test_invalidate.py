"""invalidate: what is forgotten, by whom, and when."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.api.helpers import FILES, behind, hit, names, turn_off
from tests.environment import add_database, configure, elsewhere, remove_database
from tests.library.models import Author, Genre, Place, Publisher, Shop

ROOT = Path(__file__).resolve().parents[2]


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

"""Test cases as projects write them; `tests/test_django_testcases.py` runs them."""

# ruff: noqa: PT027 - as projects write it
from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.request import urlopen

from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, connection, transaction
from django.test import (
    Client,
    LiveServerTestCase,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)

import querycache
from tests.library.models import Author, Book, Genre, Thing


def names() -> list[str]:
    found = [list(Genre.objects.order_by("name").values_list("name", flat=True)) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    with querycache.disabled():
        assert found[0] == list(Genre.objects.order_by("name").values_list("name", flat=True))
    return found[0]


class ClassData(TestCase):
    """Each test sees what the class made, and nothing of the other tests."""

    author: ClassVar[Author]

    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="Ann")
        Genre.objects.create(name="crime")
        names()

    def setUp(self) -> None:
        assert names() == ["crime"]
        self.hits = querycache.stats().hits

    def tearDown(self) -> None:
        assert querycache.stats().hits > self.hits

    def test_a(self) -> None:
        Genre.objects.create(name="a")
        assert names() == ["a", "crime"]

    def test_b(self) -> None:
        Genre.objects.update(name="b")
        assert names() == ["b"]
        with transaction.atomic():
            Genre.objects.all().delete()
            assert names() == []

    def test_c(self) -> None:
        self.author.name = "Anna"
        self.author.save()
        Book.objects.create(title="t", author=self.author)
        for _ in range(3):
            assert Book.objects.select_related("author").get().author.name == "Anna"
        assert names() == ["crime"]

    def test_d_an_error(self) -> None:
        Thing.objects.create(code="a")
        with self.assertRaises(IntegrityError), transaction.atomic():
            Genre.objects.create(name="lost")
            Thing.objects.create(code="a")
        assert names() == ["crime"]

    def test_e_hooks(self) -> None:
        seen: list[Any] = []
        with self.captureOnCommitCallbacks(execute=True):
            Genre.objects.create(name="e")
            transaction.on_commit(lambda: seen.append(names()))
        assert seen == [["crime", "e"]]

    def test_f_queries_are_counted(self) -> None:
        # A hit that is compared is run; without the comparison it is no query.
        names()
        with self.assertNumQueries(1):
            list(Genre.objects.order_by("name").values_list("name", flat=True))

    def test_g_client(self) -> None:
        for expected in (["crime", "g1"], ["crime", "g1", "g2"]):
            response = Client().get("/genres/", {"add": expected[-1]})
            assert response.json() == [expected, expected]
            assert names() == expected

    @override_settings(QUERYCACHE={"STORE": "memory://", "VERIFY": 1.0, "VERIFY_RAISES": True})
    def test_h_other_settings(self) -> None:
        Genre.objects.create(name="h")
        assert names() == ["crime", "h"]
        self.hits = -1


class ClassDataAgain(ClassData):
    """The class before has left nothing."""


class Committing(TransactionTestCase):
    """Tables are emptied after each test."""

    def test_a(self) -> None:
        assert names() == []
        with transaction.atomic():
            Genre.objects.create(name="a")
            assert names() == ["a"]
        assert names() == ["a"]

    def test_b(self) -> None:
        assert names() == []
        Genre.objects.create(name="b")
        with self.assertRaises(LookupError), transaction.atomic():
            Genre.objects.create(name="lost")
            assert names() == ["b", "lost"]
            raise LookupError
        hits = querycache.stats().hits
        assert names() == ["b"]
        assert querycache.stats().hits > hits


class Loop(SimpleTestCase):
    """Which may reach no database, least of all from an event loop."""

    # Installed anew, so that nothing is known of the database.
    @override_settings(SECRET_KEY="of the loop" * 5)
    async def test_a_query_in_the_loop_is_refused_as_without_the_cache(self) -> None:
        with self.assertRaises(SynchronousOnlyOperation):
            list(Genre.objects.all())


class Refused(SimpleTestCase):
    """Which may reach no database, connected or not."""

    @override_settings(SECRET_KEY="of the refused" * 5)
    def test_a_query_is_refused_in_the_words_that_it_is_refused_in_without_the_cache(self) -> None:
        connection.close()
        with self.assertRaisesMessage(AssertionError, "Database queries to 'default' are not"):
            list(Genre.objects.all())


class Live(LiveServerTestCase):
    """A server in another thread, which shares an in-memory database's connection."""

    def get(self, query: str = "") -> Any:
        with urlopen(f"{self.live_server_url}/genres/{query}") as response:
            return json.load(response)

    def test_a(self) -> None:
        assert self.get() == [[], []]
        Genre.objects.create(name="a")
        assert self.get() == [["a"], ["a"]]
        assert self.get("?add=b") == [["a", "b"], ["a", "b"]]
        assert names() == ["a", "b"]
        Genre.objects.all().delete()
        assert self.get() == [[], []]

    def test_b(self) -> None:
        self.test_a()
        assert connection.get_autocommit()

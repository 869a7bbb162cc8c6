"""Instances are made of rows without `Model.from_db()`, where it would do nothing else."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import django
import pytest
from django.db import models
from django.db.models.expressions import Col
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps

import querycache
from querycache import instances
from querycache.instances import Maker
from tests.compiled.asking import Build, compiler_of, everywhere, on_sqlite
from tests.compiled.peculiar import PECULIAR
from tests.library.models import Author, Book
from tests.shapes.dataset import Library

_numbers = itertools.count()


@pytest.fixture
def by_django(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect a word for each instance that Django makes itself."""
    made: list[str] = []
    state = models.base.ModelState

    def noting() -> Any:
        made.append("made")
        return state()

    # `Model.__init__()` finds it there, and nobody else.
    monkeypatch.setattr(models.base, "ModelState", noting)
    return made


def shown(found: Any) -> Any:
    """Return all that an instance holds in its order, with that of the instances it refers to."""
    if not isinstance(found, models.Model):
        return type(found), repr(found)
    state = dict(vars(found._state))
    state.pop("peers", None)
    related = state.pop("fields_cache", {})
    return (
        _held(found),
        state,
        # Both ends of a relation may refer to each other.
        {name: value if value is None else _held(value) for name, value in related.items()},
    )


def _held(found: models.Model) -> Any:
    held = [(name, shown(value)) for name, value in vars(found).items() if name != "_state"]
    return type(found), next(iter(vars(found))), held


ASKED: dict[str, Build] = {
    "all": lambda m: m.Book.all(),
    "key": lambda m: m.Book.filter(pk=1),
    "only": lambda m: m.Book.only("price", "title"),
    "defer": lambda m: m.Author.defer("name"),
    "related": lambda m: m.Book.select_related("author__mentor", "publisher"),
    "related_in_part": lambda m: m.Book.select_related("author").only("title", "author__name"),
    "annotated": lambda m: m.Book.annotate(cost=models.F("price"), n=models.Count("reviews")),
    "extra": lambda m: m.Book.extra(select={"two": "1 + 1"}),
    "inherited": lambda m: m.Shop.all(),
    "inherited_in_part": lambda m: m.Shop.only("stock"),
    "parent_and_child": lambda m: m.Place.select_related("shop"),
    "parent_and_child_in_part": lambda m: m.Place.select_related("shop").only("shop__stock"),
    "composite_key": lambda m: m.Chapter.select_related("book"),
    "binary": lambda m: m.Thing.all(),
    "generic": lambda m: m.Note.select_related("content_type"),
}


@everywhere
@pytest.mark.parametrize("asked", ASKED)
def test_instances_are_those_without_the_cache(
    m: Library, asked: str, by_django: list[str]
) -> None:
    m.Shop.create(name="a shop", stock=3)

    def ask() -> list[Any]:
        return [shown(one) for one in ASKED[asked](m).order_by("pk")]

    with querycache.disabled():
        expected = ask()
        assert by_django
    assert expected
    assert ask() == expected
    by_django.clear()
    for _ in range(2):
        assert ask() == expected
    assert not by_django


@everywhere
def test_what_relations_bring_is_made_alike(m: Library, by_django: list[str]) -> None:
    def ask() -> list[Any]:
        found = []
        for book in m.Book.prefetch_related("genres", "reviews").order_by("pk"):
            found.append([shown(book.author), *map(shown, book.genres.all())])
            found += [[shown(review), shown(review.book)] for review in book.reviews.all()]
        return found

    ask()
    expected = ask()
    by_django.clear()
    assert ask() == expected
    assert not by_django


@everywhere
def test_instances_do_what_instances_do(m: Library) -> None:
    def ask() -> Any:
        return m.Book.only("title", "author").get(pk=1)

    ask()
    book = ask()
    assert "pages" not in vars(book)
    pages = book.pages
    assert vars(book)["pages"] == pages
    author = book.author
    assert book.author is author
    book.author_id = m.Author.exclude(pk=author.pk).order_by("pk").first().pk
    assert book.author != author
    assert pickle.loads(pickle.dumps(book)).title == book.title
    book.title = "another"
    before = m.Book.count()
    book.save()
    assert m.Book.count() == before
    assert ask().title == "another"
    assert ask() == book
    assert ask()._state is not book._state


@on_sqlite
@pytest.mark.parametrize("signal", [pre_init, post_init])
@pytest.mark.parametrize("sender", [None, Author])
def test_receivers_hear_of_instances(m: Library, signal: Any, sender: Any) -> None:
    def ask() -> Any:
        return list(m.Book.select_related("author").order_by("pk"))

    for _ in range(2):
        ask()
    heard: list[type] = []

    def hear(sender: type, **_: Any) -> None:
        heard.append(sender)

    number = m.Book.count()
    for _ in range(2):
        signal.connect(hear, sender=sender)
        try:
            ask()
        finally:
            signal.disconnect(hear, sender=sender)
        assert heard.count(Author) == number
        assert heard.count(Book) == (0 if sender else number)
        heard.clear()
        ask()
        assert heard == []


@on_sqlite
@pytest.mark.parametrize("method", ["__init__", "from_db"])
@pytest.mark.parametrize("late", [False, True])
def test_methods_that_programs_change_are_called(m: Library, method: str, late: bool) -> None:
    def ask() -> Any:
        return list(m.Book.select_related("author").order_by("pk"))

    if late:
        ask()
    own: Any = getattr(Author, method)
    called: list[Any] = []

    def change(*args: Any, **kwargs: Any) -> Any:
        called.append(args)
        return own(*args, **kwargs) if method == "__init__" else own(*args[1:], **kwargs)

    number = m.Book.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Author, method, classmethod(change) if method == "from_db" else change)
        for _ in range(2):
            ask()
    assert len(called) == 2 * number
    ask()
    assert len(called) == 2 * number


@on_sqlite
@isolate_apps("tests.library")
@pytest.mark.parametrize("name", PECULIAR)
def test_models_with_ideas_of_their_own(m: Library, name: str) -> None:
    bases, field = PECULIAR[name]
    told = {"app_label": "library", "managed": False, "db_table": "library_publisher"}
    body = {
        "__module__": __name__,
        "Meta": type("Meta", (), told),
        "name": field(max_length=100),
    }
    model: Any = type(f"Peculiar{next(_numbers)}", bases, body)

    def ask() -> list[tuple[Any, Any]]:
        found = model._default_manager.using(m.alias).order_by("pk")
        return [(one.name, getattr(one, "seen", None)) for one in found]

    with querycache.disabled():
        expected = ask()
    assert all(seen for _, seen in expected)
    for _ in range(3):
        assert ask() == expected


@on_sqlite
@isolate_apps("tests.library")
def test_files_and_proxies(m: Library, by_django: list[str]) -> None:
    class Filed(models.Model):
        name = models.FileField()

        class Meta:
            app_label = "library"
            managed = False
            db_table = "library_publisher"

    class Near(Author):
        class Meta:
            app_label = "library"
            proxy = True

    def ask() -> Any:
        filed = list(Filed._default_manager.using(m.alias).order_by("pk"))
        near = list(Near._default_manager.using(m.alias).order_by("pk"))
        return [(one.name.name, one.name.instance is one) for one in filed], [
            (type(one), one.name) for one in near
        ]

    with querycache.disabled():
        expected = ask()
    for _ in range(2):
        by_django.clear()
        assert ask() == expected
    assert by_django == []


class Twin(models.CharField):
    """Reads the column of another field."""

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        name: Any = self.model._meta.get_field("name")
        return Col(alias, name, self)


@on_sqlite
@isolate_apps("tests.library")
def test_a_field_that_reads_the_column_of_another(m: Library) -> None:
    class Doubled(models.Model):
        name = models.CharField(max_length=100)
        twin = Twin(max_length=100)

        class Meta:
            app_label = "library"
            managed = False
            db_table = "library_publisher"

    def ask() -> Any:
        return [shown(one) for one in Doubled._default_manager.using(m.alias).order_by("pk")]

    with querycache.disabled():
        expected = ask()
    for _ in range(3):
        assert ask() == expected


@pytest.mark.skipif(django.VERSION < (6, 1), reason="fetch modes came with Django 6.1")
@on_sqlite
def test_fetch_modes(m: Library) -> None:
    from django.core.exceptions import FieldFetchBlocked
    from django.db.models import FETCH_PEERS, FETCH_RAISE

    for _ in range(2):
        books = list(m.Book.only("title").fetch_mode(FETCH_PEERS).order_by("pk"))
        assert books[0].pages > 0
        assert all("pages" in vars(book) for book in books)
        blocked = m.Book.only("title").fetch_mode(FETCH_RAISE).get(pk=1)
        with pytest.raises(FieldFetchBlocked):
            assert blocked.pages
        author = m.Book.fetch_mode(FETCH_RAISE).select_related("author").get(pk=1).author
        with pytest.raises(FieldFetchBlocked):
            assert author.mentor


class RicherState(models.base.ModelState):
    """What a later Django might keep of an instance."""

    def __init__(self) -> None:
        self.more = True


@on_sqlite
def test_a_later_django_that_keeps_more(m: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.base, "ModelState", RicherState)
    for _ in range(3):
        state: Any = m.Book.get(pk=1)._state
        assert state.more


@on_sqlite
def test_a_later_django_that_passes_more(
    m: Library, monkeypatch: pytest.MonkeyPatch, by_django: list[str]
) -> None:
    monkeypatch.setattr(instances, "_TAKEN", {*instances._TAKEN, "more"})
    for _ in range(3):
        by_django.clear()
        m.Book.get(pk=1)
        assert by_django


@on_sqlite
def test_compilers_tell_others_of_the_model(m: Library) -> None:
    list(m.Book.filter(pk=1))
    compiler = compiler_of(m.Book.filter(pk=2), m.alias)
    compiler.execute_sql()
    stand_in = compiler.klass_info["model"]
    assert type(stand_in) is Maker
    assert stand_in.__name__ == "Book"
    assert stand_in._meta is Book._meta
    assert stand_in._default_manager.model is Book

"""`last_write` in templates: Django's and Jinja2's."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import jinja2
import pytest
from django.template.backends.django import DjangoTemplates
from django.template.backends.jinja2 import Jinja2

import querycache
from querycache.cache import QueryCache
from tests.library.models import Author, Genre

Render = Callable[..., str]


def by_django(text: str, **context: Any) -> str:
    engine = DjangoTemplates({"NAME": "django", "DIRS": [], "APP_DIRS": False, "OPTIONS": {}})
    rendered: str = engine.from_string("{% load querycache %}" + text).render(context)
    return rendered


def by_jinja2(text: str, **context: Any) -> str:
    options = {
        "extensions": ["querycache.jinja2.QuerycacheExtension"],
        "undefined": jinja2.StrictUndefined,
    }
    engine = Jinja2({"NAME": "jinja2", "DIRS": [], "APP_DIRS": False, "OPTIONS": options})
    return engine.from_string(text).render(context)


def stamp(moment: datetime.datetime | None) -> str:
    assert moment is not None
    return str(moment.timestamp())


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("render", "text", "everything"),
    [
        (
            by_django,
            "{% last_write 'library.Author' 'library_genre' using=alias as w %}{{ w.timestamp }}",
            "{% last_write using=alias as w %}{{ w.timestamp }}",
        ),
        (
            by_jinja2,
            "{{ last_write('library.Author', 'library_genre', using=alias).timestamp() }}",
            "{{ last_write(using=alias).timestamp() }}",
        ),
    ],
    ids=["django", "jinja2"],
)
class TestTag:
    def test_is_last_write(
        self, cache: QueryCache, database: str, render: Render, text: str, everything: str
    ) -> None:
        def written(*targets: Any) -> str:
            return stamp(querycache.last_write(*targets, using=database))

        written()
        first = render(text, alias=database)
        assert first == written(Author, Genre)
        while written(Author, Genre) == first:
            Author.objects.using(database).create(name="Ann")
        assert render(text, alias=database) == written(Author, Genre) != first
        assert render(everything, alias=database) == written()

    def test_unknown_names(
        self, cache: QueryCache, database: str, render: Render, text: str, everything: str
    ) -> None:
        with pytest.raises(LookupError, match=r"library\.Author"):
            render(text.replace("library.Author", "library.Auhtor"), alias=database)
        with pytest.raises(LookupError, match="nowhere"):
            render(everything, alias="nowhere")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_fragment_that_is_as_new_as_its_rows(cache: QueryCache, database: str, zone: str) -> None:
    """As the documentation of the tag has it; the time zone that is in use changes nothing."""
    text = (
        "{% load cache tz %}{% timezone zone %}"
        "{% last_write 'library.Author' using=alias as written %}"
        "{% cache None 'authors' alias zone written.timestamp %}"
        "{% for author in authors %}{{ author.name }} {% endfor %}"
        "{% endcache %}{% endtimezone %}"
    )

    def page() -> str:
        authors = Author.objects.using(database).order_by("name")
        return by_django(text, authors=authors, alias=database, zone=zone)

    Author.objects.using(database).create(name="Ann")
    assert page() == "Ann "
    reads = querycache.stats().hits + querycache.stats().misses
    assert page() == "Ann "
    assert querycache.stats().hits + querycache.stats().misses == reads, "the fragment is cached"
    before = querycache.last_write(Author, using=database)
    names = ["Ann"]
    # The clock of the store has milliseconds; two writes in one of them cannot be told apart.
    while querycache.last_write(Author, using=database) == before:
        names.append(f"B{len(names):04}")
        Author.objects.using(database).create(name=names[-1])
    assert page() == "".join(f"{name} " for name in names)

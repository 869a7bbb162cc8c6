"""What became of each read of a request, as the panel of the debug toolbar shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

import querycache
from querycache import install
from querycache.cache import QueryCache
from querycache.explanation import Explanation, explain_read
from querycache.recorder import Recorded, Recorder
from querycache.runtime import runtime
from tests.environment import configure, elsewhere
from tests.library.models import Author, Publisher

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cache(database: str) -> Iterator[QueryCache]:
    """querycache on a store that settles stamps at once, and an author."""
    yield configure(STORE="memory://", KEY_PREFIX=f"panel{os.urandom(4).hex()}").cache
    install.uninstall()


@pytest.fixture
def alias(cache: QueryCache, database: str) -> str:
    Author.objects.using(database).create(pk=1, name="Ann")
    return database


def told(read: Recorded) -> tuple[bool, str]:
    return read.hit, read.reason


class TestRecorder:
    def test_misses_and_hits(self, alias: str) -> None:
        authors = Author.objects.using(alias)
        with Recorder() as recorder:
            list(authors.all())
            list(authors.all())
            authors.filter(pk=1).update(name="Bea")
            list(authors.all())
        assert [*map(told, recorder.reads)] == [
            (False, "the store has no entry for it"),
            (True, "the entry is valid"),
            (False, "a table was written since the entry was stored"),
        ]
        first, second, _ = recorder.reads
        assert first.alias == alias
        assert first.explanation.dependencies == ("library_author",)
        assert "library_author" in first.explanation.sql
        assert first.seconds > 0
        assert second.explanation.size
        list(authors.all())
        assert len(recorder.reads) == 3

    def test_every_kind_of_read(self, alias: str) -> None:
        authors = Author.objects.using(alias)
        with Recorder() as recorder:
            for _ in range(2):
                authors.get(pk=1)
                authors.count()
                authors.filter(name="Ann").exists()
                authors.values_list("name").first()
        assert [read.hit for read in recorder.reads] == [False] * 4 + [True] * 4
        assert {read.reason for read in recorder.reads[4:]} == {"the entry is valid"}
        assert recorder.reads[0].params == (1,)

    def test_what_is_not_cacheable(self, alias: str) -> None:
        with Recorder() as recorder:
            list(Author.objects.using(alias).order_by("?"))
        (read,) = recorder.reads
        assert not read.hit
        assert not read.explanation.cacheable
        assert read.reason == read.explanation.reason != ""
        assert querycache.stats().bypassed == 1

    def test_what_is_not_looked_for(self, alias: str) -> None:
        with Recorder() as recorder, querycache.disabled():
            list(Author.objects.using(alias))
        assert recorder.reads == []

    def test_an_open_transaction(self, alias: str) -> None:
        authors = Author.objects.using(alias)
        with Recorder() as recorder, transaction.atomic(using=alias):
            authors.filter(pk=1).update(name="Bea")
            list(authors.all())
            list(authors.all())
        assert [read.hit for read in recorder.reads] == [False, True]
        assert "this transaction" in recorder.reads[0].reason

    def test_a_change_in_between(self, alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
        authors = Author.objects.using(alias)
        list(authors.all())

        def late(*args: Any, **options: Any) -> Explanation:
            found = explain_read(*args, **options)
            elsewhere(lambda: authors.filter(pk=1).update(name="Bea"))
            return found

        monkeypatch.setattr("querycache.recorder.explain_read", late)
        with Recorder() as recorder:
            assert [author.name for author in authors.all()] == ["Bea"]
        (read,) = recorder.reads
        assert told(read) == (
            False,
            "another process or thread has read or written it at the same time",
        )

    def test_a_query_that_fails(self, alias: str) -> None:
        with Recorder() as recorder, pytest.raises(ZeroDivisionError):
            list(Author.objects.using(alias).annotate(wrong=_Wrong()))
        assert recorder.reads == []

    def test_hits_that_are_verified(self, database: str) -> None:
        configure(STORE="memory://", VERIFY=1.0, KEY_PREFIX="panelverify")
        Publisher.objects.using(database).create(name="one")
        with Recorder() as recorder:
            for _ in range(2):
                list(Publisher.objects.using(database))
        assert [read.hit for read in recorder.reads] == [False, True]

    def test_shadow_mode_serves_nothing(self, database: str) -> None:
        configure(STORE="memory://", MODE="shadow", KEY_PREFIX="panelshadow")
        with Recorder() as recorder:
            for _ in range(2):
                list(Publisher.objects.using(database))
        assert [read.hit for read in recorder.reads] == [False, False]
        assert "shadow" in recorder.reads[1].reason

    def test_other_threads_are_not_listened_to(self, alias: str) -> None:
        entered, left = threading.Event(), threading.Event()
        inner: list[int] = []

        def other() -> None:
            with Recorder() as recorder:
                entered.set()
                assert left.wait(30)
                Author.objects.using(alias).count()
                inner.append(len(recorder.reads))

        thread = threading.Thread(target=lambda: elsewhere(other))
        with Recorder() as recorder:
            thread.start()
            assert entered.wait(30)
            Author.objects.using(alias).get(pk=1)
            # One that takes no notes.
            assert elsewhere(lambda: Author.objects.using(alias).count()) == 1
        # Whoever ends first leaves the other's notes alone.
        left.set()
        thread.join()
        assert (len(recorder.reads), inner) == (1, [1])

    def test_one_within_another(self, alias: str) -> None:
        authors = Author.objects.using(alias)
        with Recorder() as outer:
            authors.get(pk=1)
            with Recorder() as within:
                authors.count()
            authors.get(pk=1)
        assert ([read.hit for read in outer.reads], len(within.reads)) == ([False, True], 1)

    def test_nothing_stays_when_nobody_listens(self, alias: str) -> None:
        assert runtime.current is not None
        before = runtime.current.read
        recorder = Recorder()
        recorder.start()
        assert runtime.current.read is not before
        recorder.start()
        recorder.stop()
        recorder.stop()
        assert runtime.current.read is before

    def test_off(self) -> None:
        from django.conf import settings

        settings.QUERYCACHE = {"MODE": "off"}
        install.install()
        with Recorder() as recorder:
            pass
        assert recorder.reads == []


class _Wrong:
    """No expression at all."""

    def resolve_expression(self, *args: object, **options: object) -> object:
        raise ZeroDivisionError


SITE = """
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path

HERE = Path(sys.argv[1])
settings.configure(
    DEBUG=True,
    SECRET_KEY="a site",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    INTERNAL_IPS=["127.0.0.1"],
    STATIC_URL="static/",
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.staticfiles", "debug_toolbar",
        "querycache", "tests.library",
    ],
    MIDDLEWARE=["debug_toolbar.middleware.DebugToolbarMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DEBUG_TOOLBAR_PANELS=["querycache.panel.QueryCachePanel"],
    QUERYCACHE={"STORE": "memory://"},
)
django.setup()

from django.core.management import call_command
from django.test import AsyncClient, Client

from tests.library.models import Author


def view(request):
    names = [author.name for author in Author.objects.all()]
    return HttpResponse(f"<html><body>{names} {Author.objects.count()}</body></html>")


async def async_view(request):
    names = [author.name async for author in Author.objects.all()]
    return HttpResponse(f"<html><body>{names} {await Author.objects.acount()}</body></html>")


urlpatterns = [
    path("", view), path("async", async_view), path("__debug__/", include("debug_toolbar.urls"))
]


def shown(response):
    page = response.content.decode()
    assert "['Ann'] 1" in page, page
    store_id = page.partition('data-request-id="')[2].partition('"')[0]
    panel = Client().get(
        "/__debug__/render_panel/", {"request_id": store_id, "panel_id": "QueryCachePanel"}
    )
    return page + panel.json()["content"]


call_command("migrate", run_syncdb=True, verbosity=0)
Author.objects.create(name="Ann")
for hits in (0, 2):
    page = shown(Client().get("/"))
    assert f"{hits} hits of 2 reads" in page, page
    assert page.count("<strong>hit</strong>") == hits, page
    assert page.count("<strong>miss</strong>") == 2 - hits, page
    assert ("the entry is valid" in page) is (hits == 2)
    assert ("the store has no entry for it" in page) is (hits == 0)
    assert "library_author" in page


async def main():
    return await AsyncClient().get("/async")


import asyncio

page = shown(asyncio.run(main()))
assert "2 hits of 2 reads" in page, page
print("right")
"""


@pytest.mark.slow
def test_on_a_site(tmp_path: Path) -> None:
    """The toolbar itself, on pages of a site that answers synchronously and asynchronously."""
    site = tmp_path / "site_with_toolbar.py"
    site.write_text(SITE)
    done = subprocess.run(
        [sys.executable, os.fspath(site), os.fspath(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "right\n", done.stdout + done.stderr

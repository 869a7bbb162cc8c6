"""What is remembered: for how long, for whom, and under which settings."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from django.db import connections
from django.db.models import (
    Q,
)
from django.test import override_settings

from querycache import compiled
from querycache.compiled import Texts
from tests.compiled.asking import (
    SAME,
    Build,
    compilations,
    compiler_of,
    everywhere,
    fresh,
    on_sqlite,
    outcome,
)
from tests.environment import add_database, configure, remove_database
from tests.shapes.dataset import Library, populate


@everywhere
def test_times_are_converted_as_settings_say(database: str) -> None:
    m = Library(database)
    texts = Texts()
    with override_settings(USE_TZ=False):
        texts.compile(compiler_of(m.Book.all(), database))
    with compilations() as made:
        found = outcome(texts.compile, compiler_of(m.Book.all(), database))
    assert made == []
    assert found == outcome(fresh, compiler_of(m.Book.all(), database))


@on_sqlite
@pytest.mark.parametrize(
    "build", [lambda m: m.Genre.all(), lambda m: m.Book.select_related("author")]
)
def test_models_that_change(database: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    m = Library(database)
    texts = Texts()
    meta = build(m).model._meta
    changes: list[tuple[Any, str, Any]] = [
        (meta, "db_table", "library_other"),
        (meta, "ordering", ["-pk"]),
        (meta, "concrete_fields", meta.concrete_fields[:1]),
    ]
    if meta.model_name == "book":
        changes.append((m.Author.model._meta, "db_table", "library_writer"))
    texts.compile(compiler_of(build(m), database))
    for owner, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setitem(vars(owner), name, value)
            found = outcome(texts.compile, compiler_of(build(m), database))
            assert found == outcome(fresh, compiler_of(build(m), database))
        assert found != outcome(texts.compile, compiler_of(build(m), database))


@on_sqlite
def test_an_order_that_is_changed_in_place(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    m = Library(database)
    texts = Texts()
    ordering = ["name"]
    monkeypatch.setattr(m.Genre.model._meta, "ordering", ordering)
    before = texts.compile(compiler_of(m.Genre.all(), database))
    ordering[0] = "-pk"
    assert texts.compile(compiler_of(m.Genre.all(), database)) != before


class Unhashable(str):
    """Equal to others in a way of its own, as a class may be."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


@on_sqlite
def test_values_that_cannot_be_hashed_are_compiled_by_django(database: str) -> None:
    m = Library(database)
    asked = m.Genre.filter(name__in=[Unhashable("a"), Unhashable("b")])
    found = outcome(Texts().compile, compiler_of(asked, database))
    assert found == outcome(fresh, compiler_of(asked, database))
    assert found is not TypeError


@on_sqlite
def test_models_that_have_changed_are_remembered_anew(database: str) -> None:
    m = Library(database)
    texts = Texts()
    texts.compile(compiler_of(m.Genre.all(), database))
    # As defining a model that refers to this one does.
    m.Genre.model._meta._expire_cache()
    texts.compile(compiler_of(m.Genre.all(), database))
    with compilations() as made:
        texts.compile(compiler_of(m.Genre.all(), database))
    assert made == []


@everywhere
@pytest.mark.parametrize(
    "first",
    [
        lambda m: m.Book.filter(pages__in=[1, 1]),
        lambda m: m.Book.filter(pages__in=[1, None]),
        lambda m: m.Book.filter(Q(pages=2**70) | Q(pk__in=[1, 2])),
        lambda m: m.Book.filter(pages__lt=2**70),
    ],
)
def test_an_unusual_value_does_not_spoil_a_shape(database: str, first: Build) -> None:
    m = Library(database)
    texts = Texts()

    def usual(number: int) -> Any:
        pages = [m.Book.filter(pages__in=[number, 5]), m.Book.filter(pages__lt=number)]
        return [*pages, m.Book.filter(Q(pages=number) | Q(pk__in=[1, 2]))]

    outcome(texts.compile, compiler_of(first(m), database))
    for asked in usual(1):
        texts.compile(compiler_of(asked, database))
    with compilations() as made:
        found = [texts.compile(compiler_of(asked, database)) for asked in usual(2)]
    assert made == []
    assert found == [fresh(compiler_of(asked, database)) for asked in usual(2)]


@on_sqlite
@pytest.mark.parametrize("name", SAME)
def test_what_is_told_by_its_address_is_kept(database: str, name: str) -> None:
    """Else something else could be there one day."""
    texts = Texts()
    texts.compile(compiler_of(SAME[name][0](Library(database)), database))
    ((key, text),) = texts._known.items()
    addresses = {part for part in key if type(part) is int and part > 1 << 20}
    assert addresses <= {id(field) for field in text._fields}


def test_options_and_aliases_have_texts_of_their_own(request: pytest.FixtureRequest) -> None:
    installed = configure(STORE="memory://")
    one, other = connections["default"], connections["default"].copy()
    assert installed.texts(one) is installed.texts(other) is not None
    other.settings_dict["OPTIONS"] = {"server_side_binding": True}
    assert installed.texts(one) is not installed.texts(other)
    add_database("second", dict(one.settings_dict))
    request.addfinalizer(lambda: remove_database("second"))
    assert installed.texts(one) is not installed.texts(connections["second"])


@on_sqlite
def test_it_can_be_turned_off(database: str) -> None:
    configure(STORE="memory://", REUSE_SQL=False)
    m = Library(database)
    populate(m)
    list(m.Book.filter(pk=1))
    with compilations() as made:
        list(m.Book.filter(pk=2))
    assert len(made) == 1


@on_sqlite
def test_what_is_remembered_has_an_end(database: str) -> None:
    m = Library(database)
    texts = Texts()
    for number in range(2 * compiled._REMEMBERED):
        texts.compile(compiler_of(m.Book.all()[: number + 1], database))
        assert len(texts._known) <= compiled._REMEMBERED


@on_sqlite
def test_values_are_not_kept(database: str) -> None:
    class Secret(str):
        __slots__ = ("__weakref__",)

    m = Library(database)
    texts = Texts()
    value = Secret("a")
    texts.compile(compiler_of(m.Author.filter(name=value), database))
    seen = weakref.ref(value)
    del value
    gc.collect()
    assert seen() is None

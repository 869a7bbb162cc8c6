"""Classes of others, and what a program puts into Django's."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models
from django.db.models import (
    Value,
)
from django.db.models.expressions import Col
from django.db.models.functions import Coalesce
from django.db.models.lookups import BuiltinLookup, Exact, IsNull
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import WhereNode
from django.test.utils import isolate_apps

from querycache.compiled import Texts, compiles_as_django, writes_as_django
from querycache.shapes import shape_of
from tests.compiled.asking import SAME, compiler_of, on_sqlite, reuses
from tests.shapes.dataset import Library


class Shouted(models.CharField):
    """A field that writes its column in its own way, and now and then in another."""

    said = "UPPER"

    def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
        return f"{self.said}({sql})", params


class Marked(Query):
    """A query of somebody else's."""


def test_queries_of_other_classes_and_with_other_attributes() -> None:
    m = Library("default")
    asked = m.Book.filter(pk=1)
    assert shape_of(compiler_of(asked, "default")) is not None
    assert shape_of(asked.query.chain(klass=Marked).get_compiler("default")) is None
    asked.query.hint = "other"
    assert shape_of(compiler_of(asked, "default")) is None


class Sharp(Exact):
    """A lookup of somebody else's."""


def test_lookups_and_values_of_other_classes() -> None:
    m = Library("default")
    asked = m.Book.filter(pages=1)
    lookup = asked.query.where.children[0]
    asked.query.where.children[0] = Sharp(lookup.lhs, lookup.rhs)
    assert shape_of(compiler_of(asked, "default")) is None

    class Odd(int):
        def as_sql(self, compiler: Any, connection: Any) -> Any:
            return "1", ()

    lookup.rhs = Odd(1)
    asked.query.where.children[0] = lookup
    assert shape_of(compiler_of(asked, "default")) is None
    lookup.rhs = object()
    assert shape_of(compiler_of(asked, "default")) is None


@isolate_apps("tests.library")
@on_sqlite
def test_fields_that_write_their_column_in_their_own_way(database: str) -> None:
    class Card(models.Model):
        name = Shouted(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("UPPER", "LOWER"):
        Shouted.said = said
        compiler = Card._default_manager.filter(pk=1).query.get_compiler(database)
        assert said in texts.compile(compiler)[0]


@on_sqlite
@isolate_apps("tests.library")
def test_fields_in_subqueries_and_fields_that_convert(database: str) -> None:
    class Turned(models.CharField):
        turns = False

        def get_db_converters(self, connection: Any) -> Any:
            return [lambda value, *args: value[::-1]] if self.turns else []

    class Card(models.Model):
        name = Shouted(max_length=5)
        back = Turned(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    cards = Card._default_manager
    for said in ("UPPER", "LOWER"):
        Shouted.said = said
        asked = cards.filter(pk=1, back__in=cards.values("name")).only("back")
        assert said in texts.compile(asked.query.get_compiler(database))[0]
    for turns in (False, True):
        Turned.turns = turns
        compiler = cards.only("back").query.get_compiler(database)
        texts.compile(compiler)
        columns = [column for column, _, _ in compiler.select]
        assert bool(compiler.get_converters(columns)) is turns


@on_sqlite
@isolate_apps("tests.library")
def test_columns_of_other_classes(database: str) -> None:
    class Quoted(Col):
        said = "a"

        def as_sql(self, compiler: Any, connection: Any) -> Any:
            return f"'{self.said}'", ()

    class Own(models.CharField):
        def get_col(self, alias: Any, output_field: Any = None) -> Any:
            return Quoted(alias, self)

        cached_col = property(lambda self: self.get_col(self.model._meta.db_table))

    class Card(models.Model):
        name = Own(max_length=5)

        class Meta:
            app_label = "library"

    texts = Texts()
    for said in ("a", "b"):
        Quoted.said = said
        compiler = Card._default_manager.all().query.get_compiler(database)
        assert f"'{said}'" in texts.compile(compiler)[0]


@on_sqlite
@isolate_apps("tests.library")
def test_an_order_with_parameters(database: str) -> None:
    class Card(models.Model):
        name = models.CharField(max_length=5, null=True)

        class Meta:
            app_label = "library"
            ordering = [Coalesce("name", Value("a"))]

    texts = Texts()
    for number in (1, 2):
        compiler = Card._default_manager.filter(pk=number).query.get_compiler(database)
        assert texts.compile(compiler)[1] == (number, "a")


@on_sqlite
@isolate_apps("tests.library")
def test_relations_that_join_in_their_own_way(database: str) -> None:
    class Choosy(models.ForeignKey):
        missing = True

        def get_extra_restriction(self, alias: str, related_alias: str) -> Any:
            field: Any = self.model._meta.get_field("name")
            condition: Any = IsNull(field.get_col(related_alias), self.missing)
            return WhereNode([condition])

    class Owner(models.Model):
        class Meta:
            app_label = "library"

    class Card(models.Model):
        name = models.CharField(max_length=5, null=True)
        owner = Choosy(Owner, models.CASCADE)

        class Meta:
            app_label = "library"

    texts = Texts()
    for missing in (True, False):
        Choosy.missing = missing
        compiler = Card._default_manager.select_related("owner").query.get_compiler(database)
        assert ("IS NULL" in texts.compile(compiler)[0]) is missing


@on_sqlite
@pytest.mark.parametrize("owner", [Exact, BuiltinLookup, WhereNode, Col, Query, Join])
def test_a_program_that_changes_how_parts_are_written(
    database: str, owner: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(compiles_as_django.cache_clear)
    m = Library(database)
    build = SAME["text"][0]
    assert reuses(build, build, m)

    def louder(self: Any, compiler: Any, connection: Any) -> Any:
        return as_sql(self, compiler, connection)

    as_sql = owner.as_sql
    monkeypatch.setattr(owner, "as_sql", louder)
    compiles_as_django.cache_clear()
    assert not reuses(build, build, m)


@on_sqlite
def test_a_program_that_changes_compilers_or_backends(
    database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(compiles_as_django.cache_clear)
    connection = connections[database]
    for kind, name in ((SQLCompiler, "get_distinct"), (type(connection.ops), "quote_name")):
        compiles_as_django.cache_clear()
        assert compiles_as_django(SQLCompiler)
        assert writes_as_django(connection)
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, lambda self, *args: ([], []))
            compiles_as_django.cache_clear()
            assert not (compiles_as_django(SQLCompiler) and writes_as_django(connection))


@on_sqlite
def test_backends_and_compilers_of_others(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections[database]
    assert writes_as_django(connection)

    class Operations(type(connection.ops)):  # type: ignore[misc]
        def quote_name(self, name: str) -> str:
            return f"[{name}]"

    class Compiler(SQLCompiler):
        pass

    assert not compiles_as_django(Compiler)
    monkeypatch.setattr(connection, "ops", Operations(connection))
    assert not writes_as_django(connection)
    monkeypatch.undo()
    monkeypatch.setattr(connection, "vendor", "oracle")
    assert not writes_as_django(connection)

"""The analysis against SQLite's own word on what a statement touches.

SQLite asks an authoriser for every table that a statement reads or writes and every function that
it calls while it prepares the statement: nothing can be hidden from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connections, models, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.migrations.state import AppConfigStub
from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery, Sum, Value, Window
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, ExtractYear, Length, Lower, RowNumber, TruncMonth

from querycache import install
from querycache.rawsql import Kind, Statement, analyse

ALIAS = "rawsql_authorised"
registry = Apps()


class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)
    born = models.DateField(null=True)

    class Meta:
        apps = registry
        app_label = "rawsql"


class Tag(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        apps = registry
        app_label = "rawsql"
        db_table = "Select From"


class Book(models.Model):
    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    sequel = models.ForeignKey("self", models.SET_NULL, null=True)
    tags = models.ManyToManyField(Tag)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    published = models.DateTimeField(null=True)
    extra = models.JSONField(default=dict)

    class Meta:
        apps = registry
        app_label = "rawsql"


class Novel(Book):
    genre = models.CharField(max_length=50)

    class Meta:
        apps = registry
        app_label = "rawsql"


class Only(models.Model):
    class Meta:
        apps = registry
        app_label = "rawsql"


stub = AppConfigStub("rawsql")
stub.apps = registry
stub.models = registry.all_models["rawsql"]
registry.app_configs["rawsql"] = stub
registry.clear_cache()

MODELS = (Author, Tag, Book, Novel, Only)
TABLES = {"rawsql_author", "select from", "rawsql_book", "rawsql_book_tags", "rawsql_novel"}


@dataclass
class Touched:
    """What SQLite said of one statement."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    updates: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    def authorise(self, action: int, one: str | None, two: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_READ and one:
            self.reads.add(one.casefold())
        elif action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
            assert one is not None
            self.writes.add(one.casefold())
            if action == sqlite3.SQLITE_DELETE:
                self.deletes.add(one.casefold())
            if action == sqlite3.SQLITE_UPDATE:
                self.updates.add(one.casefold())
        elif action == sqlite3.SQLITE_FUNCTION:
            assert two is not None
            self.functions.add(two.casefold())
        return sqlite3.SQLITE_OK


@pytest.fixture(scope="module")
def connection() -> Iterator[DatabaseWrapper]:
    install.uninstall()  # what is served from the cache is not authorised
    settings = connections.configure_settings(
        {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": ":memory:",
                # A statement that is prepared once is authorised once.
                "OPTIONS": {"cached_statements": 0},
            }
        }
    )["default"]
    found = DatabaseWrapper(settings, ALIAS)
    connections[ALIAS] = found
    with found.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    # The tables that foreign keys make it look at are not named by a statement.
    found.cursor().execute("PRAGMA foreign_keys = OFF")
    yield found
    found.connection.close()
    del connections[ALIAS]


@pytest.fixture
def statements(connection: DatabaseWrapper) -> Iterator[list[tuple[str, Touched]]]:
    """What has been executed, with what SQLite said of it."""
    found: list[tuple[str, Touched]] = []

    def record(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        touched = Touched()
        connection.connection.set_authorizer(touched.authorise)
        try:
            return execute(sql, params, many, context)
        finally:
            connection.connection.set_authorizer(None)
            found.append((sql, touched))

    with connection.execute_wrapper(record):
        yield found


def objects(model: Any) -> Any:
    return model._base_manager.using(ALIAS)


def one(sql: str) -> Statement:
    (statement,) = analyse(sql, "sqlite")
    return statement


# Operators and special values that SQLite implements as functions.
OPERATORS = {"like", "glob", "->", "->>", "regexp", "match"}

QUERIES: dict[str, Callable[[], Any]] = {
    "all": lambda: objects(Book).all(),
    "inherited": lambda: objects(Novel).filter(title="x"),
    "strange name": lambda: objects(Tag).filter(name__icontains="x"),
    "joins": lambda: objects(Book).filter(author__name="x", tags__name="y", sequel__title="z"),
    "left joins": lambda: objects(Author).filter(Q(books__title="x") | Q(name="y")).distinct(),
    "select_related": lambda: objects(Book).select_related("author", "sequel__author"),
    "exclude": lambda: objects(Author).exclude(books__tags__name="x"),
    "in subquery": lambda: objects(Book).filter(author__in=objects(Author).filter(name="x")),
    "nested subqueries": lambda: objects(Tag).filter(
        id__in=objects(Book).filter(author__in=objects(Author).filter(name="x")).values("tags")
    ),
    "exists": lambda: objects(Author).filter(Exists(objects(Book).filter(author=OuterRef("pk")))),
    "not exists": lambda: objects(Author).filter(
        ~Exists(objects(Novel).filter(author=OuterRef("pk")))
    ),
    "scalar subquery": lambda: objects(Author).annotate(
        last=Subquery(
            objects(Book).filter(author=OuterRef("pk")).order_by("-id").values("title")[:1]
        )
    ),
    "aggregate annotation": lambda: objects(Author)
    .annotate(n=Count("books", distinct=True), total=Sum("books__price"))
    .filter(n__gt=1),
    "filtered aggregate": lambda: objects(Author).annotate(
        n=Count("books", filter=Q(books__tags__name="x"))
    ),
    "values": lambda: objects(Book).values("author__name").annotate(m=Max("price")).order_by("m"),
    "window": lambda: objects(Book).annotate(
        n=Window(RowNumber(), partition_by=[F("author__name")], order_by=F("price").desc())
    ),
    "filtered window": lambda: objects(Book)
    .annotate(n=Window(Sum("price"), partition_by=F("author")))
    .filter(n__gt=2),
    "functions": lambda: objects(Book).annotate(
        a=Lower("title"), b=Length("author__name"), c=Coalesce("sequel__title", Value("x"))
    ),
    "dates": lambda: objects(Book).annotate(
        m=TruncMonth("published"), y=ExtractYear("published")
    ).filter(author__born__year=2000),
    "json": lambda: objects(Book).filter(extra__a__b="x", extra__has_key="c"),
    "regex": lambda: objects(Book).filter(title__regex="a.b", author__name__startswith="c%"),
    "union": lambda: objects(Author).values("name").union(objects(Tag).values("name")),
    "union of joins": lambda: objects(Book)
    .filter(tags__name="x")
    .values("title")
    .union(objects(Author).filter(books__price=1).values("name"), all=True)
    .order_by("title")[:5],
    "intersection": lambda: objects(Book).values("id").intersection(objects(Novel).values("id")),
    "difference": lambda: objects(Book).values("id").difference(objects(Tag).values("id")),
    "subquery of union": lambda: objects(Tag).filter(
        id__in=objects(Author).values("id").union(objects(Book).values("id"))
    ),
    "raw fragment": lambda: objects(Author).annotate(
        n=RawSQL("(SELECT count(*) FROM Rawsql_Book b, [select from] WHERE b.author_id > %s)", [1])
    ),
    "extra": lambda: objects(Author).extra(
        select={"n": "SELECT max(price) FROM 'rawsql_book'"},
        tables=["select from"],
        where=["EXISTS (SELECT 1 FROM \"rawsql_novel\" /* FROM x */)"],
    ),
    "slice": lambda: objects(Book).order_by("author__name")[5:10],
    "dates list": lambda: objects(Book).datetimes("published", "month"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_what_sqlite_says(name: str, statements: list[tuple[str, Touched]]) -> None:
    list(QUERIES[name]())
    assert statements
    for sql, touched in statements:
        statement = one(sql)
        assert statement.kind is Kind.READ
        assert touched.reads <= TABLES
        assert statement.reads == touched.reads, sql
        assert touched.functions - OPERATORS <= statement.functions, sql
        assert statement.functions <= touched.functions, sql


@pytest.mark.parametrize("name", QUERIES)
def test_counting_and_asking_whether_read_the_same(
    name: str, statements: list[tuple[str, Touched]]
) -> None:
    QUERIES[name]().count()
    QUERIES[name]().exists()
    assert len(statements) == 2
    for sql, touched in statements:
        # SQLite does not look at a column that nobody asks for.
        assert touched.reads <= one(sql).reads, sql
        assert touched.functions - OPERATORS <= one(sql).functions, sql


def test_aggregates_read_what_sqlite_says(statements: list[tuple[str, Touched]]) -> None:
    objects(Book).filter(tags__name="x").aggregate(Sum("price"), n=Count("author__name"))
    objects(Author).annotate(n=Count("books")).aggregate(Max("n"))
    assert [one(sql).reads for sql, _ in statements] == [t.reads for _, t in statements]


def test_writes_write_what_sqlite_says(
    connection: DatabaseWrapper, statements: list[tuple[str, Touched]]
) -> None:
    with transaction.atomic(using=ALIAS):
        author = objects(Author).create(name="a")
        tags = objects(Tag).bulk_create([Tag(name=f"t{i}") for i in range(5)])
        novel = Novel(title="b", author=author, genre="g")
        novel.save(using=ALIAS)
        novel.tags.set(tags)
        novel.genre = "h"
        novel.save(using=ALIAS)
        objects(Author).bulk_create(
            [Author(name="a"), Author(name="b")],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["born"],
        )
        objects(Author).bulk_create([Author(name="a")], ignore_conflicts=True)
        objects(Book).filter(author__name="a").update(price=F("price") + 1)
        objects(Novel).update(title="c", genre=Subquery(objects(Tag).values("name")[:1]))
        objects(Book).filter(author__in=objects(Author).filter(name="b")).delete()
        objects(Book)._raw_delete(ALIAS)
        novel.delete(using=ALIAS)
        objects(Author).all().delete()
    writes = [(one(sql), touched, sql) for sql, touched in statements if touched.writes]
    assert {s.kind for s, _, _ in writes} == {Kind.WRITE}
    assert len(writes) >= 14
    for statement, touched, sql in writes:
        assert statement.writes == touched.writes, sql
        assert touched.deletes <= statement.deletes, sql
        assert touched.updates <= statement.updates, sql
        assert touched.reads <= statement.reads | statement.writes, sql
    for sql, touched in statements:
        if not touched.writes:
            kinds = (Kind.READ, Kind.BEGIN, Kind.COMMIT, Kind.SAVEPOINT, Kind.RELEASE)
            assert one(sql).kind in kinds, sql


HAND_WRITTEN = [
    "WITH a AS (SELECT * FROM rawsql_author) SELECT * FROM a, [Select From] t, 'rawsql_novel'",
    "WITH RECURSIVE a(n) AS (SELECT id FROM rawsql_book UNION SELECT n + 1 FROM a) SELECT * FROM a",
    "WITH rawsql_book AS (SELECT 1 FROM rawsql_author) SELECT * FROM rawsql_book, rawsql_novel",
    "SELECT * FROM (rawsql_book b JOIN rawsql_author a ON a.id = b.author_id), rawsql_novel n",
    "SELECT * FROM rawsql_book NATURAL JOIN rawsql_author JOIN rawsql_only USING (id)",
    ("SELECT (SELECT max(id) FROM rawsql_author WHERE name IS NOT DISTINCT FROM b.title)"
    " FROM rawsql_book b WHERE (id, 1) IN (SELECT o.id, 1 FROM rawsql_only o, json_each('[]'))"),
    "SELECT id FROM rawsql_book UNION SELECT id FROM rawsql_author EXCEPT VALUES (1), (2)",
    "SELECT sum(id) FILTER (WHERE id > 1) OVER w FROM rawsql_book WINDOW w AS (PARTITION BY title)",
    ("INSERT INTO rawsql_author (name) SELECT b.title FROM rawsql_book b, rawsql_novel WHERE 1"
    " ON CONFLICT (name) DO UPDATE SET born = (SELECT max(name) FROM \"select from\")"
    " RETURNING id, upper(name)"),
    "INSERT OR REPLACE INTO rawsql_author (id, name) VALUES (1, (SELECT 'FROM' FROM rawsql_novel))",
    "REPLACE INTO rawsql_author SELECT * FROM rawsql_author",
    "UPDATE rawsql_book SET title = a.name FROM rawsql_author a, rawsql_novel RETURNING title, id",
    "UPDATE OR REPLACE rawsql_author SET name = lower(name) WHERE id IN rawsql_only",
    "WITH a AS (SELECT id FROM rawsql_novel) DELETE FROM rawsql_book WHERE id IN a RETURNING *",
    "DELETE FROM rawsql_book AS b WHERE EXISTS(SELECT 1 FROM rawsql_author WHERE id = b.author_id)",
    "SELECT 1 FROM rawsql_book WHERE id IN Main.[rawsql_only] AND id NOT IN 'rawsql_only'",
    "WITH a AS (SELECT 1 FROM rawsql_author) SELECT 1 FROM rawsql_book WHERE id IN a",
    "SELECT 1 FROM rawsql_book, (VALUES (1), ((SELECT genre FROM rawsql_novel))) v",
]  # fmt: skip


@pytest.mark.parametrize("sql", HAND_WRITTEN)
def test_nothing_that_sqlite_touches_is_missing(connection: DatabaseWrapper, sql: str) -> None:
    touched = Touched()
    connection.ensure_connection()
    connection.connection.set_authorizer(touched.authorise)
    try:
        connection.connection.execute(f"EXPLAIN {sql}").fetchall()
    finally:
        connection.connection.set_authorizer(None)
    statement = one(sql)
    # The table functions of JSON are virtual tables inside.
    touched.reads -= {"json_each", "sqlite_master"}
    touched.writes -= {"sqlite_master"}
    assert touched.reads | touched.writes
    assert touched.reads <= statement.reads | statement.writes
    assert statement.reads <= touched.reads | touched.writes
    assert statement.writes == touched.writes
    assert touched.functions - OPERATORS <= statement.functions

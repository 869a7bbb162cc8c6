"""Columns that change without being named, and results of more tables than one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connections, models
from django.db.models import Avg, Count, Max, Min, Sum
from django.db.models.functions import Abs, Coalesce, Length, Lower, Upper

import querycache
from querycache.state import transaction_of
from tests.catalogue.helpers import made, rows_of
from tests.catalogue.triggers import rewriting
from tests.columns.helpers import TABLE, every, lives_on, things
from tests.kinds import mariadb, postgresql, servers, sqlites
from tests.library.models import Author, Book, Review
from tests.watching import execute


@pytest.fixture
def books(shelf: str) -> str:
    """A book with a mentored author, and a review of it."""
    mentor = Author.objects.using(shelf).create(pk=1, name="mentor")
    author = Author.objects.using(shelf).create(pk=2, name="author", mentor=mentor)
    book = Book.objects.using(shelf).create(pk=1, title="book", author=author, pages=5)
    Review.objects.using(shelf).create(pk=1, book=book, stars=3)
    return shelf


def _books(alias: str) -> Any:
    return Book.objects.using(alias)


# -- joins ---------------------------------------------------------------------------------------


def _reviews_of_long_books(alias: str) -> Any:
    return Review.objects.using(alias).filter(book__pages__gt=4).count()


def _names_of_mentors(alias: str) -> Any:
    found = Author.objects.using(alias).order_by("pk")
    return list(found.values_list("name", "mentor__name"))


@every
def test_columns_of_two_tables(books: str) -> None:
    def query() -> Any:
        return _reviews_of_long_books(books)

    reviews = Review.objects.using(books).filter(pk=1)
    assert lives_on(query, lambda: _books(books).filter(pk=1).update(title="new"))
    assert lives_on(query, lambda: reviews.update(stars=5))
    assert not lives_on(query, lambda: _books(books).filter(pk=1).update(pages=3))
    assert not lives_on(query, lambda: reviews.update(book=1))
    assert not lives_on(query, lambda: Review.objects.using(books).get(pk=1).delete())


@every
def test_columns_of_one_table_under_two_names(books: str) -> None:
    def query() -> Any:
        return _names_of_mentors(books)

    authors = Author.objects.using(books)
    assert lives_on(query, lambda: authors.filter(pk=1).update(born="2000-01-01"))
    assert not lives_on(query, lambda: authors.filter(pk=1).update(name="new"))
    assert not lives_on(query, lambda: authors.filter(pk=2).update(mentor=None))


@every
def test_one_table_with_many_columns(books: str) -> None:
    """Of the books any column matters, of their authors some."""

    def query() -> Any:
        found = _books(books).select_related("author").order_by("pk")
        return [(book.title, book.author.name) for book in found]

    def names() -> Any:
        found = _books(books).order_by("pk")
        return list(found.values("author__name", *(f.name for f in Book._meta.concrete_fields)))

    assert querycache.explain(_books(books).select_related("author").order_by("pk")).columns == {
        Author._meta.db_table: ("born", "id", "mentor_id", "name")
    }
    assert not lives_on(query, lambda: _books(books).filter(pk=1).update(in_print=False))
    assert lives_on(names, lambda: Author.objects.using(books).filter(pk=2).update(born=None))
    assert not lives_on(names, lambda: Author.objects.using(books).filter(pk=2).update(name="x"))


# -- what the database does by itself ------------------------------------------------------------


@every
def test_generated_column(books: str) -> None:
    def twice() -> Any:
        return _books(books).filter(double__gt=6).count()

    def pages() -> Any:
        return _books(books).filter(pages__gt=6).count()

    assert not lives_on(twice, lambda: _books(books).filter(pk=1).update(pages=2))
    assert lives_on(pages, lambda: _books(books).filter(pk=1).update(title="new"))
    assert not lives_on(pages, lambda: _books(books).filter(pk=1).update(pages=9))


@every
def test_columns_that_are_known(shelf: str) -> None:
    state = transaction_of(connections[shelf])
    knowledge = state.database.known(state)
    assert knowledge is not None
    columns = knowledge.catalogue.facts.columns
    assert columns[TABLE] == {"id", "code", "data", "number", "ratio", "address"}
    assert "pages" in columns[Book._meta.db_table]
    assert "double" not in columns[Book._meta.db_table]


@mariadb
def test_column_that_says_when_its_row_changed(shelf: str) -> None:
    changed = "changed timestamp(6) NOT NULL DEFAULT now(6) ON UPDATE now(6)"
    make = f"CREATE TABLE qc_seen (id integer PRIMARY KEY, name varchar(20), {changed})"
    with made(shelf, make, "DROP TABLE qc_seen"):
        execute(shelf, "INSERT INTO qc_seen (id, name) VALUES (1, 'a')")
        rows = rows_of(
            shelf, "qc_seen", name=models.TextField(), changed=models.DateTimeField(null=True)
        )
        latest = rows.model.objects.using(shelf)

        def write() -> None:
            execute(
                shelf, "UPDATE `qc_seen` SET `name` = %s WHERE `id` = %s", [uuid.uuid4().hex[:8], 1]
            )

        assert not lives_on(lambda: list(latest.values_list("changed")), write)
        assert lives_on(lambda: latest.filter(pk__gt=0).count(), write)


@servers
def test_trigger_that_changes_another_column(shelf: str) -> None:
    with rewriting(shelf, TABLE, "UPDATE", "number", 77):
        write = things(shelf).filter(pk=2).update
        assert not lives_on(lambda: things(shelf).filter(number=77).count(), lambda: write(ratio=1))


@sqlites
def test_trigger_that_writes_another_column(shelf: str) -> None:
    make = (
        f"CREATE TRIGGER qc_more AFTER UPDATE OF ratio ON {TABLE}"
        f" BEGIN UPDATE {TABLE} SET number = 77 WHERE id = new.id; END"
    )
    with made(shelf, make, "DROP TRIGGER qc_more"):
        write = things(shelf).filter(pk=2).update
        assert not lives_on(lambda: things(shelf).filter(number=77).count(), lambda: write(ratio=1))


@postgresql
def test_rows_that_a_policy_shows(shelf: str) -> None:
    make = [
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY qc_shown ON {TABLE} USING (ratio < 5)",
    ]
    drop = [f"DROP POLICY qc_shown ON {TABLE}", f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY"]
    with made(shelf, make, drop):
        assert querycache.explain(things(shelf).filter(number=2).values_list("code")).columns == {}


@postgresql
def test_what_only_looks_like_a_column(shelf: str) -> None:
    """A function of a row can be written like a column of it."""
    make = (
        f"CREATE FUNCTION shown(t {TABLE}) RETURNS text LANGUAGE sql IMMUTABLE AS"
        " $$ SELECT t.ratio::text $$"
    )
    with made(shelf, make, f"DROP FUNCTION shown({TABLE})"):
        for name in ("shown", "xmin", "ctid"):
            found = querycache.explain(
                things(shelf)
                .filter(number=2)
                .extra(select={"x": f'"{TABLE}"."{name}"'})
                .values("x")
            )
            assert found.columns == {}


@every
@pytest.mark.parametrize(
    "function",
    [
        *(Upper("code"), Lower("code"), Length("code"), Abs("number"), Coalesce("number", 0)),
        *(Count("code"), Sum("number"), Min("number"), Max("number"), Avg("number")),
    ],
    ids=lambda function: type(function).__name__,
)
def test_functions_that_are_known(shelf: str, function: Any) -> None:
    found = things(shelf).values("ratio").annotate(found=function).values("found")
    (columns,) = querycache.explain(found).columns.values()
    assert columns in {("code", "ratio"), ("number", "ratio"), ("code",), ("number",)}


@every
def test_view(shelf: str) -> None:
    make = f"CREATE VIEW qc_view AS SELECT id, number AS name FROM {TABLE} WHERE ratio < 5"
    with made(shelf, make, "DROP VIEW qc_view"):
        rows = rows_of(shelf, "qc_view", name=models.IntegerField())
        write = things(shelf).filter(pk=2).update
        assert not lives_on(lambda: list(rows.all()), lambda: write(ratio=9))

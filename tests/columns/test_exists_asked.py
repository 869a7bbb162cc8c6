"""What `exists()` asks, and what Django gets."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from django.db import connections
from django.db.models import Count, Value
from django.db.models.sql.constants import SINGLE
from django.test.utils import CaptureQueriesContext

import querycache
from querycache.rawsql.witnesses import witnessing
from tests.columns.books import books, filled, update
from tests.columns.existence import Query, Witnesses, elsewhere, every_query, of_few_columns
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.library.models import Book, Chapter


@every
def test_its_key_is_asked_for(library: str, witnesses: Witnesses) -> None:
    connection = connections[library]
    with CaptureQueriesContext(connection) as captured:
        update(library, witnesses.of(of_few_columns), pages=3)
        of_few_columns(library)
    text = captured[-1]["sql"]
    quote = connection.ops.quote_name
    name = f"{quote(Book._meta.db_table)}.{quote('id')} AS {quote('a')}"
    assert text.startswith(f"SELECT {name} FROM")
    assert text.endswith("LIMIT 1")


@every
def test_what_compilers_return(library: str) -> None:
    """It is what Django has asked for, whoever gives it."""
    query = books(library).filter(pages__gt=1, in_print=True).query.exists()
    for turn in range(4):
        elsewhere(library, turn)
        for _ in range(2):
            assert query.get_compiler(library).execute_sql(SINGLE) == (1,)
    update(library, 2, price=8)
    with querycache.disabled():
        assert query.get_compiler(library).execute_sql(SINGLE) == (1,)


@every
@pytest.mark.parametrize("value", [1, 2, True, "1"])
def test_other_questions(library: str, value: Any) -> None:
    """Their texts look alike, and they ask for something else."""
    found = books(library).filter(pages__gt=1, in_print=True).annotate(a=Value(value))

    def several() -> Any:
        return list(found.values_list("a", flat=True)[:1])

    def one() -> Any:
        row = found.values("a")[:1].query.get_compiler(library).execute_sql(SINGLE)
        return row, None if row is None else type(row[0])

    for turn in range(4):
        elsewhere(library, turn)
        assert several() == [value]
        assert querycache.explain(found.values_list("a", flat=True)[:1]).hit
        assert is_fresh(one)
    # What is asked for is no row's key.
    for pk in range(2, 8):
        update(library, pk, in_print=False)
    assert several() == []
    assert one() == (None, None)


@every
def test_other_ways_to_ask(library: str) -> None:
    found = books(library).filter(pages__gt=1, in_print=True)
    for turn in range(4):
        elsewhere(library, turn)
        assert not found[9:].exists()
        assert found.distinct().exists()
        assert found.distinct()[2:4].exists()
        assert found.values("author").exists()
        assert found.values("author").annotate(number=Count("pk")).exists()


@every
def test_rows_without_a_primary_key_of_one_column(library: str) -> None:
    chapters = Chapter.objects.using(library)
    for turn in range(3):
        chapters.create(book_id=turn + 1, number=1, title="one")
        assert chapters.filter(number=1).exists()
        assert chapters.filter(number=1, book__pages__gt=0).exists()
    chapters.filter(number=1).delete()
    assert not chapters.filter(number=1).exists()
    assert not chapters.filter(number=1, book__pages__gt=0).exists()


@every
@every_query
def test_compared_with_the_database(database: str, query: Query) -> None:
    """The database may find another row each time."""
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    filled(database)
    for turn in range(4):
        for pk in (1, 2, 3, 8):
            update(database, pk, price=turn, pages=turn + pk + 1)
            assert query(database)
            assert query(database)
    assert querycache.stats().stale == 0
    with CaptureQueriesContext(connections[database]) as captured:
        assert asked(lambda: query(database)) == (True, True)
    # What it is compared with is the answer to what Django wrote.
    (text,) = (one["sql"] for one in captured)
    assert text.startswith("SELECT 1 AS ")


@every
@every_query
def test_a_difference_is_found(database: str, query: Query) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    filled(database)
    for turn in range(3):
        elsewhere(database, turn)
        assert query(database)
    # Nobody is told of what the driver's own cursor does.
    with closing(connections[database].connection.cursor()) as cursor:
        cursor.execute(f"UPDATE {Book._meta.db_table} SET in_print = (1 = 0)")
    with pytest.raises(querycache.StaleHit):
        query(database)
    assert query(database) is False


TEXTS = {
    'SELECT %s AS "a" FROM "b" WHERE "b"."c" = %s LIMIT 1': (
        'SELECT "b"."id" AS "a" FROM "b" WHERE "b"."c" = %s LIMIT 1'
    ),
    "SELECT %s AS `a` FROM `b` LIMIT 1": "SELECT `b`.`id` AS `a` FROM `b` LIMIT 1",
    'SELECT %s AS "b" FROM "b" LIMIT 1': None,
    'SELECT %s AS "a`" FROM "b" LIMIT 1': None,
    'SELECT DISTINCT %s AS "a" FROM "b" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b""c" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b"."c" LIMIT 1': None,
    'SELECT %s AS "a" FROM "b%%" LIMIT 1': None,
    'SELECT %s AS "a" FROM b LIMIT 1': None,
    ' SELECT %s AS "a" FROM "b" LIMIT 1': None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert witnessing(text, "id") == TEXTS[text]


@pytest.mark.parametrize("key", ['i"d', "i`d", "i%d", ""])
def test_keys_with_odd_names(key: str) -> None:
    assert witnessing('SELECT %s AS "a" FROM "b" LIMIT 1', key) is None

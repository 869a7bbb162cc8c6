"""A new row is the business of those alone who ask for what it refers to, and of whole tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import BigIntegerField, Count, Max

import querycache
from querycache.changes import MOST_ROWS, REFERRED, reference_of, row_of
from querycache.state import transaction_of
from tests.catalogue.helpers import made, rows_of
from tests.catalogue.triggers import rewriting
from tests.environment import configure
from tests.explaining import cache_of
from tests.kinds import on, servers
from tests.library.models import Author, Book, Publisher, Review
from tests.references.helpers import TABLE, every, hit, of, stars
from tests.watching import execute

# -- new rows ------------------------------------------------------------------------------------


def _create(alias: str) -> None:
    Review.objects.using(alias).create(book_id=2, stars=9)


def _save_with_a_key(alias: str) -> None:
    Review(pk=50, book_id=2, stars=9).save(using=alias, force_insert=True)


def _get_or_create(alias: str) -> None:
    Review.objects.using(alias).get_or_create(book_id=2, stars=9)


def _create_in_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        _create(alias)


def _raw(alias: str) -> None:
    quote = connections[alias].ops.quote_name
    columns = ", ".join(map(quote, ("id", "book_id", "stars", "text")))
    execute(alias, f"INSERT INTO {TABLE} ({columns}) VALUES (%s, %s, %s, %s)", [50, 2, 9, ""])


NEW_ROW = (_create, _save_with_a_key, _get_or_create, _create_in_transaction, _raw)


@every
@pytest.mark.parametrize("write", NEW_ROW)
def test_new_row(reviews: str, write: Callable[[str], None]) -> None:
    assert stars(of(reviews, 1, 3)) == [1, 3]
    assert stars(of(reviews, 1, 2)) == [1, 2]
    write(reviews)
    assert hit(of(reviews, 1))
    assert hit(of(reviews, 1, 3))
    assert stars(of(reviews, 2)) == [2, 9]
    assert stars(of(reviews, 1, 2)) == [1, 2, 9]


@every
@pytest.mark.parametrize("write", NEW_ROW)
def test_new_row_is_one_of_its_table(reviews: str, write: Callable[[str], None]) -> None:
    everything = Review.objects.using(reviews).order_by("pk").values_list("stars", flat=True)
    best = Review.objects.using(reviews).filter(stars__gt=3).order_by("pk").values("stars")
    assert stars(everything) == [1, 2, 3]
    assert list(best.all()) == []
    assert Review.objects.using(reviews).filter(book=2).count() == 1
    assert Review.objects.using(reviews).aggregate(m=Max("stars")) == {"m": 3}
    joined = Book.objects.using(reviews).filter(pk=2).annotate(n=Count("reviews"))
    assert [book.n for book in joined.all()] == [1]
    before = querycache.last_write(Review, using=reviews)
    write(reviews)
    assert stars(everything) == [1, 2, 3, 9]
    assert list(best.all()) == [{"stars": 9}]
    assert Review.objects.using(reviews).filter(book=2).count() == 2
    assert Review.objects.using(reviews).aggregate(m=Max("stars")) == {"m": 9}
    assert [book.n for book in joined.all()] == [2]
    after = querycache.last_write(Review, using=reviews)
    assert before is not None
    assert after is not None
    assert after >= before


@every
def test_several_new_rows(reviews: str) -> None:
    assert stars(of(reviews, 4)) == []
    Review.objects.using(reviews).bulk_create(Review(book_id=book, stars=9) for book in (2, 3))
    assert [stars(of(reviews, book)) for book in (1, 2, 3)] == [[1], [2, 9], [3, 9]]
    if connections[reviews].vendor != "postgresql":
        # There Django sends them as arrays.
        assert hit(of(reviews, 4))


@every
def test_more_new_rows_than_are_told_apart(reviews: str) -> None:
    Review.objects.using(reviews).bulk_create(
        Review(book_id=2, stars=9) for _ in range(MOST_ROWS + 1)
    )
    assert not hit(of(reviews, 1))
    assert stars(of(reviews, 2)) == [2] + [9] * (MOST_ROWS + 1)


@every
def test_several_references(reviews: str) -> None:
    publisher = Publisher.objects.using(reviews).create(pk=1, name="publisher")
    books = Book.objects.using(reviews).order_by("pk").values_list("pk", flat=True)
    by_author = [books.filter(author=pk) for pk in (1, 2)]
    by_publisher = [books.filter(publisher=pk) for pk in (1, 2)]
    assert [stars(one) for one in (*by_author, *by_publisher)] == [[1, 2, 3], [], [], []]
    Book.objects.using(reviews).create(pk=4, title="4", author_id=2, publisher=publisher)
    assert hit(by_author[0])
    assert hit(by_publisher[1])
    assert [stars(one) for one in (*by_author, *by_publisher)] == [[1, 2, 3], [4], [4], []]
    # Without a publisher.
    Book.objects.using(reviews).create(pk=5, title="5", author_id=2)
    assert hit(by_author[0])
    assert hit(by_publisher[0])
    assert stars(by_author[1]) == [4, 5]
    assert stars(books.filter(publisher=None)) == [1, 2, 3, 5]
    Book.objects.using(reviews).create(pk=6, title="6", author_id=2)
    assert stars(books.filter(publisher=None)) == [1, 2, 3, 5, 6]


# -- writes that may be anybody's business -------------------------------------------------------


def _update(alias: str) -> None:
    Review.objects.using(alias).filter(pk=2).update(stars=9)


def _move(alias: str) -> None:
    Review.objects.using(alias).filter(pk=2).update(book=1)


def _delete(alias: str) -> None:
    Review.objects.using(alias).get(pk=2).delete()


def _by_a_literal(alias: str) -> None:
    execute(alias, f"INSERT INTO {TABLE} (book_id, stars, text) VALUES (1, 9, %s)", [""])


def _by_text(alias: str) -> None:
    execute(alias, f"INSERT INTO {TABLE} (book_id, stars, text) VALUES (%s, %s, %s)", ["1", 9, ""])


def _by_a_number(alias: str) -> None:
    values = [1.0, 9, ""]
    execute(alias, f"INSERT INTO {TABLE} (book_id, stars, text) VALUES (%s, %s, %s)", values)


def _by_an_expression(alias: str) -> None:
    values = [2, 9, ""]
    execute(alias, f"INSERT INTO {TABLE} (book_id, stars, text) VALUES (%s - 1, %s, %s)", values)


def _select(alias: str) -> None:
    execute(
        alias,
        f"INSERT INTO {TABLE} (book_id, stars, text)"
        f" SELECT book_id, 9, text FROM {TABLE} WHERE book_id = %s",
        [1],
    )


def _many(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        sql = f"INSERT INTO {TABLE} (book_id, stars, text) VALUES (%s, %s, %s)"
        cursor.executemany(sql, [(2, 9, ""), (1, 9, ""), (3, 9, "")])


def _upsert(alias: str) -> None:
    options: dict[str, Any] = {"update_conflicts": True, "update_fields": ["book"]}
    if connections[alias].vendor != "mysql":
        options["unique_fields"] = ["id"]
    Review.objects.using(alias).bulk_create([Review(pk=2, book_id=1, stars=9)], **options)


@every
@pytest.mark.parametrize(
    "write",
    [
        *(_update, _move, _delete, _by_a_literal, _by_text, _by_a_number, _by_an_expression),
        *(_select, _many, _upsert),
    ],
)
def test_other_writes(reviews: str, write: Callable[[str], None]) -> None:
    write(reviews)
    assert not hit(of(reviews, 1))
    with querycache.disabled():
        right = [stars(of(reviews, book)) for book in (1, 2, 3)]
    assert right != [[1], [2], [3]]
    assert [stars(of(reviews, book)) for book in (1, 2, 3)] == right


@servers
def test_trigger_that_gives_a_new_row_another_reference(reviews: str) -> None:
    with rewriting(reviews, TABLE, "INSERT", "book_id", 1):
        assert [stars(of(reviews, 1)) for _ in range(2)] == [[1], [1]]
        _create(reviews)
        assert stars(of(reviews, 1)) == [1, 9]


@on("mariadb")
def test_values_that_the_database_cuts(reviews: str) -> None:
    # Without strict mode, and with no constraint that looks at it.
    execute(reviews, "SET SESSION sql_mode = '', foreign_key_checks = 0")
    largest = 2**63 - 1
    assert stars(of(reviews, largest)) == []
    execute(
        reviews,
        f"INSERT INTO {TABLE} (`book_id`, `stars`, `text`) VALUES (%s, %s, %s)",
        [2**64, 9, ""],
    )
    assert stars(of(reviews, largest)) == [9]


@on("mariadb")
def test_nothing_that_the_database_makes_a_number(reviews: str) -> None:
    execute(reviews, "SET SESSION sql_mode = '', foreign_key_checks = 0")
    assert stars(of(reviews, 0)) == []
    execute(
        reviews,
        f"INSERT INTO {TABLE} (`book_id`, `stars`, `text`) VALUES (%s, %s, %s), (%s, %s, %s)",
        [2, 9, "", None, 8, ""],
    )
    assert stars(of(reviews, 0)) == [8]


@on("mariadb")
def test_numbers_that_the_database_gives(reviews: str) -> None:
    author = Author._meta.db_table
    make = (
        "CREATE TABLE qc_counted (id integer PRIMARY KEY, author_id bigint AUTO_INCREMENT UNIQUE,"
        f" FOREIGN KEY (author_id) REFERENCES {author} (id))"
    )
    with made(reviews, make, "DROP TABLE qc_counted"):
        counted = rows_of(reviews, "qc_counted", author=BigIntegerField(db_column="author_id"))
        first = counted.filter(author=1)
        assert [len(first.all()) for _ in range(2)] == [0, 0]
        execute(reviews, "INSERT INTO qc_counted (`id`, `author_id`) VALUES (%s, %s)", [1, 0])
        assert len(first.all()) == 1


# -- transactions --------------------------------------------------------------------------------


@every
def test_transaction_that_makes_many_rows(reviews: str) -> None:
    one = Review.objects.using(reviews).filter(pk=1).values_list("stars", flat=True)
    assert stars(one) == [1]
    with transaction.atomic(reviews):
        for number in range(MOST_ROWS + 2):
            pk = 50 + number
            book = Book.objects.using(reviews).create(pk=pk, title="new", author_id=1)
            Review.objects.using(reviews).create(pk=pk, book=book, stars=number)
        assert stars(of(reviews, 50 + MOST_ROWS)) == [MOST_ROWS]
    assert stars(of(reviews, 50 + MOST_ROWS)) == [MOST_ROWS]
    assert not hit(of(reviews, 1))
    # Rows that were there are the same.
    assert hit(one)


@every
def test_savepoint_that_is_rolled_back(reviews: str) -> None:
    with transaction.atomic(reviews):
        try:
            with transaction.atomic(reviews):
                Review.objects.using(reviews).create(book_id=1, stars=8)
                assert stars(of(reviews, 1)) == [1, 8]
                raise LookupError
        except LookupError:
            pass
        _create(reviews)
        assert stars(of(reviews, 1)) == [1]
        assert stars(of(reviews, 2)) == [2, 9]
    assert hit(of(reviews, 1))
    assert stars(of(reviews, 2)) == [2, 9]


# -- near cache, and what people see -------------------------------------------------------------


@every
def test_near_cache(reviews: str) -> None:
    configure(STORE="memory://", NEAR="checked", KEY_PREFIX="near")
    for _ in range(2):
        assert [stars(of(reviews, book)) for book in (1, 2)] == [[1], [2]]
    _create(reviews)
    near = querycache.stats().near
    assert stars(of(reviews, 1)) == [1]
    assert querycache.stats().near == near + 1
    assert stars(of(reviews, 2)) == [2, 9]


@every
def test_explain_names_what_is_written(reviews: str) -> None:
    cache = cache_of()
    database = transaction_of(connections[reviews]).database
    everything = Review.objects.using(reviews).order_by("pk")
    list(everything.all())
    for changed, queryset, said in (
        (reference_of(TABLE, "book_id", 2), of(reviews, 2), f"new rows of {TABLE} by book_id"),
        (f"{TABLE}{REFERRED}", everything, f"new rows of {TABLE}"),
        (row_of(TABLE, 2), of(reviews, 2), TABLE),
    ):
        keys = database.stamp_keys({changed})
        lease = cache.begin(keys)
        assert f"{said} is being written" in querycache.explain(queryset).reason
        cache.end(keys, lease)

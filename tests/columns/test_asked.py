"""What is no list, and what lists ask of the store."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db.models import Count, F

import querycache
from querycache.lists import LISTED, MOST_LISTED, NOTED
from tests.columns.books import (
    ITS_ROW,
    QUERIES,
    Query,
    books,
    by_title,
    counter,
    filled,
    page,
    update,
)
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.explaining import cache_of
from tests.library.models import Author, Book, Review
from tests.stages import keys_of, plant
from tests.test_path_costs import counting

# -- what is no list -----------------------------------------------------------------------------


def _is_listed(queryset: Any) -> bool:
    """Tell whether a result lives on while a row is written that is none of it."""
    for turn in range(3):
        list(queryset.all())
        Book.objects.using(queryset.db).filter(pk=8).update(price=turn)
    return asked(lambda: list(queryset.all()))[1]


@every
def test_any_of_the_rows_that_there_are(library: str) -> None:
    odd = books(library).filter(author=1, pk__gt=0)
    assert _is_listed(odd.filter(in_print=True)[:5])
    # There may be others.
    assert not _is_listed(odd.filter(in_print=True)[:4])
    assert not _is_listed(odd.filter(in_print=True)[1:5])
    assert not _is_listed(odd.order_by("price"))
    assert not _is_listed(odd.order_by("price")[:5])
    assert _is_listed(odd.order_by("title", "pk")[:4])
    assert _is_listed(odd.order_by("title", "pk")[1:3])


@every
def test_what_is_only_asked_for_to_order_by(library: str) -> None:
    """Django takes it out of each row."""
    found = books(library).filter(
        author=1, in_print=True, pages__gt=0, price__gte=0, published=None
    )
    titles = found.order_by("pk").distinct().values_list("title", flat=True)
    for _ in range(3):
        assert list(titles.all()) == ["book 1", "book 3", "book 5", "book 7"]
        counter(library)


@every
def test_rows_of_a_narrow_table_that_refer_to_others(library: str) -> None:
    """Their columns are few, and still it is worth knowing which rows these are."""
    for pk, book in ((1, 1), (2, 1), (3, 2)):
        Review.objects.using(library).create(pk=pk, book_id=book, stars=3)
    reviews = Review.objects.using(library)
    found = reviews.filter(book=1).order_by("-pk")
    for stars in range(3):
        assert [review.pk for review in found.all()] == [2, 1]
        reviews.filter(pk=3).update(stars=stars)
    assert asked(lambda: list(found.all()))[1]
    reviews.filter(pk=3).update(book=1)
    assert [review.pk for review in found.all()] == [3, 2, 1]


@every
def test_groups_and_aggregates(library: str) -> None:
    found = books(library).filter(author=1, pk__gt=0)
    assert not _is_listed(found.annotate(number=Count("reviews")).order_by("pk"))
    assert _is_listed(found.annotate(more=F("pages") + 1).order_by("pk"))


@every
def test_columns_that_decide_and_change_by_themselves(library: str) -> None:
    assert _is_listed(books(library).filter(pages__lt=7).order_by("pk"))
    found = books(library).filter(double__lt=14).order_by("pk")
    assert not _is_listed(found)
    update(library, 7, pages=0)
    assert [book.pk for book in found.all()] == [1, 2, 3, 4, 5, 6, 7]


@every
def test_many_rows(library: str) -> None:
    author = Author.objects.using(library).get(pk=1)
    many = books(library).filter(author=1, pk__gte=20).order_by("pk")
    for number in (MOST_LISTED, MOST_LISTED + 1):
        missing = number - many.count()
        start = 20 + many.count()
        books(library).bulk_create(
            Book(pk=pk, title=f"{pk}", author=author) for pk in range(start, start + missing)
        )
        assert _is_listed(many) is (number <= MOST_LISTED)


# -- processes, near caches, stores --------------------------------------------------------------


@every
@pytest.mark.parametrize("near", ["checked", "push"])
def test_near_cache(database: str, near: str) -> None:
    configure(STORE="memory://", NEAR=near)
    filled(database)
    for query in QUERIES:
        ask = partial(query, database)
        ask()
        near_hits = querycache.stats().near
        counter(database)
        assert asked(ask)[1]
        assert querycache.stats().near > near_hits
        update(database, ITS_ROW[query], price=66)
        assert not asked(ask)[1]
        assert is_fresh(ask)


@every
def test_who_has_not_asked_before(library: str) -> None:
    """What one process has found out the next reads in the entry."""
    cache_of().lists.empty()
    for query in QUERIES:
        assert asked(partial(query, library))[1]
        counter(library)
        assert asked(partial(query, library))[1]


# -- what is asked of the store ------------------------------------------------------------------


@every
def test_what_lists_ask_of_the_store(library: str) -> None:
    author = Author.objects.using(library).get(pk=1)

    def calls(query: Query) -> list[str]:
        with counting(cache_of(), library) as counted:
            query(library)
        # A stamp that nobody has asked for before is made.
        return [step for step in counted.store if step != "settle"]

    for query in QUERIES:
        assert calls(query) == ["read"]
    update(library, 7, title="new")
    assert [calls(page) for _ in range(2)] == [["read", "write"], ["read"]]
    # Rows that come may be of any list, so nothing more is asked for than what any result needs.
    books(library).create(pk=9, title="new", author=author, pages=99)
    assert [calls(page) for _ in range(2)] == [["read", "write"], ["read"]]
    books(library).create(pk=10, title="new", author=author, pages=100)
    assert [calls(page) for _ in range(2)] == [["read", "write"], ["read"]]
    # Nor where other rows were written as well.
    books(library).create(pk=11, title="new", author=author, pages=101)
    counter(library)
    assert [calls(page) for _ in range(2)] == [["read", "write"], ["read"]]
    # Only certain rows were written since then.
    counter(library)
    assert [calls(page) for _ in range(2)] == [["read", "stamps", "write"], ["read"]]
    cache_of().lists.empty()
    assert [calls(page) for _ in range(2)] == [["read", "stamps"], ["read"]]


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@every
def test_near_cache_that_is_told_of_changes(database: str, store_url: str) -> None:
    configure(STORE=store_url, NEAR="push", KEY_PREFIX=f"lists{database}")
    plant(cache_of().store, keys_of(database, Book, Author))
    filled(database)
    by_title(database)
    counter(database)
    # It is not told of the table's stamp, on which the list does not depend.
    with counting(cache_of(), database) as counted:
        by_title(database)
    assert counted.store == []


@every
def test_explained(library: str) -> None:
    query = books(library).filter(title="book 3")
    for _ in range(3):
        list(query.all())
        counter(library)
    assert querycache.explain(query).hit
    cache_of().lists.empty()
    assert querycache.explain(query).hit
    update(library, 3, price=4)
    found = querycache.explain(query)
    assert not found.hit
    assert "written" in found.reason


@every
def test_damaged_entries(library: str) -> None:
    query = books(library).filter(title="book 3")
    for _ in range(3):
        list(query.all())
        counter(library)
    key = querycache.explain(query).key
    assert key is not None
    store = cache_of().store
    entry = store.read(key.encode(), ())[0]
    assert entry is not None
    assert entry[16:17] == LISTED
    for damaged in (
        *(entry[:length] for length in (0, 10, 16, 17, 18, 19, 60)),
        *(entry[:16] + mark + entry[17:] for mark in (NOTED, b"R", b"S")),
        *(entry[:17] + bytes([number]) + entry[18:] for number in (0, 2, 255)),
        entry[:18] + b"\xff" + entry[19:],
        entry[:-1] + bytes([entry[-1] ^ 1]),
    ):
        for forget in (True, False):
            store.write(key.encode(), damaged, 60)
            if forget:
                cache_of().lists.empty()
            assert list(query.values_list("pk")) == [(3,)]
            assert [book.pk for book in query.all()] == [3]

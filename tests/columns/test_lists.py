"""A result that says which rows it is made of lives on while others are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Count, F

import querycache
from querycache.changes import MOST_ROWS, NEW
from querycache.keys import EVERYTHING
from querycache.lists import LISTED, MOST_LISTED, NOTED, Asked, Listing
from tests.columns.helpers import asked, every, is_fresh
from tests.environment import configure
from tests.explaining import cache_of
from tests.library.models import Author, Book, Review
from tests.stages import keys_of, plant
from tests.test_path_costs import counting
from tests.watching import execute

Query = Callable[[str], Any]


def _books(alias: str) -> Any:
    return Book.objects.using(alias)


def _page(alias: str) -> Any:
    """The two longest of the first author, with their authors."""
    found = _books(alias).filter(author=1).select_related("author").order_by("-pages", "pk")
    return [(book.pk, book.title, book.pages, book.author.name) for book in found[:2]]


def _by_title(alias: str) -> Any:
    book = _books(alias).filter(title="book 3").get()
    return book.pk, book.pages, book.price


def _all_of_one(alias: str) -> Any:
    return sorted((book.pk, book.title) for book in _books(alias).filter(publisher=None, author=1))


QUERIES = (_page, _by_title, _all_of_one)


@pytest.fixture
def library(database: str) -> str:
    """Books 1 to 8 of two authors; results are in the cache, and known to be made of their rows."""
    configure(STORE="memory://")
    return _filled(database)


def _filled(alias: str) -> str:
    authors = [Author.objects.using(alias).create(pk=pk, name=f"{pk}") for pk in (1, 2)]
    _books(alias).bulk_create(
        Book(pk=pk, title=f"book {pk}", author=authors[pk % 2 == 0], pages=pk) for pk in range(1, 9)
    )
    _learn(alias)
    return alias


def _learn(alias: str) -> None:
    for turn in range(2):
        for query in QUERIES:
            query(alias)
        # Of another author.
        _books(alias).filter(pk=8).update(price=turn)
    for query in QUERIES:
        query(alias)
        assert asked(partial(query, alias))[1]


def _update(alias: str, pk: int, **values: Any) -> None:
    _books(alias).filter(pk=pk).update(**values)


# Book 3 is in every result but the page, and 7 in every one but that of book 3.


def _counter(alias: str) -> None:
    _update(alias, 8, price=F("price") + 1)


def _counter_in_transaction(alias: str) -> None:
    with transaction.atomic(alias):
        _counter(alias)
        _update(alias, 6, in_print=False)


def _save_others(alias: str) -> None:
    book = _books(alias).get(pk=6)
    book.price, book.in_print = 7, False
    book.save(update_fields=["price", "in_print"])


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("write", [_counter, _counter_in_transaction, _save_others])
def test_other_rows(library: str, query: Query, write: Callable[[str], None]) -> None:
    for _ in range(3):
        write(library)
        assert asked(lambda: query(library))[1]
    assert is_fresh(lambda: query(library))


ITS_ROW: dict[Query, int] = {_page: 7, _by_title: 3, _all_of_one: 1}


@every
@pytest.mark.parametrize("query", QUERIES)
def test_its_rows(library: str, query: Query) -> None:
    row = ITS_ROW[query]
    for price in range(3):
        _update(library, row, price=price + 50)
        assert not asked(lambda: query(library))[1]
        assert is_fresh(lambda: query(library))
        # It is still known which rows these are.
        _counter(library)
        assert asked(lambda: query(library))[1]


def _delete(alias: str) -> None:
    _books(alias).get(pk=8).delete()


def _create(alias: str) -> None:
    author = Author.objects.using(alias).get(pk=1)
    _books(alias).create(pk=9, title="new", author=author, pages=99)


def _create_many(alias: str) -> None:
    """Rows that refer to more others than are told apart; one belongs to each result."""
    keys = (1, *range(30, 30 + MOST_ROWS))
    authors = Author.objects.using(alias)
    authors.bulk_create(Author(pk=pk, name=f"{pk}") for pk in keys[1:])
    with transaction.atomic(alias):
        for pk, author in enumerate(keys, 30):
            _books(alias).create(pk=pk, title="new", author_id=author, pages=100)


def _create_at_once(alias: str) -> None:
    author = Author.objects.using(alias).get(pk=1)
    _books(alias).bulk_create(
        Book(pk=pk, title="new", author=author, pages=100) for pk in range(30, 31 + MOST_ROWS)
    )


def _create_by_text(alias: str) -> None:
    """Which row a text refers to is the database's business."""
    columns = {
        "id": 40,
        "title": "new",
        "publisher_id": None,
        "author_id": "1",
        "pages": 100,
        "price": 1,
        "in_print": True,
        "isbn": "0" * 32,
        "extra": "{}",
    }
    quote = connections[alias].ops.quote_name
    names, marks = ", ".join(map(quote, columns)), ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {Book._meta.db_table} ({names}) VALUES ({marks})"
    execute(alias, sql, list(columns.values()))


def _save(alias: str) -> None:
    _books(alias).get(pk=8).save()


def _any_rows(alias: str) -> None:
    _books(alias).filter(title="book 8").update(price=9)


def _many_rows(alias: str) -> None:
    with transaction.atomic(alias):
        for pk in range(20, 21 + MOST_ROWS):
            _update(alias, pk, price=1)


def _invalidate(alias: str) -> None:
    querycache.invalidate(Book, using=alias)


@every
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    "write",
    [_delete, _create, _create_many, _create_at_once, _save, _any_rows, _many_rows, _invalidate],
)
def test_writes_that_may_bring_or_take_rows(
    library: str, query: Query, write: Callable[[str], None]
) -> None:
    write(library)
    assert not asked(lambda: query(library))[1]
    assert is_fresh(lambda: query(library))


#: What makes another row a part of the result, or takes one away.
MEMBERS: dict[Query, list[tuple[int, dict[str, Any]]]] = {
    _page: [(2, {"author": 1, "pages": 90}), (1, {"pages": 91}), (7, {"author": 2})],
    _by_title: [(3, {"title": "no"}), (6, {"title": "book 3"})],
    _all_of_one: [(2, {"author": 1}), (5, {"author": 2})],
}


@every
@pytest.mark.parametrize("query", QUERIES)
def test_rows_that_come_and_go(library: str, query: Query) -> None:
    def answer() -> Any:
        try:
            return query(library)
        except Book.DoesNotExist:
            return None

    for pk, values in MEMBERS[query]:
        _update(library, pk, **values)
        assert is_fresh(answer)
        _counter(library)
        assert is_fresh(answer)
        _update(library, pk, price=77)
        assert is_fresh(answer)
        _counter(library)
        assert is_fresh(answer)


@every
def test_joined_table(library: str) -> None:
    Author.objects.using(library).filter(pk=1).update(name="new")
    assert not asked(lambda: _page(library))[1]
    assert is_fresh(lambda: _page(library))


# -- without the mechanisms ----------------------------------------------------------------------


def _without_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listing, "buckets", lambda self, rows: b"\x08")


def _without_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.planning.column_of", lambda table, column: f"{table}\0\0x")


def _without_any_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.refining.ANY", "\0\0x")


def _without_new_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "querycache.planning.dependencies_on",
        lambda table, columns: (table, f"{table}{NEW}x")[: 1 + (table != EVERYTHING)],
    )


def _without_unknown_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.changes.ANY", NEW)
    monkeypatch.setattr("querycache.refining.ANY", NEW)


def _without_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("querycache.planning.ALL", "\0\0x")


def _without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is taken to be made of the rows that the last one was made of."""
    monkeypatch.setattr(Asked, "holds", lambda self, buckets: self.buckets is not None)


def _another_in_front(alias: str) -> None:
    _update(alias, 1, pages=91)


def _saved_in_front(alias: str) -> None:
    book = _books(alias).get(pk=1)
    book.pages = 91
    book.save()


def _two_steps(alias: str) -> None:
    _another_in_front(alias)
    _page(alias)
    _update(alias, 1, title="new")


WRITES: list[tuple[Callable[[pytest.MonkeyPatch], None], Query, Callable[[str], None]]] = [
    (_without_rows, _page, lambda alias: _update(alias, 7, title="new")),
    (_without_columns, _page, _another_in_front),
    (_without_any_columns, _page, _saved_in_front),
    (_without_new_rows, _page, _create),
    (_without_unknown_references, _all_of_one, _create_many),
    (_without_unknown_references, _all_of_one, _create_by_text),
    (_without_all_rows, _page, lambda a: _books(a).filter(title="book 7").update(title="x")),
    (_without_looking, _page, _two_steps),
]


@every
@pytest.mark.parametrize(("without", "query", "write"), WRITES)
@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_without_the_mechanism(
    database: str,
    without: Callable[[pytest.MonkeyPatch], None],
    query: Query,
    write: Callable[[str], None],
    mechanism: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not mechanism:
        without(monkeypatch)
    configure(STORE="memory://")
    _filled(database)
    write(database)
    assert is_fresh(lambda: query(database)) is mechanism


# -- what is no list -----------------------------------------------------------------------------


def _is_listed(queryset: Any) -> bool:
    """Tell whether a result lives on while a row is written that is none of it."""
    for turn in range(3):
        list(queryset.all())
        Book.objects.using(queryset.db).filter(pk=8).update(price=turn)
    return asked(lambda: list(queryset.all()))[1]


@every
def test_any_of_the_rows_that_there_are(library: str) -> None:
    odd = _books(library).filter(author=1, pk__gt=0)
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
    found = _books(library).filter(
        author=1, in_print=True, pages__gt=0, price__gte=0, published=None
    )
    titles = found.order_by("pk").distinct().values_list("title", flat=True)
    for _ in range(3):
        assert list(titles.all()) == ["book 1", "book 3", "book 5", "book 7"]
        _counter(library)


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
    found = _books(library).filter(author=1, pk__gt=0)
    assert not _is_listed(found.annotate(number=Count("reviews")).order_by("pk"))
    assert _is_listed(found.annotate(more=F("pages") + 1).order_by("pk"))


@every
def test_columns_that_decide_and_change_by_themselves(library: str) -> None:
    assert _is_listed(_books(library).filter(pages__lt=7).order_by("pk"))
    found = _books(library).filter(double__lt=14).order_by("pk")
    assert not _is_listed(found)
    _update(library, 7, pages=0)
    assert [book.pk for book in found.all()] == [1, 2, 3, 4, 5, 6, 7]


@every
def test_many_rows(library: str) -> None:
    author = Author.objects.using(library).get(pk=1)
    many = _books(library).filter(author=1, pk__gte=20).order_by("pk")
    for number in (MOST_LISTED, MOST_LISTED + 1):
        missing = number - many.count()
        start = 20 + many.count()
        _books(library).bulk_create(
            Book(pk=pk, title=f"{pk}", author=author) for pk in range(start, start + missing)
        )
        assert _is_listed(many) is (number <= MOST_LISTED)


# -- processes, near caches, stores --------------------------------------------------------------


@every
@pytest.mark.parametrize("near", ["checked", "push"])
def test_near_cache(database: str, near: str) -> None:
    configure(STORE="memory://", NEAR=near)
    _filled(database)
    for query in QUERIES:
        ask = partial(query, database)
        ask()
        near_hits = querycache.stats().near
        _counter(database)
        assert asked(ask)[1]
        assert querycache.stats().near > near_hits
        _update(database, ITS_ROW[query], price=66)
        assert not asked(ask)[1]
        assert is_fresh(ask)


@every
def test_who_has_not_asked_before(library: str) -> None:
    """What one process has found out the next reads in the entry."""
    cache_of().lists.empty()
    for query in QUERIES:
        assert asked(partial(query, library))[1]
        _counter(library)
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
    _update(library, 7, title="new")
    assert [calls(_page) for _ in range(2)] == [["read", "write"], ["read"]]
    # Rows that come may be of any list, so nothing more is asked for than what any result needs.
    _books(library).create(pk=9, title="new", author=author, pages=99)
    assert [calls(_page) for _ in range(2)] == [["read", "write"], ["read"]]
    _books(library).create(pk=10, title="new", author=author, pages=100)
    assert [calls(_page) for _ in range(2)] == [["read", "write"], ["read"]]
    # Only certain rows were written since then.
    _counter(library)
    assert [calls(_page) for _ in range(2)] == [["read", "stamps", "write"], ["read"]]
    cache_of().lists.empty()
    assert [calls(_page) for _ in range(2)] == [["read", "stamps"], ["read"]]


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@every
def test_near_cache_that_is_told_of_changes(database: str, store_url: str) -> None:
    configure(STORE=store_url, NEAR="push", KEY_PREFIX=f"lists{database}")
    plant(cache_of().store, keys_of(database, Book, Author))
    _filled(database)
    _by_title(database)
    _counter(database)
    # It is not told of the table's stamp, on which the list does not depend.
    with counting(cache_of(), database) as counted:
        _by_title(database)
    assert counted.store == []


@every
def test_explained(library: str) -> None:
    query = _books(library).filter(title="book 3")
    for _ in range(3):
        list(query.all())
        _counter(library)
    assert querycache.explain(query).hit
    cache_of().lists.empty()
    assert querycache.explain(query).hit
    _update(library, 3, price=4)
    found = querycache.explain(query)
    assert not found.hit
    assert "written" in found.reason


@every
def test_damaged_entries(library: str) -> None:
    query = _books(library).filter(title="book 3")
    for _ in range(3):
        list(query.all())
        _counter(library)
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

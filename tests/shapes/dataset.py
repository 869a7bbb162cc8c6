"""Rows in every table, and writes that touch one table each."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from tests.library import models

UTC = datetime.UTC


class Library:
    """The models' querysets on one database.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __getattr__(self, name: str) -> Any:
        return getattr(models, name)._default_manager.using(self.alias)


_CHILDREN_FIRST: tuple[Any, ...] = (
    models.Note,
    ContentType,
    models.Chapter,
    models.Review,
    models.Book.genres.through,
    models.Book,
    models.Genre,
    models.Publisher,
    models.Author,
    models.Shop,
    models.Place,
    models.Thing,
)

#: No sequence of a database comes so far.
_OWN = 1_000_000

Build = Callable[[Library], Any]
Write = Callable[[Library], object]


#: Vendor → the statements that fill the tables, with their parameters: Django makes them once.
_STATEMENTS: dict[str, list[tuple[str, Any]]] = {}


def populate(m: Library) -> None:
    """Fill the tables, first emptying those that have rows."""
    connection = connections[m.alias]
    ContentType.objects.clear_cache()
    known = _STATEMENTS.get(connection.vendor)
    # One transaction, since some servers take their time for each commit.
    with transaction.atomic(m.alias):
        if known is not None:
            with connection.cursor() as cursor:
                for sql, parameters in known:
                    cursor.execute(sql, parameters)
            return
        noted: list[tuple[str, Any]] = []

        def note(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
            assert not many
            noted.append((sql, parameters))
            return execute(sql, parameters, many, context)

        with connection.execute_wrapper(note):
            _empty(m)
            _fill(m)
    _STATEMENTS[connection.vendor] = noted


def _empty(m: Library) -> None:
    # InnoDB minds the order even within one statement.
    m.Author.filter(mentor__isnull=False).update(mentor=None)
    for model in _CHILDREN_FIRST:
        model._default_manager.using(m.alias).all()._raw_delete(m.alias)


def _fill(m: Library) -> None:
    """Create the rows; whatever another refers to has a key of ours, for this to be said again."""
    using = m.alias
    names = ("Ann Arbor", "Bob Burg", "Cyd Cork", "Dan Dorf", "eve")
    authors = [
        models.Author(pk=n, name=name, born=datetime.date(1950 + 7 * n, n, 2 * n))
        for n, name in enumerate(names, 1)
    ]
    authors[4].born = None
    for student, mentor in ((1, 0), (2, 0), (3, 1)):
        authors[student].mentor = authors[mentor]
    m.Author.bulk_create(authors)
    m.Publisher.bulk_create(
        [models.Publisher(pk=n, name=name) for n, name in enumerate(("Ace", "Orb", "Tor"), 1)]
    )
    m.Genre.bulk_create(
        [models.Genre(pk=n, name=name) for n, name in enumerate(("fact", "myth", "noir", "ode"), 1)]
    )
    m.Book.bulk_create(
        models.Book(
            pk=n,
            title=f"Book {chr(64 + n)}",
            author_id=1 + n % 4,
            publisher_id=None if n == 8 else 1 + n % 3,
            price=Decimal(n) + Decimal("0.25"),
            pages=n * 50,
            published=None if n == 7 else datetime.datetime(2000 + n, n, n, n, n, n, n, tzinfo=UTC),
            isbn=uuid.UUID(int=n),
            extra={"rank": n, "tags": ["x", n], "deep": {"odd": bool(n % 2)}, "none": None},
            in_print=n % 3 > 0,
        )
        for n in range(1, 9)
    )
    through = models.Book.genres.through
    through._default_manager.using(using).bulk_create(
        through(book_id=book, genre_id=1 + genre % 4)
        for book in range(1, 8)
        for genre in range(book, book + 2)
    )
    m.Review.bulk_create(
        models.Review(
            book_id=1 + n % 6,
            stars=1 + n % 5,
            text="good" if n % 2 else "bad",
            length=datetime.timedelta(minutes=n, microseconds=n),
            at=datetime.time(n, n, n, n),
        )
        for n in range(1, 15)
    )
    book, author = (
        ContentType(pk=_OWN + n, app_label="library", model=name)
        for n, name in enumerate(("book", "author"))
    )
    ContentType.objects.using(using).bulk_create([book, author])
    m.Note.bulk_create(
        models.Note(content_type=kind, object_id=1 + n % 4, text=f"note {n}")
        for n, kind in enumerate((book, book, author, book, author, book), 1)
    )
    places = ("Nowhere", "Kiosk", "Lounge", "Market")
    m.Place.bulk_create([models.Place(pk=_OWN + n, name=name) for n, name in enumerate(places)])
    for n in range(1, len(places)):
        shop = models.Shop(place_ptr_id=_OWN + n, stock=n * 10)
        shop.save_base(raw=True, using=using, force_insert=True)
    m.Chapter.bulk_create(
        models.Chapter(book_id=book, number=n, title=f"Chapter {book}.{n}")
        for book in range(1, 5)
        for n in range(1, 4)
    )
    m.Thing.bulk_create(
        models.Thing(
            code=f"T{n}", data=bytes(range(n)), number=n << 40, ratio=n / 3, address=f"10.0.0.{n}"
        )
        for n in range(1, 4)
    )


def _named(name: str, suffix: str = "~") -> Any:
    return Concat(F(name), Value(suffix))


def _rotate(m: Library, model: str, field: str, values: tuple[Any, ...]) -> None:
    """Point every row elsewhere, one statement a row, one table only."""
    rows = list(getattr(m, model).order_by("pk").values_list("pk", field))
    for pk, old in rows:
        new = values[(values.index(old) + 1) % len(values)] if old in values else values[0]
        getattr(m, model).filter(pk=pk).update(**{field: new})


def _genres(m: Library) -> Any:
    return models.Book.genres.through._default_manager.using(m.alias)


def _rotate_genres(m: Library) -> None:
    links = _genres(m)
    pairs = list(links.order_by("pk").values_list("book_id", "genre_id"))
    links.all().delete()
    links.bulk_create(
        models.Book.genres.through(book_id=book, genre_id=1 + (genre + 1) % 4)
        for book, genre in pairs
    )


def _swap_types(m: Library) -> None:
    kinds = ContentType.objects.using(m.alias)
    for old, new in (("author", "~"), ("book", "author"), ("~", "book")):
        kinds.filter(app_label="library", model=old).update(model=new)


#: Table → writes to it alone, one of which changes what any query says that depends on the table.
WRITES: dict[str, tuple[Write, ...]] = {
    "library_author": (
        lambda m: m.Author.update(name=_named("name"), born=datetime.date(1999, 9, 9)),
        lambda m: m.Author.create(pk=99, name="Zed", born=datetime.date(2001, 1, 1)),
        lambda m: m.Author.filter(mentor__isnull=False).update(mentor=None),
        lambda m: m.Author.update(mentor_id=3),
        lambda m: m.Author.update(name="same"),
        lambda m: m.Author.filter(pk=5).delete(),
    ),
    "library_publisher": (
        lambda m: m.Publisher.update(name=_named("name")),
        lambda m: m.Publisher.create(pk=99, name="Zap"),
        lambda m: m.Publisher.filter(pk=1).update(name="~"),
    ),
    "library_genre": (
        lambda m: m.Genre.update(name=_named("name")),
        lambda m: m.Genre.create(pk=99, name="zen"),
        lambda m: m.Genre.filter(pk=1).update(name="none"),
    ),
    "library_book": (
        lambda m: m.Book.update(
            pages=F("pages") + 1000, title=_named("title"), price=F("price") + 1
        ),
        lambda m: m.Book.update(
            pages=0, in_print=False, published=datetime.datetime(1999, 1, 1, tzinfo=UTC), extra={}
        ),
        lambda m: m.Book.update(in_print=True, pages=7),
        lambda m: m.Book.update(author_id=3),
        lambda m: m.Book.update(publisher_id=2),
        lambda m: m.Book.filter(pk=8).delete(),
        lambda m: m.Book.update(title="same"),
    ),
    "library_book_genres": (
        _rotate_genres,
        lambda m: _genres(m).filter(book_id__lt=4).delete(),
        lambda m: _genres(m).all().delete(),
    ),
    "library_review": (
        lambda m: m.Review.update(stars=F("stars") + 1, text=_named("text")),
        lambda m: m.Review.create(book_id=1, stars=5, text="new"),
        lambda m: _rotate(m, "Review", "book_id", (1, 2, 3, 4, 5, 6)),
        lambda m: m.Review.filter(book_id__lt=4).delete(),
        lambda m: m.Review.update(stars=1),
        lambda m: m.Review.all().delete(),
    ),
    "library_note": (
        lambda m: m.Note.update(text=_named("text")),
        lambda m: _rotate(m, "Note", "object_id", (1, 2, 3, 4)),
        lambda m: m.Note.all().delete(),
    ),
    "library_place": (
        lambda m: m.Place.update(name=_named("name")),
        lambda m: m.Place.create(name="Attic"),
    ),
    "library_shop": (
        lambda m: m.Shop.update(stock=F("stock") + 5),
        lambda m: m.Shop.update(stock=0),
    ),
    "library_chapter": (
        lambda m: m.Chapter.update(title=_named("title")),
        lambda m: m.Chapter.create(book_id=8, number=9, title="Chapter 8.9"),
        lambda m: m.Chapter.filter(number=1).delete(),
    ),
    "library_thing": (
        lambda m: m.Thing.update(number=F("number") + 1, ratio=0.5, data=b"\xff\x00"),
        lambda m: m.Thing.update(address="::1"),
        lambda m: m.Thing.all().delete(),
    ),
    "django_content_type": (_swap_types,),
}

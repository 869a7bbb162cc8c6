"""Writes that the machine makes; none needs rows to be there, and none leaves a dangling key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import connections
from django.db.models import F

from tests.library import models

Write = Callable[[str, int, int], Any]


def _(model: str, alias: str) -> Any:
    return getattr(models, model)._default_manager.using(alias)


def _book(alias: str, n: int) -> Any:
    author, _created = _("Author", alias).get_or_create(pk=n, defaults={"name": f"author {n}"})
    return _("Book", alias).get_or_create(pk=n, defaults={"title": f"book {n}", "author": author})[
        0
    ]


def _genre(alias: str, n: int) -> Any:
    return _("Genre", alias).get_or_create(pk=n, defaults={"name": f"genre {n}"})[0]


def _execute(alias: str, sql: str, params: Any = ()) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)


def save_author(alias: str, n: int, v: int) -> None:
    models.Author(pk=n, name=f"author {v}").save(using=alias)


def delete_author(alias: str, n: int, v: int) -> None:
    _("Author", alias).filter(pk=n).delete()


def give_mentor(alias: str, n: int, v: int) -> None:
    save_author(alias, n, v)
    _("Author", alias).exclude(pk=n).update(mentor=n)


def save_book(alias: str, n: int, v: int) -> None:
    book = _book(alias, n)
    book.title, book.pages = f"book {v}", v
    book.save(update_fields=["title", "pages"])


def delete_book(alias: str, n: int, v: int) -> None:
    _("Book", alias).filter(pk=n).delete()


def raise_prices(alias: str, n: int, v: int) -> None:
    _("Book", alias).filter(pk__gte=n).update(price=F("price") + 1)


def update_over_subquery(alias: str, n: int, v: int) -> None:
    reviewed = list(_("Review", alias).values_list("book", flat=True))
    _("Book", alias).filter(pk__in=reviewed).update(pages=v)


def bulk_update_books(alias: str, n: int, v: int) -> None:
    books = list(_("Book", alias).order_by("pk"))
    for book in books:
        book.pages = v
    _("Book", alias).bulk_update(books, ["pages"])


def publish(alias: str, n: int, v: int) -> None:
    publisher, _created = _("Publisher", alias).update_or_create(
        pk=n, defaults={"name": f"publisher {n} {v}"}
    )
    _("Book", alias).filter(pk=v).update(publisher=publisher)


def delete_publishers(alias: str, n: int, v: int) -> None:
    _("Publisher", alias).all().delete()


def add_review(alias: str, n: int, v: int) -> None:
    _("Review", alias).create(book=_book(alias, n), stars=v)


def bulk_create_reviews(alias: str, n: int, v: int) -> None:
    book = _book(alias, n)
    _("Review", alias).bulk_create([models.Review(book=book, stars=v) for _i in range(2)])


def delete_reviews(alias: str, n: int, v: int) -> None:
    found = _("Review", alias).filter(stars=v)
    found._raw_delete(alias)


def rename_genre(alias: str, n: int, v: int) -> None:
    _genre(alias, n)
    _("Genre", alias).filter(pk=n).update(name=f"genre {v}")


def make_genre(alias: str, n: int, v: int) -> None:
    _genre(alias, n)


def delete_genre(alias: str, n: int, v: int) -> None:
    _("Genre", alias).filter(pk=n).delete()


def add_genre(alias: str, n: int, v: int) -> None:
    _book(alias, n).genres.add(_genre(alias, v % 3 + 1))


def remove_genre(alias: str, n: int, v: int) -> None:
    _book(alias, n).genres.remove(_genre(alias, v % 3 + 1))


def set_genres(alias: str, n: int, v: int) -> None:
    _book(alias, n).genres.set([_genre(alias, v % 3 + 1), _genre(alias, 1)])


def clear_genres(alias: str, n: int, v: int) -> None:
    _book(alias, n).genres.clear()


def add_from_the_other_side(alias: str, n: int, v: int) -> None:
    _genre(alias, n).books.add(_book(alias, v % 3 + 1))


def save_shop(alias: str, n: int, v: int) -> None:
    models.Shop(pk=n, name=f"shop {v}", stock=v).save(using=alias)


def rename_shops(alias: str, n: int, v: int) -> None:
    # The name is the parent's column.
    _("Shop", alias).filter(stock__gte=n).update(name=f"shop {v}")


def rename_places(alias: str, n: int, v: int) -> None:
    _("Place", alias).filter(pk=n).update(name=f"place {v}")


def save_chapter(alias: str, n: int, v: int) -> None:
    _("Chapter", alias).update_or_create(
        book=_book(alias, n), number=1, defaults={"title": f"chapter {v}"}
    )


def add_note(alias: str, n: int, v: int) -> None:
    _book(alias, n).notes.create(text=f"note {v}")


def note_birth(alias: str, n: int, v: int) -> None:
    _("Author", alias).filter(pk=n).update(born=date(2000, 1, v + 1))


def rename_author(alias: str, n: int, v: int) -> None:
    _("Author", alias).filter(pk=n).update(name=f"author {v}")


def rate(alias: str, n: int, v: int) -> None:
    _("Review", alias).filter(pk=n).update(stars=v)


def rewrite_review(alias: str, n: int, v: int) -> None:
    _("Review", alias).filter(pk=n).update(text=f"text {v}")


def add_a_page(alias: str, n: int, v: int) -> None:
    _("Book", alias).filter(pk=n).update(pages=F("pages") + 1)


def rename_book(alias: str, n: int, v: int) -> None:
    _("Book", alias).filter(pk=n).update(title=f"book {v}")


def raw_update(alias: str, n: int, v: int) -> None:
    _execute(alias, "UPDATE library_review SET stars = %s WHERE book_id = %s", [v, n])


def raw_delete(alias: str, n: int, v: int) -> None:
    _execute(alias, "DELETE FROM library_book_genres WHERE book_id = %s", [n])


def raw_insert_select(alias: str, n: int, v: int) -> None:
    _execute(
        alias,
        "INSERT INTO library_review (book_id, stars, text) "
        "SELECT id, %s, 'raw' FROM library_book WHERE id = %s",
        [v, n],
    )


def raw_many(alias: str, n: int, v: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.executemany(
            "UPDATE library_author SET name = %s WHERE id = %s", [(f"author {v}", n), ("raw", 3)]
        )


WRITES: tuple[Write, ...] = (
    note_birth,
    rename_author,
    rate,
    rewrite_review,
    add_a_page,
    rename_book,
    save_author,
    delete_author,
    give_mentor,
    save_book,
    delete_book,
    raise_prices,
    update_over_subquery,
    bulk_update_books,
    publish,
    delete_publishers,
    add_review,
    bulk_create_reviews,
    delete_reviews,
    rename_genre,
    make_genre,
    delete_genre,
    add_genre,
    remove_genre,
    set_genres,
    clear_genres,
    add_from_the_other_side,
    save_shop,
    rename_shops,
    rename_places,
    save_chapter,
    add_note,
    raw_update,
    raw_delete,
    raw_insert_select,
    raw_many,
)

#: Writes that lock rows of one table and wait for no others', where a database locks rows.
APART: dict[Write, str] = {
    raw_update: "reviews",
    delete_reviews: "reviews",
    rename_genre: "genres",
    rename_places: "places",
}

"""Queries that the machine runs, each with what it gives as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, Subquery, Sum

from tests.library import models

Query = Callable[[str, int], Any]


def _(model: str, alias: str) -> Any:
    return getattr(models, model)._default_manager.using(alias)


def books_of_author(alias: str, n: int) -> Any:
    found = _("Book", alias).filter(author=n).order_by("pk")
    return [(book.pk, book.title, book.pages, book.double) for book in found]


def get_author(alias: str, n: int) -> Any:
    found = _("Author", alias).filter(pk=n).first()
    return found and (found.name, found.mentor_id)


def get_genre(alias: str, n: int) -> Any:
    return list(_("Genre", alias).filter(pk=n).values_list("name", flat=True))


def get_authors(alias: str, n: int) -> Any:
    return sorted((pk, found.name) for pk, found in _("Author", alias).in_bulk([n, 3]).items())


def get_place(alias: str, n: int) -> Any:
    return _("Place", alias).filter(pk=n, name__startswith="place").exists()


def with_author_and_publisher(alias: str, n: int) -> Any:
    found = _("Book", alias).select_related("author__mentor", "publisher").order_by("pk")
    return [
        (
            book.title,
            book.author.name,
            book.author.mentor and book.author.mentor.name,
            book.publisher and book.publisher.name,
        )
        for book in found
    ]


def with_genres(alias: str, n: int) -> Any:
    found = _("Book", alias).prefetch_related("genres", "reviews", "notes").order_by("pk")
    return [
        (
            book.pk,
            sorted(genre.name for genre in book.genres.all()),
            sorted(review.stars for review in book.reviews.all()),
            sorted(note.text for note in book.notes.all()),
        )
        for book in found
    ]


def books_of_genre(alias: str, n: int) -> Any:
    return list(_("Book", alias).filter(genres=n).order_by("pk").values_list("title", flat=True))


def genre_names_over_join(alias: str, n: int) -> Any:
    found = _("Genre", alias).filter(books__author=n).distinct().order_by("pk")
    return list(found.values_list("name", flat=True))


def count_reviews(alias: str, n: int) -> Any:
    return _("Review", alias).count()


def reviews_of_book(alias: str, n: int) -> Any:
    return list(_("Review", alias).filter(book=n).order_by("pk").values_list("pk", "stars"))


def reviews_of_books(alias: str, n: int) -> Any:
    found = _("Review", alias).filter(book__in=[n, 2]).order_by("pk")
    return list(found.values_list("pk", "stars"))


def count_over_join(alias: str, n: int) -> Any:
    return _("Review", alias).filter(book__author__name=f"author {n}").count()


def count_over_genres(alias: str, n: int) -> Any:
    return _("Review", alias).filter(stars__gte=n, book__genres__name__contains=f"{n}").count()


def review_exists(alias: str, n: int) -> Any:
    return _("Review", alias).filter(stars=n).exists()


def stars_of_books(alias: str, n: int) -> Any:
    found = _("Book", alias).annotate(stars=Sum("reviews__stars"), many=Count("genres"))
    return list(found.order_by("pk").values_list("pk", "stars", "many"))


def average_pages(alias: str, n: int) -> Any:
    return _("Book", alias).aggregate(Avg("pages"), Count("publisher", distinct=True))


def authors_with_reviews(alias: str, n: int) -> Any:
    reviewed = _("Review", alias).filter(book__author=OuterRef("pk"), stars__gte=n)
    return list(_("Author", alias).filter(Exists(reviewed)).order_by("pk").values_list("name"))


def authors_without_books(alias: str, n: int) -> Any:
    return list(_("Author", alias).filter(~Q(books__pages__gte=n)).order_by("pk").values_list("pk"))


def latest_review(alias: str, n: int) -> Any:
    stars = _("Review", alias).filter(book=OuterRef("pk")).order_by("-pk").values("stars")[:1]
    found = _("Book", alias).annotate(latest=Subquery(stars)).order_by("pk")
    return list(found.values_list("pk", "latest"))


def books_in_subquery(alias: str, n: int) -> Any:
    mentored = _("Author", alias).filter(mentor__isnull=False)
    return list(_("Book", alias).filter(author__in=mentored).order_by("pk").values_list("pk"))


def names_of_everything(alias: str, n: int) -> Any:
    authors = _("Author", alias).values_list("name", flat=True)
    genres = _("Genre", alias).values_list("name", flat=True)
    return sorted(authors.union(genres, all=True))


def shops(alias: str, n: int) -> Any:
    return [(shop.name, shop.stock) for shop in _("Shop", alias).order_by("pk")]


def places(alias: str, n: int) -> Any:
    return list(_("Place", alias).filter(shop__stock__gte=n).order_by("pk").values_list("name"))


def chapters(alias: str, n: int) -> Any:
    return [(found.pk, found.title) for found in _("Chapter", alias).order_by("book", "number")]


def cheaper_than_pages(alias: str, n: int) -> Any:
    return list(_("Book", alias).filter(price__lt=F("pages")).order_by("pk").values("pk", "price"))


def raw_fragment(alias: str, n: int) -> Any:
    sql = "SELECT COUNT(*) FROM library_review r WHERE r.book_id = library_book.id"
    return list(_("Book", alias).extra(select={"many": sql}).order_by("pk").values_list("many"))


def raw_cursor(alias: str, n: int) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT id, name FROM library_author ORDER BY id")
        return cursor.fetchall()


def count_of_stars(alias: str, n: int) -> Any:
    return _("Review", alias).filter(stars__gte=n).count()


def count_of_pages(alias: str, n: int) -> Any:
    found = _("Book", alias)
    return found.filter(pages__gte=n).count(), found.filter(double__gte=2 * n).count()


def count_of_reviews_by_pages(alias: str, n: int) -> Any:
    return _("Review", alias).filter(book__pages__gte=n).count()


def authors_by_birth(alias: str, n: int) -> Any:
    found = _("Author", alias).order_by("born", "pk")
    return list(found.values_list("pk", "born")[:n]), found.filter(born__isnull=False).exists()


def names_of_mentors(alias: str, n: int) -> Any:
    return list(_("Author", alias).order_by("pk").values_list("name", "mentor__name"))


QUERIES: tuple[Query, ...] = (
    count_of_stars,
    count_of_pages,
    count_of_reviews_by_pages,
    authors_by_birth,
    names_of_mentors,
    books_of_author,
    get_author,
    get_authors,
    get_genre,
    get_place,
    with_author_and_publisher,
    with_genres,
    books_of_genre,
    genre_names_over_join,
    count_reviews,
    reviews_of_book,
    reviews_of_books,
    count_over_join,
    count_over_genres,
    review_exists,
    stars_of_books,
    average_pages,
    authors_with_reviews,
    authors_without_books,
    latest_review,
    books_in_subquery,
    names_of_everything,
    shops,
    places,
    chapters,
    cheaper_than_pages,
    raw_fragment,
    raw_cursor,
)

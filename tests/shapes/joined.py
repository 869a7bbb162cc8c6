"""Relations: joins, prefetching, many to many both ways, generic ones."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db.models import Count, FilteredRelation, Prefetch, Q

from tests.library import models
from tests.shapes.dataset import Library
from tests.shapes.table import shapes


def _walk(m: Library) -> list[Any]:
    """Related managers, as templates use them."""
    author = m.Author.get(pk=2)
    book = author.books.order_by("pk").first()
    return [
        book,
        list(book.genres.order_by("name")),
        list(book.reviews.filter(stars__gt=1).order_by("pk")),
        book.genres.count(),
        list(m.Genre.get(pk=2).books.order_by("pk").values_list("title", flat=True)),
        list(author.students.order_by("pk")),
    ]


def _generic_manager(m: Library) -> list[Any]:
    book = m.Book.get(pk=2)
    return [book, list(book.notes.order_by("pk")), book.notes.count()]


def _generic_targets(m: Library) -> list[Any]:
    return [note.target for note in m.Note.order_by("pk")]


def _generic_prefetch(m: Library) -> Any:
    targets = GenericPrefetch("target", [m.Book.only("title"), m.Author.all()])
    return m.Note.order_by("pk").prefetch_related(targets)


def _prefetch_to_attr(m: Library) -> list[Any]:
    good = Prefetch("reviews", m.Review.filter(stars__gte=3).order_by("-stars", "pk"), "good")
    return [(b, b.good) for b in m.Book.order_by("pk").prefetch_related(good)]


def _prefetch_sliced(m: Library) -> list[Any]:
    best = Prefetch("reviews", m.Review.order_by("-stars", "pk")[:1], "best")
    return [(b, b.best) for b in m.Book.order_by("pk").prefetch_related(best)]


def _prefetch_nested(m: Library) -> Any:
    books = Prefetch("books", m.Book.select_related("publisher").order_by("-pk"))
    return m.Author.order_by("pk").prefetch_related(books, "books__genres", "books__reviews")


JOINED = shapes(
    select_related=lambda m: m.Book.select_related("author", "publisher").order_by("pk"),
    select_related_deep=lambda m: m.Review.select_related("book__author__mentor").order_by("pk"),
    select_related_self=lambda m: m.Author.select_related("mentor__mentor").order_by("pk"),
    filter_over_two_joins=lambda m: m.Review.filter(book__author__name="Bob Burg").order_by("pk"),
    order_over_joins=lambda m: m.Book.order_by("publisher__name", "author__name", "pk"),
    reverse_foreign_key=lambda m: (
        m.Author.filter(books__reviews__stars=5).distinct().order_by("pk")
    ),
    many_to_many=lambda m: m.Book.filter(genres__name="noir").order_by("pk"),
    many_to_many_by_key=lambda m: m.Book.filter(genres=2).order_by("pk"),
    many_to_many_back=lambda m: m.Genre.filter(books__title="Book C").order_by("pk"),
    many_to_many_twice=lambda m: m.Book.filter(genres=2).filter(genres=3).order_by("pk"),
    many_to_many_exclude=lambda m: m.Book.exclude(genres__name="myth").order_by("pk"),
    many_to_many_values=lambda m: m.Book.order_by("pk", "genres__name").values_list(
        "title", "genres__name"
    ),
    many_to_many_count=lambda m: m.Genre.annotate(n=Count("books")).order_by("pk"),
    related_managers=_walk,
    prefetch=lambda m: m.Book.order_by("pk").prefetch_related("genres", "reviews", "author"),
    prefetch_back=lambda m: m.Genre.order_by("pk").prefetch_related("books"),
    prefetch_to_attr=_prefetch_to_attr,
    prefetch_nested=_prefetch_nested,
    prefetch_composite=lambda m: m.Book.order_by("pk").prefetch_related("chapters"),
    prefetch_sliced=_prefetch_sliced,
    generic_relation=lambda m: m.Book.filter(notes__text="note 2").order_by("pk"),
    generic_aggregate=lambda m: m.Book.annotate(n=Count("notes")).order_by("pk"),
    generic_manager=_generic_manager,
    generic_targets=_generic_targets,
    generic_prefetch=_generic_prefetch,
    generic_prefetch_relation=lambda m: m.Book.order_by("pk").prefetch_related("notes"),
    generic_by_type=lambda m: m.Note.filter(
        content_type=ContentType.objects.db_manager(m.alias).get_for_model(models.Author)
    ).order_by("pk"),
    filtered_relation=lambda m: (
        m.Author.annotate(thick=FilteredRelation("books", condition=Q(books__pages__gt=150)))
        .filter(thick__isnull=False)
        .order_by("pk", "thick__pk")
        .values_list("name", "thick__title")
    ),
    filtered_relation_deep=lambda m: (
        m.Author.annotate(
            loved=FilteredRelation("books__reviews", condition=Q(books__reviews__stars__gt=3))
        )
        .annotate(n=Count("loved"))
        .order_by("pk")
    ),
)

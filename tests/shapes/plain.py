"""Lookups, columns, slices, single rows and numbers."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, F, Max, Min, Q, Sum

from tests.shapes.dataset import Library
from tests.shapes.table import shapes


def _deferred(m: Library) -> list[Any]:
    """Load what `only` left out, one query a field and row."""
    return [(b.title, b.pages, b.price) for b in m.Book.only("title").order_by("pk")[:2]]


def _deferred_relation(m: Library) -> list[Any]:
    books = m.Book.only("author__name").select_related("author").order_by("pk")
    return [(b.title, b.author.name, b.author.born) for b in books[:2]]


def _loop(m: Library) -> list[Any]:
    """The N+1 that a cache makes bearable."""
    return [(b.author.name, b.publisher and b.publisher.name) for b in m.Book.order_by("pk")]


PLAIN = shapes(
    get=lambda m: m.Book.get(pk=3),
    get_by_unique=lambda m: m.Publisher.get(name__startswith="Orb"),
    all_unordered=lambda m: m.Thing.all(),
    filter=lambda m: m.Book.filter(pages__gt=100).order_by("pk"),
    exclude=lambda m: m.Book.exclude(in_print=True).order_by("pk"),
    exclude_multi=lambda m: m.Author.exclude(books__pages__gt=300).order_by("pk"),
    nested_q=lambda m: m.Book.filter(
        ~(Q(pages__lt=100) | (Q(in_print=True) & ~Q(price=4))) ^ Q(title="Book B")
    ).order_by("pk"),
    f_expression=lambda m: m.Book.filter(pages__gt=F("price") * 49, pk__gt=F("author_id")).order_by(
        F("price").desc()
    ),
    count=lambda m: m.Book.count(),
    count_filtered=lambda m: m.Book.filter(author__name__contains="o").count(),
    exists=lambda m: m.Book.filter(pages__gt=100).exists(),
    exists_join=lambda m: m.Book.filter(author__name="Bob Burg", in_print=True).exists(),
    contains_object=lambda m: m.Author.filter(name__contains="Bob").contains(m.Author.model(pk=2)),
    in_big_list=lambda m: m.Book.filter(pk__in=list(range(1, 700))).order_by("-pk"),
    in_empty_and_other=lambda m: m.Book.filter(Q(pk__in=[]) | Q(pages=150)).order_by("pk"),
    in_types=lambda m: m.Book.filter(
        Q(isbn__in=[uuid.UUID(int=2), uuid.UUID(int=5)]) | Q(price__in=[Decimal("3.25")])
    ).order_by("pk"),
    range_dates=lambda m: m.Book.filter(
        published__range=(
            datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC),
            datetime.datetime(2004, 12, 1, tzinfo=datetime.UTC),
        )
    ).order_by("pk"),
    contains=lambda m: m.Author.filter(name__icontains="o").order_by("pk"),
    regex=lambda m: m.Author.filter(name__regex=r"^[A-C].*[gk]$").order_by("pk"),
    iregex=lambda m: m.Author.filter(name__iregex=r"^EVE$").order_by("pk"),
    isnull=lambda m: m.Book.filter(publisher=None).order_by("pk"),
    json_key=lambda m: m.Book.filter(extra__rank__gt=3).order_by("pk"),
    json_deep=lambda m: m.Book.filter(extra__deep__odd=True).order_by("pk"),
    json_exact=lambda m: m.Book.filter(extra__tags=["x", 2]).order_by("pk"),
    json_has=lambda m: m.Book.filter(extra__has_keys=["rank", "deep"]).order_by("pk"),
    json_values=lambda m: m.Book.order_by("pk").values_list(
        "extra__deep__odd", "extra", "extra__none"
    ),
    values=lambda m: m.Book.order_by("pk").values("title", "author__name"),
    values_list=lambda m: m.Book.order_by("pk").values_list("isbn", "price", "published"),
    values_flat=lambda m: m.Book.order_by("-pages").values_list("title", flat=True),
    values_named=lambda m: m.Author.order_by("pk").values_list("pk", "born", named=True),
    values_distinct=lambda m: m.Book.values("in_print").distinct().order_by("in_print"),
    durations_and_times=lambda m: m.Review.order_by("pk").values_list("length", "at", "stars"),
    binary_and_wide=lambda m: m.Thing.order_by("pk"),
    slice=lambda m: m.Book.order_by("pk")[2:5],
    slice_step=lambda m: m.Book.order_by("pk")[1:7:2],
    slice_one=lambda m: m.Book.order_by("-pk")[0],
    first=lambda m: m.Author.first(),
    last=lambda m: m.Author.order_by("name").last(),
    first_none=lambda m: m.Author.filter(name="Zed").first(),
    earliest=lambda m: m.Book.filter(published__isnull=False).earliest("published"),
    latest=lambda m: m.Author.filter(born__isnull=False).latest("born"),
    in_bulk=lambda m: m.Author.in_bulk([1, 3, 5]),
    in_bulk_field=lambda m: m.Publisher.in_bulk(["Ace", "Tor"], field_name="name"),
    reverse=lambda m: m.Book.order_by("title").reverse(),
    meta_ordering=lambda m: m.Publisher.all(),
    default_order_by_relation=lambda m: m.Book.order_by("publisher", "pk"),
    distinct=lambda m: m.Book.order_by("author").values_list("author__name", flat=True).distinct(),
    only=lambda m: m.Book.only("title").order_by("pk"),
    defer=lambda m: m.Book.defer("extra", "pages").order_by("pk"),
    deferred_loads=_deferred,
    deferred_relation_loads=_deferred_relation,
    lazy_relations=_loop,
    generated_field=lambda m: m.Book.filter(double__gt=200).order_by("-double"),
    dates=lambda m: list(m.Author.dates("born", "year")),
    datetimes=lambda m: list(m.Book.datetimes("published", "month", order="DESC")),
    aggregate=lambda m: m.Book.aggregate(
        Sum("pages"), Avg("price"), Max("published"), Min("title")
    ),
    aggregate_join=lambda m: m.Author.filter(pk__lt=3).aggregate(
        n=Count("books__reviews", distinct=True), names=Max("name")
    ),
    aggregate_sliced=lambda m: m.Book.order_by("-pages")[:3].aggregate(Sum("pages")),
    aggregate_annotated=lambda m: m.Author.annotate(n=Count("books")).aggregate(Max("n"), Avg("n")),
    aggregate_distinct=lambda m: m.Book.values("author").distinct().aggregate(n=Count("author")),
    count_sliced=lambda m: m.Book.filter(pages__gt=60)[:4].count(),
    count_annotated=lambda m: m.Author.annotate(n=Count("books__reviews")).filter(n__lt=4).count(),
    count_distinct=lambda m: m.Review.values("stars").distinct().count(),
    inheritance=lambda m: m.Shop.order_by("pk"),
    inheritance_filter=lambda m: m.Shop.filter(name__gt="L", stock__gt=5).order_by("pk"),
    inheritance_parent_to_child=lambda m: m.Place.filter(shop__stock__gt=0).order_by("pk"),
    inheritance_child_of=lambda m: [
        getattr(p, "shop", None) for p in m.Place.select_related("shop").order_by("pk")
    ],
    composite_get=lambda m: m.Chapter.get(pk=(1, 2)),
    composite_in=lambda m: m.Chapter.filter(pk__in=[(1, 1), (2, 3), (9, 9)]).order_by("pk"),
    composite_values=lambda m: m.Chapter.order_by("pk").values_list("pk", "title"),
    composite_join=lambda m: m.Book.filter(chapters__title__endswith=".1").order_by("pk"),
) + shapes(
    frozenset(("postgresql",)),
    distinct_on=lambda m: m.Book.order_by("author_id", "-pages").distinct("author_id"),
    json_contains=lambda m: m.Book.filter(extra__contains={"rank": 2}).order_by("pk"),
)

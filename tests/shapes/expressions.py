"""Subqueries in every place, expressions, windows, set operations and raw fragments."""

from __future__ import annotations

from typing import Any

from django.db.models import (
    Avg,
    Case,
    CharField,
    Count,
    DateField,
    DecimalField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    Greatest,
    Lag,
    Length,
    Lower,
    RowNumber,
    Substr,
    TruncMonth,
    Upper,
)

from tests.shapes.dataset import Library
from tests.shapes.table import shapes

SQLITE = frozenset(("sqlite",))


def _reviews(m: Library) -> Any:
    return m.Review.filter(book=OuterRef("pk")).order_by("-stars", "pk")


def _three_deep(m: Library) -> Any:
    """Each level is only reached through the one above."""
    genres = m.Genre.filter(name__in=["noir", "ode"])
    books = m.Book.filter(genres__in=genres.values("pk"))
    reviews = m.Review.filter(book__in=books.values("pk"), stars__gt=1)
    return m.Author.filter(books__in=reviews.values("book")).distinct().order_by("pk")


def _exists_nested(m: Library) -> Any:
    publishers = m.Publisher.filter(pk=OuterRef("book__publisher_id"), name__gt="B")
    reviews = m.Review.filter(Exists(publishers), book__author=OuterRef("pk"))
    return m.Author.filter(Exists(reviews)).order_by("pk")


SUBQUERIES = shapes(
    subquery_in_filter=lambda m: m.Book.filter(
        author__in=m.Author.filter(name__lt="C").values("pk")
    ).order_by("pk"),
    subquery_in_exclude=lambda m: m.Book.exclude(
        pk__in=m.Review.filter(stars=5).values("book")
    ).order_by("pk"),
    subquery_annotated=lambda m: m.Book.annotate(
        top=Subquery(_reviews(m).values("stars")[:1])
    ).order_by("pk"),
    subquery_compared=lambda m: m.Book.filter(
        pk=Subquery(_reviews(m).filter(stars__gt=4).values("book")[:1])
    ).order_by("pk"),
    subquery_in_select=lambda m: m.Book.order_by("pk").values_list(
        "title", Subquery(m.Publisher.filter(pk=OuterRef("publisher_id")).values("name"))
    ),
    subquery_in_order_by=lambda m: m.Author.order_by(
        Subquery(
            m.Book.filter(author=OuterRef("pk")).order_by("-pages").values("title")[:1]
        ).desc(),
        "pk",
    ).values_list("pk", flat=True),
    subquery_in_aggregate_filter=lambda m: m.Author.annotate(
        n=Count("books", filter=Q(books__in=m.Review.filter(stars__gt=3).values("book")))
    ).order_by("pk"),
    subquery_in_aggregate=lambda m: m.Book.annotate(
        top=Subquery(_reviews(m).values("stars")[:1])
    ).aggregate(Sum("top"), Count("pk")),
    subquery_in_case=lambda m: (
        m.Author.annotate(
            kind=Case(
                When(
                    Exists(m.Book.filter(author=OuterRef("pk"), pages__gt=250)), then=Value("long")
                ),
                default=Value("short"),
            )
        )
        .order_by("pk")
        .values_list("kind", "name")
    ),
    subquery_in_in_of_values=lambda m: m.Publisher.filter(
        books__author__mentor__in=m.Author.filter(name__startswith="Ann")
    ).distinct(),
    subquery_grouped=lambda m: m.Author.annotate(
        n=Subquery(
            m.Review.filter(book__author=OuterRef("pk"))
            .values("book__author")
            .annotate(n=Count("pk"))
            .values("n")
        )
    ).order_by("pk"),
    subquery_in_having=lambda m: (
        m.Author.annotate(n=Count("books"))
        .filter(n__gt=Subquery(m.Review.filter(stars=1).order_by("stars").values("stars")[:1]))
        .order_by("pk")
    ),
    three_deep=_three_deep,
    exists=lambda m: m.Author.filter(
        Exists(m.Book.filter(author=OuterRef("pk"), pages__gt=200))
    ).order_by("pk"),
    exists_not=lambda m: m.Book.filter(~Exists(_reviews(m))).order_by("pk"),
    exists_annotated=lambda m: m.Book.annotate(
        noted=Exists(m.Chapter.filter(book=OuterRef("pk"), number__gt=2))
    ).order_by("pk"),
    exists_nested=_exists_nested,
)

EXPRESSIONS = shapes(
    annotate_group=lambda m: (
        m.Book.values("author__name")
        .annotate(n=Count("pk"), total=Sum("pages"), mean=Avg("price"))
        .order_by("author__name")
    ),
    annotate_having=lambda m: m.Author.annotate(n=Count("books")).filter(n__gt=1).order_by("pk"),
    annotate_alias=lambda m: m.Author.alias(n=Count("books")).filter(n=2).order_by("pk"),
    annotate_text=lambda m: m.Author.annotate(
        label=Concat(
            Upper(Substr("name", 1, 1)),
            Value("-"),
            Lower("name"),
            Value(" "),
            Length("name"),
            output_field=CharField(),
        )
    ).order_by("label"),
    annotate_arithmetic=lambda m: m.Book.annotate(
        cost=ExpressionWrapper(
            F("price") * F("pages") / 3, DecimalField(max_digits=12, decimal_places=2)
        )
    ).order_by("pk"),
    annotate_coalesce=lambda m: m.Book.annotate(
        by=Coalesce("publisher__name", Value("nobody")), most=Greatest("pages", Value(120))
    ).order_by("pk"),
    annotate_cast=lambda m: m.Book.annotate(text=Cast("pages", CharField(max_length=20))).order_by(
        "pk"
    ),
    annotate_value=lambda m: m.Author.annotate(one=Value(1), yes=Value(True)).order_by("pk"),
    case_when=lambda m: m.Book.annotate(
        size=Case(
            When(pages__gt=300, then=Value("thick")),
            When(author__name="Bob Burg", then=Value("Bob's")),
            default=Value("thin"),
        )
    ).order_by("size", "pk"),
    case_when_in_aggregate=lambda m: m.Book.aggregate(
        n=Sum(Case(When(in_print=True, then=1), default=0, output_field=IntegerField()))
    ),
    window=lambda m: m.Book.annotate(
        nth=Window(RowNumber(), partition_by=F("author"), order_by=F("pages").desc()),
        before=Window(Lag("pages"), order_by=F("pk").asc()),
    ).order_by("pk"),
    window_filtered=lambda m: (
        m.Review.annotate(
            nth=Window(
                RowNumber(), partition_by=F("book"), order_by=(F("stars").desc(), F("pk").asc())
            )
        )
        .filter(nth=1)
        .order_by("pk")
    ),
    window_over_join=lambda m: m.Book.annotate(
        total=Window(Sum("pages"), partition_by=F("publisher__name")), by=F("publisher__name")
    ).order_by("pk"),
    trunc=lambda m: (
        m.Book.filter(published__isnull=False)
        .annotate(month=TruncMonth("published"))
        .order_by("pk")
        .values_list("month")
    ),
    trunc_grouped=lambda m: (
        m.Author.annotate(month=TruncMonth("born", output_field=DateField()))
        .values("month")
        .annotate(n=Count("pk"))
        .order_by("month")
    ),
    extract=lambda m: (
        m.Book.annotate(year=ExtractYear("published")).filter(published__month__lt=6).order_by("pk")
    ),
    lookup_year=lambda m: m.Author.filter(born__year__gt=1960, born__week_day__gte=1).order_by(
        "pk"
    ),
    lookup_date=lambda m: m.Book.filter(published__date__gt="2003-01-01").order_by("pk"),
    lookup_time=lambda m: m.Review.filter(at__hour__gt=6).order_by("pk"),
    order_by_expression=lambda m: m.Author.order_by(F("born").desc(nulls_last=True), Lower("name")),
    union=lambda m: (
        m.Author.values_list("name")
        .union(m.Publisher.order_by().values_list("name"))
        .order_by("name")
    ),
    union_all_sliced=lambda m: (
        m.Author.values_list("pk", "name")
        .union(m.Genre.values_list("pk", "name"), all=True)
        .order_by("name", "pk")[1:6]
    ),
    union_of_models=lambda m: (
        m.Book.filter(pages__lt=120).union(m.Book.filter(pages__gt=320)).order_by("pk")
    ),
    union_count=lambda m: (
        m.Author.values("name").union(m.Publisher.order_by().values("name")).count()
    ),
    union_exists=lambda m: m.Author.filter(name="Zed").union(m.Author.filter(name="eve")).exists(),
    union_of_subqueries=lambda m: m.Author.filter(
        pk__in=m.Book.filter(pages=150)
        .values("author")
        .union(m.Author.filter(name="eve").values("pk"))
    ).order_by("pk"),
    intersection=lambda m: (
        m.Book.filter(pages__gt=100)
        .intersection(m.Book.filter(reviews__stars__lt=4))
        .order_by("-pk")
    ),
    difference=lambda m: m.Book.all().difference(m.Book.filter(genres=2)).order_by("pk"),
)

FRAGMENTS = shapes(
    extra_select=lambda m: m.Author.extra(
        select={"n": "SELECT COUNT(*) FROM library_book WHERE author_id = library_author.id"}
    ).order_by("pk"),
    extra_select_params=lambda m: m.Book.extra(
        select={"thick": "pages > %s"}, select_params=(120,)
    ).order_by("pk"),
    extra_where=lambda m: m.Book.extra(
        where=["library_book.id IN (SELECT book_id FROM library_review WHERE stars > %s)"],
        params=[4],
    ).order_by("pk"),
    extra_tables=lambda m: m.Book.extra(
        select={"genre": "library_genre.name"},
        tables=["library_genre"],
        where=["library_genre.id = library_book.id"],
    ).order_by("pk"),
    extra_order_by=lambda m: m.Book.extra(order_by=["-pages"]),
    raw_annotation=lambda m: m.Book.annotate(
        top=RawSQL(
            "(SELECT MAX(r.stars) FROM library_review r"
            " WHERE r.book_id = library_book.id AND r.stars < %s)",
            (5,),
        )
    ).order_by("pk"),
    raw_filter=lambda m: m.Author.filter(
        pk__in=RawSQL("SELECT author_id FROM library_book AS b WHERE b.pages > %s", (250,))
    ).order_by("pk"),
    raw_order_by=lambda m: m.Book.order_by(RawSQL("title", ()).desc()),
    raw_cte=lambda m: m.Author.filter(
        pk__in=RawSQL(
            "WITH thick AS (SELECT author_id FROM library_book WHERE pages > %s)"
            " SELECT author_id FROM thick",
            (250,),
        )
    ).order_by("pk"),
) + shapes(
    SQLITE,
    raw_quoted=lambda m: m.Author.filter(
        pk__in=RawSQL('SELECT "author_id" FROM [library_book] WHERE "pages" > %s', (250,))
    ).order_by("pk"),
)

"""What a site about cities asks its database for one page, as Django code would ask it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import (
    Avg,
    Count,
    Exists,
    F,
    FloatField,
    Max,
    Min,
    Model,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Window,
)
from django.db.models.functions import Cast, Rank

from querycache.demo.models import City, Continent, Country

PARIS: Final = 2988507


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that the page wants to know.

    Args:
        name: for people.
        ask: asks the database (by way of the cache) and returns the answer, evaluated.
    """

    name: str
    ask: Callable[[], Any]


def _cities_of_a_country() -> list[City]:
    found = City.objects.filter(country="FR").select_related("country__continent")
    return list(found.order_by("-population", "id")[:50])


def _largest_city_of_each_country() -> list[Any]:
    largest = City.objects.filter(country=OuterRef("pk")).order_by("-population", "id")
    return list(Country.objects.annotate(largest=Subquery(largest.values("name")[:1])))


def _countries_with_a_megacity() -> list[Country]:
    mega = City.objects.filter(country=OuterRef("pk"), population__gte=10_000_000)
    return list(Country.objects.filter(Exists(mega)))


def _million_cities_of_european_countries() -> list[Country]:
    large = City.objects.filter(population__gte=1_000_000).order_by("-population", "id")
    return list(
        Country.objects.filter(continent="EU").prefetch_related(
            Prefetch("cities", large, to_attr="large_cities")
        )
    )


def _densest_countries() -> list[Country]:
    density = Cast("population", FloatField()) / F("area")
    found = Country.objects.filter(area__gt=0).annotate(density=density)
    return list(found.order_by("-density", "code")[:10])


def _ranks() -> list[Any]:
    rank = Window(Rank(), partition_by=F("continent"), order_by=F("population").desc())
    return list(Country.objects.annotate(rank=rank).values_list("code", "rank").order_by("code"))


PARIS_ALONE: Final = Question("one city, by primary key", lambda: City.objects.get(pk=PARIS))
HOW_MANY: Final = Question("how many cities", City.objects.count)
TOTALS: Final = Question(
    "totals of all cities",
    lambda: City.objects.aggregate(Sum("population"), Avg("population"), Max("population")),
)

QUESTIONS: Final[tuple[Question, ...]] = (
    PARIS_ALONE,
    Question(
        "one city with country and continent",
        lambda: City.objects.select_related("country__continent").get(pk=PARIS),
    ),
    Question("one country, by code", lambda: Country.objects.get(code="JP")),
    Question("the continents", lambda: list(Continent.objects.order_by("name"))),
    Question("the country list", lambda: list(Country.objects.select_related("continent"))),
    Question(
        "countries of a continent", lambda: list(Country.objects.filter(continent__name="Africa"))
    ),
    Question("50 cities of a country", _cities_of_a_country),
    Question(
        "names of a country's cities",
        lambda: list(City.objects.filter(country="BR").values_list("name", flat=True)),
    ),
    Question(
        "the 20 largest cities", lambda: list(City.objects.order_by("-population", "id")[:20])
    ),
    Question(
        "page 5 of the large cities",
        lambda: list(
            City.objects.filter(population__gte=500_000).order_by("-population", "id")[80:100]
        ),
    ),
    HOW_MANY,
    Question("how many in a country", lambda: City.objects.filter(country="IN").count()),
    Question(
        "how many on a continent",
        lambda: City.objects.filter(country__continent__name="Asia").count(),
    ),
    TOTALS,
    Question(
        "people and cities per continent",
        lambda: list(
            City.objects.values("country__continent__name")
            .annotate(cities=Count("id"), people=Sum("population"), smallest=Min("population"))
            .order_by("country__continent__name")
        ),
    ),
    Question(
        "10 countries with most cities",
        lambda: list(
            Country.objects.annotate(number=Count("cities")).order_by("-number", "code")[:10]
        ),
    ),
    Question("search by prefix", lambda: list(City.objects.filter(name__istartswith="san ")[:20])),
    Question("search in the middle", lambda: list(City.objects.filter(name__contains="burg"))),
    Question("is there one (yes)", lambda: City.objects.filter(timezone="Asia/Tokyo").exists()),
    Question("is there one (no)", lambda: City.objects.filter(timezone="Mars/Olympus").exists()),
    Question("largest city of each country", _largest_city_of_each_country),
    Question("countries with a megacity", _countries_with_a_megacity),
    Question(
        "neighbours of countries (prefetch)",
        lambda: list(Country.objects.filter(continent="SA").prefetch_related("neighbours")),
    ),
    Question("large cities (prefetch)", _million_cities_of_european_countries),
    Question(
        "capitals",
        lambda: list(
            City.objects.filter(Q(name=F("country__capital")) & ~Q(country__continent="EU"))
            .order_by("name", "id")
            .values_list("name", "country__name")
        ),
    ),
    Question("densest countries", _densest_countries),
    Question("rank within the continent", _ranks),
    Question(
        "time zones",
        lambda: list(
            City.objects.order_by("timezone").values_list("timezone", flat=True).distinct()
        ),
    ),
    Question("northernmost city", lambda: City.objects.order_by("-latitude", "id").first()),
    Question(
        "seven countries at once",
        lambda: Country.objects.in_bulk(["AR", "BR", "CA", "DE", "EG", "FR", "JP"]),
    ),
)


def frozen(answer: Any, within: frozenset[int] = frozenset()) -> Any:
    """Return all that an answer holds (related and prefetched objects too) as plain data.

    Args:
        answer: of a question.
        within: ids of the objects that it is part of; those are named and not gone into again.

    Returns:
        Something whose `repr` is the same for the same answer, types included.
    """
    if isinstance(answer, Model):
        name = type(answer).__name__
        if id(answer) in within:
            return name, answer.pk
        within |= {id(answer)}
        fields = {key: value for key, value in vars(answer).items() if not key.startswith("_")}
        prefetched = vars(answer).get("_prefetched_objects_cache", {})
        return (
            name,
            frozen(fields, within),
            frozen(answer._state.fields_cache, within),
            frozen({key: list(found) for key, found in prefetched.items()}, within),
        )
    if isinstance(answer, dict):
        return [(key, frozen(value, within)) for key, value in answer.items()]
    if isinstance(answer, list):
        return [frozen(value, within) for value in answer]
    return answer

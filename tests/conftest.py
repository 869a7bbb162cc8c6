"""Fixtures: every test gets the databases and stores it names, with nothing cached."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from querycache.cache import QueryCache
    from tests.environment import Environment

_prefixes = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    import django
    from django.conf import settings

    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="tests",
        USE_TZ=True,
        TIME_ZONE="UTC",
        ROOT_URLCONF="tests.urls",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "querycache",
            "tests.library",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        QUERYCACHE={"STORE": "memory://"},
    )
    django.setup()


@pytest.fixture(scope="session")
def environment() -> Iterator[Environment]:
    from tests.environment import Environment

    found = Environment()
    yield found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, environment: Environment) -> Iterator[str]:
    """The alias of an empty database; parametrise indirectly with kinds of `DATABASES`."""
    from django.db import connections

    from querycache import install
    from tests.environment import empty_tables
    from tests.servers import Unavailable, require

    try:
        alias = environment.database(getattr(request, "param", "sqlite"))
    except Unavailable as reason:
        require(reason)
    install.uninstall()
    empty_tables(alias)
    yield alias
    connections.close_all()


@pytest.fixture
def store_url(request: pytest.FixtureRequest, environment: Environment) -> str:
    """The URL of a store; parametrise indirectly with kinds of `STORES`."""
    from tests.servers import Unavailable, require

    try:
        return environment.store_url(getattr(request, "param", "memory"))
    except Unavailable as reason:
        require(reason)


@pytest.fixture
def cache(database: str, store_url: str) -> Iterator[QueryCache]:
    """querycache, installed on the store with nothing in it."""
    from querycache import install
    from tests.environment import configure

    installed = configure(STORE=store_url, KEY_PREFIX=f"t{next(_prefixes)}")
    yield installed.cache
    install.uninstall()

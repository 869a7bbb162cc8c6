"""Fixtures: every test gets the databases and stores it names, with nothing cached."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from querycache.cache import QueryCache
    from tests.environment import Environment
    from tests.watching import Watch

_prefixes = itertools.count()

#: Files and folders whose tests run whole programs; `-m 'not slow'` leaves them out.
_SLOW = (
    *("history/test_runs", "serving/", "test_benchmarks", "test_demo", "test_django_suite"),
    *("test_frozen_writers", "test_pytest_django", "test_replicas", "test_server_groups"),
    *("redis/test_cluster", "redis/test_sentinel", "redis/test_reach"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow: dict[str, list[pytest.Item]] = {}
    rest = []
    for item in items:
        if any(part in item.nodeid for part in _SLOW):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow"):
            slow.setdefault(item.nodeid.partition("::")[0], []).append(item)
        else:
            rest.append(item)
    # pytest-xdist gives each process its share in this order, and an idle one what others have at
    # the end of theirs: a test that takes a minute must not come last.
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    shares: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, module in enumerate(sorted(slow.values(), key=len)):
        shares[number % processes].extend(module)
    for number, share in enumerate(shares):
        even = (len(items) - sum(map(len, shares[:number]))) // (processes - number)
        missing = max(0, even - len(share))
        share.extend(rest[:missing])
        del rest[:missing]
    items[:] = [item for share in shares for item in share]


def pytest_configure(config: pytest.Config) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
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
    from tests.environment import empty_tables, forget_stores
    from tests.servers import required

    with required():
        alias = environment.database(getattr(request, "param", "sqlite"))
    install.uninstall()
    empty_tables(alias)
    yield alias
    install.uninstall()
    # Other tests look at all databases, on stores of their own.
    forget_stores()
    connections.close_all()


@pytest.fixture
def store_url(request: pytest.FixtureRequest, environment: Environment) -> str:
    """The URL of a store; parametrise indirectly with kinds of `STORES`."""
    from tests.servers import required

    with required():
        return environment.store_url(getattr(request, "param", "memory"))


@pytest.fixture
def cache(database: str, store_url: str) -> Iterator[QueryCache]:
    """querycache, installed on the store with nothing in it."""
    from querycache import install
    from tests.environment import configure

    installed = configure(STORE=store_url, KEY_PREFIX=f"t{next(_prefixes)}")
    yield installed.cache
    install.uninstall()


@pytest.fixture
def watch(database: str, cache: QueryCache) -> Watch:
    """All tables of the database, with rows, warm in two connections."""
    from tests.watching import Watch

    return Watch.seeded(database)

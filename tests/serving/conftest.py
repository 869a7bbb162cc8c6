from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.environment import Environment
    from tests.serving.site import Site

#: A machine of its own, and a fleet.
POSTGRESQL = ("postgresql", "redis")
PLACES = [("sqlite_wal", "lmdb"), POSTGRESQL]


@pytest.fixture(params=PLACES, ids=["-".join(place) for place in PLACES])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A database and a store of these kinds."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def site(place: tuple[str, str], environment: Environment, request: pytest.FixtureRequest) -> Site:
    """A site with registers of 0, of which nobody has cached anything."""
    from django.db import connections

    from tests.library.models import Thing
    from tests.serving.site import REGISTERS, Site

    request.getfixturevalue("database")
    alias, store = place
    things = [Thing(pk=n + 1, code=str(n), number=0) for n in range(REGISTERS)]
    Thing.objects.using(alias).bulk_create(things)
    database = dict(connections[alias].settings_dict)
    database.pop("TEST", None)
    connections.close_all()
    return Site(
        database,
        {
            "STORE": environment.store_url(store),
            "KEY_PREFIX": f"site{os.urandom(4).hex()}",
            # Stores that can lose stamps keep readers out for a lease at first.
            "LEASE": 1.0,
            # Many processes share two processors here.
            "TIMEOUT": 5.0,
        },
    )


@pytest.fixture
def database(place: tuple[str, str], environment: Environment) -> Iterator[str]:
    """The empty database of the place."""
    from django.db import connections

    from querycache import install
    from tests.environment import empty_tables
    from tests.servers import required

    with required():
        alias = environment.database(place[0])
        environment.store_url(place[1])
    install.uninstall()
    empty_tables(alias)
    yield alias
    connections.close_all()

"""Connections to the database that outlive a request, or are shared by many."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from tests.environment import Environment, add_database, make_tables, remove_database
from tests.library.models import Thing
from tests.servers import PgBouncerServer, required
from tests.serving.conftest import POSTGRESQL
from tests.serving.site import REGISTERS, Site, Visitors
from tests.serving.test_web import SERVERS, Pages

pytestmark = pytest.mark.parametrize("place", [POSTGRESQL], indirect=True, ids=["postgresql"])

KEPT: dict[str, dict[str, Any]] = {
    "persistent": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "pool": {"OPTIONS": {"pool": {"min_size": 1, "max_size": 4}}},
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(("kind", "views"), [("gunicorn gthread", "atomic"), ("uvicorn", "async")])
def test_connections_that_are_kept(
    site: Site, tmp_path: Path, kept: str, kind: str, views: str
) -> None:
    if kept == "pool":
        pytest.importorskip("psycopg_pool")
    site = replace(site, database={**site.database, **KEPT[kept]})
    with site.served(tmp_path, *SERVERS[kind]) as server:
        pages = Pages(server, views)
        Visitors(pages.read, pages.write).come(40)
        pages.until_every_process_hits(2)


def test_pgbouncer(site: Site, bouncer: PgBouncerServer, tmp_path: Path) -> None:
    """In transaction mode each transaction may be another session of the server."""
    name = site.database["NAME"]
    site = replace(site, database=bouncer.django_database(name, CONN_MAX_AGE=None))
    with site.served(tmp_path, *SERVERS["gunicorn gthread"]) as server:
        for views in ("sync", "atomic"):
            pages = Pages(server, views)
            visitors = Visitors(pages.read, pages.write)
            visitors.least = pages.read()
            visitors.come(40)
            pages.until_every_process_hits(2)


def test_two_databases_behind_one_pgbouncer(
    site: Site, bouncer: PgBouncerServer, environment: Environment, tmp_path: Path
) -> None:
    """Two sites on one store and one pooler: neither gets the other's rows."""
    with another_database(environment) as other:
        sites = [
            replace(site, database=bouncer.django_database(name))
            for name in (site.database["NAME"], other)
        ]
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
        with (
            sites[0].served(tmp_path / "a", *SERVERS["gunicorn gthread"]) as one,
            sites[1].served(tmp_path / "b", *SERVERS["gunicorn gthread"]) as two,
        ):
            pages = Pages(one, "sync"), Pages(two, "sync")
            for value in range(1, 10):
                for number, page in enumerate(pages):
                    page.write(0, value * 10 + number)
                for number, page in enumerate(pages):
                    for _ in range(3):
                        assert page.read()[0] == value * 10 + number


@contextlib.contextmanager
def another_database(environment: Environment) -> Iterator[str]:
    """Make a database with registers of 0 beside that of the tests."""
    name = f"other{os.urandom(4).hex()}"
    environment.postgres.create_database(name)
    add_database("other", environment.postgres.django_database(name))
    try:
        make_tables("other")
        things = [Thing(pk=n + 1, code=str(n), number=0) for n in range(REGISTERS)]
        Thing.objects.using("other").bulk_create(things)
        connections["other"].close()
        yield name
    finally:
        remove_database("other")
        environment.postgres.drop_database(name)


@pytest.fixture
def bouncer(database: str, environment: Environment) -> Iterator[PgBouncerServer]:
    with required():
        server = PgBouncerServer(environment.postgres).start()
    with server:
        yield server

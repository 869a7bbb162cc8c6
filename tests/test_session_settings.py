"""Settings of a session: from a pool, made as a read opens it, made for a transaction."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from tests.environment import configure, elsewhere
from tests.library.models import Genre
from tests.watching import Watch, alias_of, execute, seed

postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


def names(using: str) -> list[str]:
    return list(Genre.objects.using(using).order_by("name").values_list("name", flat=True))


def fresh(using: str) -> list[str]:
    with querycache.disabled():
        return names(using)


@postgresql
def test_settings_of_a_pooled_connection(database: str, store_url: str) -> None:
    pytest.importorskip("psycopg_pool")
    configure(STORE=store_url)
    seed(database)
    execute(database, "CREATE SCHEMA tenant")
    execute(database, "CREATE TABLE tenant.library_genre (id bigint, name text)")
    try:
        with alias_of(database, OPTIONS={"pool": {"min_size": 1, "max_size": 1}}) as pooled:
            assert names(pooled) == ["crime", "poetry"]
            execute(pooled, "SET search_path = tenant, public")
            assert names(pooled) == []
            assert names(pooled) == []
            connections[pooled].close()
            # The next wrapper gets the same connection, settings and all.
            assert names(pooled) == fresh(pooled) == []
            assert names(pooled) == []
            connections[pooled].close()
            assert elsewhere(lambda: fresh(pooled)) == []
            # Others have the rows of their own schema.
            assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
            assert names(database) == ["crime", "poetry"]
            connections[pooled].close_pool()  # type: ignore[attr-defined]
    finally:
        execute(database, "DROP SCHEMA tenant CASCADE")


@postgresql
def test_temporary_tables_of_a_pooled_connection(database: str, store_url: str) -> None:
    pytest.importorskip("psycopg_pool")
    configure(STORE=store_url)
    seed(database)
    with alias_of(database, OPTIONS={"pool": {"min_size": 1, "max_size": 1}}) as pooled:
        assert names(pooled) == ["crime", "poetry"]
        execute(pooled, "CREATE TEMPORARY TABLE library_genre (id bigint, name text)")
        connections[pooled].close()
        fresh(pooled)
        assert names(pooled) == []
        assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
        connections[pooled].close()
        connections[pooled].close_pool()  # type: ignore[attr-defined]


@postgresql
def test_settings_made_as_the_connection_opens(database: str, store_url: str) -> None:
    """A read that opens the connection knows of them only afterwards."""
    from django.db.backends.signals import connection_created

    configure(STORE=store_url)
    seed(database)
    execute(database, "CREATE SCHEMA tenant")
    execute(database, "CREATE TABLE tenant.library_genre (id bigint, name text)")

    def choose(connection: Any, **kwargs: Any) -> None:
        if connection.alias != database:
            with connection.cursor() as cursor:
                cursor.execute("SET search_path = tenant, public")

    connection_created.connect(choose)
    try:
        with alias_of(database) as tenant:
            assert names(tenant) == []
            assert elsewhere(lambda: names(database)) == ["crime", "poetry"]
            assert names(tenant) == []
            hits = querycache.stats().hits
            assert names(tenant) == []
            assert querycache.stats().hits == hits + 1
    finally:
        connection_created.disconnect(choose)
        execute(database, "DROP SCHEMA tenant CASCADE")


@postgresql
def test_set_local_ends_with_its_transaction(database: str, cache: QueryCache) -> None:
    seed(database)
    watch = Watch(database)
    for ending in (True, False):
        with transaction.atomic(database):
            execute(database, "SET LOCAL search_path = public, pg_catalog")
            names(database)
            transaction.set_rollback(ending, using=database)
        watch.check()
    with transaction.atomic(database):
        execute(database, "SET search_path = public, pg_catalog")
        transaction.set_rollback(True, using=database)
    # Whether it was taken back only the server knows.
    assert watch.cold() != set()
    connections[database].close()

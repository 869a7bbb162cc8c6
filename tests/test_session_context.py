"""What a session has set is part of every key: two tenants never share a row."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.expressions import RawSQL
from django.test import override_settings

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, configure, elsewhere
from tests.shapes.dataset import Library, populate

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
everywhere = pytest.mark.parametrize("database", DATABASES, indirect=True)


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


def run(alias: str, *statements: str, params: Any = None) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, params)


@pytest.fixture
def guarded(database: str, m: Library) -> Iterator[Library]:
    """Notes under row-level security: a role sees those whose text is the session's setting."""
    run(
        database,
        "CREATE ROLE reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        "ALTER TABLE library_note ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON library_note USING (text = current_setting('app.tenant', true))",
    )
    yield m
    connections[database].close()
    run(
        database,
        "DROP POLICY own ON library_note",
        "ALTER TABLE library_note DISABLE ROW LEVEL SECURITY",
        "DROP OWNED BY reader",
        "DROP ROLE reader",
    )


def notes(m: Library) -> list[str]:
    return list(m.Note.order_by("pk").values_list("text", flat=True))


def as_tenant(m: Library, tenant: str, *, params: bool = False) -> list[str]:
    """Read twice as one tenant on whatever connection this thread has."""
    run(m.alias, "SET ROLE reader")
    if params:
        run(m.alias, "SELECT set_config('app.tenant', %s, false)", params=[tenant])
    else:
        run(m.alias, f"SET app.tenant = '{tenant}'")
    first = notes(m)
    assert notes(m) == first
    return first


@on_postgresql
@pytest.mark.parametrize("params", [False, True], ids=["SET", "set_config"])
def test_row_level_security_by_a_setting(guarded: Library, params: bool) -> None:
    m = guarded
    everyone = notes(m)
    assert len(everyone) == 6
    assert as_tenant(m, "note 1", params=params) == ["note 1"]
    hits = querycache.stats().hits
    assert hits, "nothing was cached, so nothing is shown"
    # On the same connection, and on another that asks the very same text.
    assert as_tenant(m, "note 2", params=params) == ["note 2"]
    assert elsewhere(lambda: as_tenant(m, "note 3", params=params)) == ["note 3"]
    assert elsewhere(lambda: as_tenant(m, "note 1", params=params)) == ["note 1"]
    assert elsewhere(lambda: notes(m)) == everyone
    run(m.alias, "RESET ROLE")
    assert notes(m) == everyone


@on_postgresql
def test_a_setting_that_a_rollback_takes_back(guarded: Library) -> None:
    m = guarded
    # Kept under a session that has set nothing, for whoever forgets what was set.
    assert len(notes(m)) == len(notes(m)) == 6
    assert as_tenant(m, "note 1") == ["note 1"]
    with transaction.atomic(using=m.alias):
        run(m.alias, "SET app.tenant = 'note 2'")
        assert notes(m) == ["note 2"]
        transaction.set_rollback(True, using=m.alias)
    assert notes(m) == ["note 1"]
    with transaction.atomic(using=m.alias):
        run(m.alias, "SET LOCAL app.tenant = 'note 4'")
        assert notes(m) == ["note 4"]
        with transaction.atomic(using=m.alias):
            run(m.alias, "SET LOCAL app.tenant = 'note 5'")
            assert notes(m) == ["note 5"]
            transaction.set_rollback(True, using=m.alias)
        assert notes(m) == ["note 4"]
    assert notes(m) == ["note 1"]
    assert elsewhere(lambda: as_tenant(m, "note 4")) == ["note 4"]


@on_postgresql
def test_a_search_path(database: str, m: Library) -> None:
    real = list(m.Genre.order_by("pk").values_list("name", flat=True))
    run(
        database,
        "CREATE SCHEMA other",
        "CREATE TABLE other.library_genre AS SELECT 1::bigint AS id, 'other'::text AS name",
    )

    def names() -> list[str]:
        return list(m.Genre.order_by("pk").values_list("name", flat=True))

    def names_of_other() -> list[str]:
        run(database, "SET search_path TO other")
        return names()

    try:
        assert names() == real
        assert elsewhere(names_of_other) == ["other"]
        assert names() == real
        assert names_of_other() == ["other"]
        assert names() == ["other"]
        run(database, "SET search_path TO public")
        assert names() == real
    finally:
        run(database, "DROP SCHEMA other CASCADE")


@on_postgresql
def test_a_time_zone(database: str, m: Library) -> None:
    published = m.Book.filter(pk=1).values_list(RawSQL("published::text", ()), flat=True)
    assert list(published.all()) == ["2001-01-01 01:01:01.000001+00"]
    assert querycache.explain(published).hit
    run(database, "SET TIME ZONE 'Asia/Tokyo'")
    assert list(published.all()) == ["2001-01-01 10:01:01.000001+09"]
    run(database, "SET TIME ZONE 'UTC'")
    assert list(published.all()) == ["2001-01-01 01:01:01.000001+00"]


@on_postgresql
@pytest.mark.parametrize("inside", [False, True], ids=["autocommit", "atomic"])
def test_django_settings_of_time_zones(m: Library, inside: bool) -> None:
    # Whether it is handed out with a zone is up to Django's settings, not to the database's.
    published = m.Book.filter(pk=1).values_list("published", flat=True)
    with transaction.atomic(using=m.alias) if inside else nullcontext():
        for use_tz in (True, False, True):
            with override_settings(USE_TZ=use_tz):
                (first,) = published.all()
                assert first is not None
                assert (first.tzinfo is not None) is use_tz
                assert list(published.all()) == [first]
                assert querycache.explain(published).hit or inside


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_a_sql_mode(database: str, m: Library) -> None:
    joined = m.Genre.filter(pk=1).values_list(RawSQL("'a' || 'b'", ()), flat=True)
    plain = list(joined.all())
    assert querycache.explain(joined).hit
    run(database, "SET sql_mode = 'PIPES_AS_CONCAT'")
    assert list(joined.all()) == ["ab"] != plain
    assert elsewhere(lambda: list(joined.all())) == plain


@everywhere
def test_schema_name_of_tenant_packages(database: str, m: Library) -> None:
    connection: Any = connections[database]
    genres = m.Genre.order_by("pk")
    keys = set()
    try:
        for schema in ("a", "b", "a", None):
            connection.schema_name = schema
            before = querycache.stats()
            list(genres.all())
            after = querycache.stats()
            keys.add(querycache.explain(genres).key)
            assert after.hits - before.hits == (1 if len(keys) == 2 and schema == "a" else 0)
    finally:
        del connection.schema_name
    assert len(keys) == 3


_tenant: contextvars.ContextVar[object] = contextvars.ContextVar("tenant", default=None)


def tenant_of(connection: Any) -> object:
    return (connection.alias, _tenant.get())


@everywhere
@pytest.mark.parametrize("given", [tenant_of, "tests.test_session_context.tenant_of"])
def test_context_callable(database: str, given: Any) -> None:
    configure(STORE="memory://", CONTEXT=given)
    m = Library(database)
    populate(m)
    seen = {}
    # 1 and True are equal, and two tenants.
    for tenant in ("a", "b", 1, True, ("a", None)):
        token = _tenant.set(tenant)
        try:
            before = querycache.stats()
            list(m.Genre.all())
            list(m.Genre.all())
            after = querycache.stats()
            assert (after.misses, after.hits) == (before.misses + 1, before.hits + 1)
            seen[querycache.explain(m.Genre.all()).key] = tenant
        finally:
            _tenant.reset(token)
    assert len(seen) == 5


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_context_that_cannot_be_keyed_bypasses(database: str) -> None:
    configure(STORE="memory://", CONTEXT=lambda connection: object())
    m = Library(database)
    populate(m)
    bypassed = querycache.stats().bypassed
    assert len(list(m.Genre.all())) == 4
    stats = querycache.stats()
    assert (stats.hits, stats.misses, stats.stored) == (0, 0, 0)
    assert stats.bypassed == bypassed + 1

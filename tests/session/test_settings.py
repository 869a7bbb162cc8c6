"""Settings of a session: from a pool, made as a read opens it, made for a transaction."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import ProgrammingError, connections, transaction

import querycache
from tests.environment import configure, elsewhere
from tests.kinds import postgresql
from tests.session.tenants import choose, fail, reading
from tests.watching import Watch, alias_of, execute, fresh_genres, genres, seed


@postgresql
def test_settings_of_a_pooled_connection(database: str, store_url: str) -> None:
    pytest.importorskip("psycopg_pool")
    configure(STORE=store_url)
    seed(database)
    execute(database, "CREATE SCHEMA tenant")
    execute(database, "CREATE TABLE tenant.library_genre (id bigint, name text)")
    try:
        with alias_of(database, OPTIONS={"pool": {"min_size": 1, "max_size": 1}}) as pooled:
            assert genres(pooled) == ["crime", "poetry"]
            execute(pooled, "SET search_path = tenant, public")
            assert genres(pooled) == []
            assert genres(pooled) == []
            connections[pooled].close()
            # The next wrapper gets the same connection, settings and all.
            assert genres(pooled) == fresh_genres(pooled) == []
            assert genres(pooled) == []
            connections[pooled].close()
            assert elsewhere(lambda: fresh_genres(pooled)) == []
            # Others have the rows of their own schema.
            assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
            assert genres(database) == ["crime", "poetry"]
            connections[pooled].close_pool()  # type: ignore[attr-defined]
    finally:
        execute(database, "DROP SCHEMA tenant CASCADE")


@postgresql
def test_temporary_tables_of_a_pooled_connection(database: str, store_url: str) -> None:
    pytest.importorskip("psycopg_pool")
    configure(STORE=store_url)
    seed(database)
    with alias_of(database, OPTIONS={"pool": {"min_size": 1, "max_size": 1}}) as pooled:
        assert genres(pooled) == ["crime", "poetry"]
        execute(pooled, "CREATE TEMPORARY TABLE library_genre (id bigint, name text)")
        connections[pooled].close()
        fresh_genres(pooled)
        assert genres(pooled) == []
        assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
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
            assert genres(tenant) == []
            assert elsewhere(lambda: genres(database)) == ["crime", "poetry"]
            assert genres(tenant) == []
            hits = querycache.stats().hits
            assert genres(tenant) == []
            assert querycache.stats().hits == hits + 1
    finally:
        connection_created.disconnect(choose)
        execute(database, "DROP SCHEMA tenant CASCADE")


@postgresql
def test_set_local_ends_with_its_transaction(database: str, watch: Watch) -> None:
    for ending in (True, False):
        with transaction.atomic(database):
            execute(database, "SET LOCAL search_path = public, pg_catalog")
            genres(database)
            transaction.set_rollback(ending, using=database)
        watch.check()
    with transaction.atomic(database):
        execute(database, "SET search_path = public, pg_catalog")
        transaction.set_rollback(True, using=database)
    watch.check()


@postgresql
def test_what_a_transaction_sets_stands_when_it_commits(tenants: str) -> None:
    """So that the next connection with that setting is served what this one has read."""
    choose(tenants, "one")
    assert not reading(tenants, "one")
    with transaction.atomic(tenants):
        choose(tenants, "two")
    assert not reading(tenants, "two")
    with alias_of(tenants) as other:
        with transaction.atomic(other):
            choose(other, "one")
        assert reading(other, "one")
        choose(other, "two")
        assert reading(other, "two")


@postgresql
def test_what_a_transaction_sets_goes_when_it_is_rolled_back(tenants: str) -> None:
    choose(tenants, "one")
    assert not reading(tenants, "one")
    for _ in range(2):
        fail(tenants, "two")
        assert reading(tenants, "one")


@postgresql
def test_what_a_transaction_sets_as_it_was_makes_nothing_cold(tenants: str) -> None:
    """What packages for tenants do, with every cursor."""
    choose(tenants, "one")
    assert not reading(tenants, "one")
    with transaction.atomic(tenants):
        choose(tenants, "one")
        fail(tenants, "one")
        choose(tenants, "one")
    assert reading(tenants, "one")


@postgresql
def test_the_commit_of_a_transaction_that_has_failed_takes_its_settings_back(tenants: str) -> None:
    choose(tenants, "one")
    reading(tenants, "one")
    with alias_of(tenants) as other:
        choose(other, "two")
        reading(other, "two")
    connection = connections[tenants]
    connection.set_autocommit(False)
    choose(tenants, "two")
    with pytest.raises(ProgrammingError):
        execute(tenants, "SELECT no_such_column")
    connection.commit()
    connection.set_autocommit(True)
    assert genres(tenants) == fresh_genres(tenants) == ["one"]


@pytest.fixture
def cached(tenants: str) -> None:
    """The table of each tenant is in the cache."""
    with alias_of(tenants) as other:
        for tenant in ("one", "two"):
            choose(other, tenant)
            reading(other, tenant)


@postgresql
@pytest.mark.usefixtures("cached")
def test_a_rollback_to_a_savepoint_takes_settings_back(tenants: str) -> None:
    choose(tenants, "one")
    with transaction.atomic(tenants):
        fail(tenants, "two")
        assert genres(tenants) == fresh_genres(tenants) == ["one"]
    assert genres(tenants) == fresh_genres(tenants) == ["one"]


@postgresql
@pytest.mark.usefixtures("cached")
def test_what_is_set_for_the_transaction_goes_whatever_else_stands(tenants: str) -> None:
    choose(tenants, "two")
    with transaction.atomic(tenants):
        choose(tenants, "one")
        execute(tenants, "SET LOCAL search_path = two, public")
        assert genres(tenants) == fresh_genres(tenants) == ["two"]
    assert genres(tenants) == fresh_genres(tenants) == ["one"]


@postgresql
@pytest.mark.usefixtures("cached")
def test_a_rollback_after_a_raw_commit(tenants: str) -> None:
    """With psycopg 2 each statement after it commits by itself, SET too."""
    choose(tenants, "one")
    with pytest.raises(LookupError), transaction.atomic(tenants):  # noqa: PT012
        execute(tenants, "COMMIT")
        choose(tenants, "two")
        raise LookupError
    assert genres(tenants) == fresh_genres(tenants)


@postgresql
@pytest.mark.usefixtures("cached")
def test_a_rollback_after_a_raw_commit_and_begin(tenants: str) -> None:
    """With psycopg 2 it takes back what came after BEGIN alone, with 3 all since the COMMIT."""
    choose(tenants, "one")
    with pytest.raises(LookupError), transaction.atomic(tenants):  # noqa: PT012
        execute(tenants, "COMMIT")
        choose(tenants, "two")
        execute(tenants, "BEGIN")
        choose(tenants, "one")
        raise LookupError
    assert genres(tenants) == fresh_genres(tenants)


@postgresql
@pytest.mark.parametrize("ending", ["ROLLBACK", "COMMIT; SET search_path = two, public; BEGIN"])
def test_a_setting_that_may_have_held_before_is_rolled_back(tenants: str, ending: str) -> None:
    """What was read under it was not read under what holds again."""
    choose(tenants, "one")
    with pytest.raises(LookupError), transaction.atomic(tenants):  # noqa: PT012
        choose(tenants, "two")
        with pytest.raises(ProgrammingError):
            execute(tenants, "SELECT * FROM nowhere")
        connections[tenants].needs_rollback = False
        execute(tenants, ending)
        choose(tenants, "two")
        assert genres(tenants) == fresh_genres(tenants) == ["two"]
        raise LookupError
    assert genres(tenants) == fresh_genres(tenants)


@postgresql
@pytest.mark.parametrize("other", ["RESET ALL", "DISCARD ALL", "SET SCHEMA 'one'"])
def test_a_setting_that_another_statement_has_changed_is_made_again(
    tenants: str, other: str
) -> None:
    choose(tenants, "two")
    assert not reading(tenants, "two")
    execute(tenants, other)
    assert genres(tenants) == fresh_genres(tenants) != ["two"]
    choose(tenants, "two")
    assert genres(tenants) == fresh_genres(tenants) == ["two"]


@postgresql
@pytest.mark.parametrize("placeholders", [False, True])
def test_two_settings_of_one_statement_are_both_told_apart(
    tenants: str, *, placeholders: bool
) -> None:
    """What sets the first of them again leaves the other as it is."""

    def set_config(**settings: str) -> None:
        values = [value for pair in settings.items() for value in (*pair, False)]
        if placeholders:
            calls = ["set_config(%s, %s, %s)"] * len(settings)
            execute(tenants, f"SELECT {', '.join(calls)}", values)
        else:
            calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
            execute(tenants, f"SELECT {', '.join(calls)}")

    set_config(application_name="a")
    assert genres(tenants) == ["crime", "poetry"]
    set_config(application_name="a", search_path="two, public")
    set_config(application_name="a")
    assert genres(tenants) == fresh_genres(tenants) == ["two"]

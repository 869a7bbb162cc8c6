"""Settings that no statement shows: of routines, of prepared statements, of unclear text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Func, IntegerField, Value

from querycache.cache import QueryCache
from tests.environment import configure, elsewhere
from tests.kinds import mariadb, postgresql
from tests.library.models import Book, Genre
from tests.session.tenants import choose, reading
from tests.watching import alias_of, execute, fresh_genres, genres, seed

_SET = "PERFORM set_config('search_path', 'two, public', {local}); PERFORM 1"
_MADE = (
    "CREATE FUNCTION choose_two() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {set}; RETURN 1; END $$",
    "CREATE PROCEDURE become_two() LANGUAGE plpgsql AS $$ BEGIN {set}; END $$",
    "PREPARE chosen AS SELECT set_config('search_path', 'two, public', {local})",
)
_GONE = "DROP FUNCTION choose_two(); DROP PROCEDURE become_two()"


def call(name: str, *params: Any) -> Callable[[str], None]:
    def run(using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.callproc(name, params)

    return run


def annotate(using: str) -> None:
    chosen = Func(function="choose_two", output_field=IntegerField())
    assert Genre.objects.using(using).annotate(chosen=chosen).first() is not None


#: All of it is one string where a backslash quotes what follows.
UNCLEAR = r"SELECT 'it\'; SET search_path = two, public; SELECT '--'"

HIDDEN: dict[str, Callable[[str], None]] = {
    "callproc_of_set_config": call("set_config", "search_path", "two, public", False),
    "callproc": call("choose_two"),
    "select": lambda using: execute(using, "SELECT choose_two()"),
    "annotate": annotate,
    "call": lambda using: execute(using, "CALL become_two()"),
    "do": lambda using: execute(using, "DO $$ BEGIN CALL become_two(); END $$"),
    "execute": lambda using: execute(using, "EXECUTE chosen"),
    "not_understood": lambda using: execute(using, UNCLEAR),
}


@contextlib.contextmanager
def routines(using: str, *, local: bool = False) -> Iterator[None]:
    """Routines, and a prepared statement of this connection, that choose the tenant two."""
    for make in _MADE:
        word = str(local).lower()
        execute(using, make.format(set=_SET.format(local=word), local=word))
    try:
        yield
    finally:
        execute(using, _GONE)


@postgresql
@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_may_set_anything_counts_as_a_setting(tenants: str, hidden: str) -> None:
    """The rows of the tenant that was chosen before are another's."""
    with routines(tenants):
        choose(tenants, "one")
        assert genres(tenants) == ["one"]
        HIDDEN[hidden](tenants)
        with alias_of(tenants) as other:
            # What the routine may have written is cached anew, for the tenant one.
            choose(other, "one")
            assert not reading(other, "one")
        assert genres(tenants) == fresh_genres(tenants) == ["two"]
        assert reading(tenants, "two")
        choose(tenants, "one")
        assert genres(tenants) == fresh_genres(tenants) == ["one"]
        with alias_of(tenants) as other:
            assert genres(other) == fresh_genres(other) == ["crime", "poetry"]


@postgresql
@pytest.mark.parametrize("hidden", ["callproc", "select", "annotate", "call", "do", "execute"])
def test_what_it_set_for_a_transaction_goes_with_it(
    tenants: str, store_url: str, hidden: str
) -> None:
    # Else it counts as a write to every table, which nothing is served or stored after.
    configure(STORE=store_url, RAW_SQL="ignore")
    with routines(tenants, local=True):
        choose(tenants, "one")
        assert genres(tenants) == ["one"]
        with transaction.atomic(tenants):
            HIDDEN[hidden](tenants)
            assert genres(tenants) == fresh_genres(tenants) == ["two"]
        for _ in range(2):
            assert genres(tenants) == fresh_genres(tenants) == ["one"]


@postgresql
def test_a_text_in_another_encoding_may_set_anything(tenants: str, store_url: str) -> None:
    configure(STORE=store_url, RAW_SQL="ignore")
    execute(tenants, "SET client_encoding = 'LATIN1'")
    choose(tenants, "one")
    assert genres(tenants) == ["one"]
    execute(tenants, "SET search_path = two, public -- café".encode("latin-1"))
    assert genres(tenants) == fresh_genres(tenants) == ["two"]


@postgresql
@pytest.mark.parametrize("hidden", ["callproc", "select", "call"])
def test_a_routine_that_is_declared_sets_nothing(tenants: str, store_url: str, hidden: str) -> None:
    configure(STORE=store_url, DEPENDS={"choose_two": [], "become_two": []})
    with routines(tenants):
        choose(tenants, "two")
        reading(tenants, "two")
        HIDDEN[hidden](tenants)
        assert reading(tenants, "two")


@mariadb
@pytest.mark.parametrize("run", [call("speak"), lambda using: execute(using, "CALL speak()")])
def test_procedures_of_mariadb_may_set_anything(
    database: str, cache: QueryCache, run: Callable[[str], None]
) -> None:
    seed(database)

    def month() -> str:
        name = Func(Value("2026-05-04"), Value("%M"), function="DATE_FORMAT")
        books = Book.objects.using(database).annotate(month=name)
        found: str = books.values_list("month", flat=True).order_by("pk")[0]
        return found

    execute(database, "CREATE PROCEDURE speak() SET lc_time_names = 'de_DE'")
    try:
        assert month() == "May"
        run(database)
        # Others have cached it anew.
        assert elsewhere(month) == "May"
        assert month() == month() == "Mai"
    finally:
        execute(database, "DROP PROCEDURE speak")

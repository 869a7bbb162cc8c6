"""Which functions may be called by a query that is cached, as the databases themselves say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F, Func, IntegerField
from django.db.models.functions import Lower, Upper

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, configure
from tests.shapes.dataset import Library, populate

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("database", ["mariadb"], indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


def calling(m: Library, function: str) -> Any:
    """Return a queryset that calls a function with the key of every genre."""
    call = Func(F("pk"), function=function, output_field=IntegerField())
    return m.Genre.annotate(x=call).order_by("pk").values_list("x", flat=True)


def is_cached(queryset: Any) -> bool:
    """Ask twice, and tell whether the second time was a hit."""
    first = list(queryset.all())
    before = querycache.stats()
    assert list(queryset.all()) == first or not querycache.explain(queryset).cacheable
    hit = querycache.stats().hits > before.hits
    assert hit == querycache.explain(queryset).cacheable
    return hit


def run(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


# -- PostgreSQL --------------------------------------------------------------------------------

POSTGRES_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {name}(n bigint) RETURNS bigint LANGUAGE sql {kind} AS $$ {body} $$"
)


@pytest.fixture
def postgres_functions(database: str) -> Iterator[Callable[..., None]]:
    made: list[str] = []

    def make(name: str, kind: str, body: str = "SELECT n + 1") -> None:
        made.append(name)
        run(database, POSTGRES_FUNCTION.format(name=name, kind=kind, body=body))

    yield make
    run(database, *(f"DROP FUNCTION IF EXISTS {name}(bigint)" for name in made))


@on_postgresql
@pytest.mark.parametrize(
    ("kind", "cached"), [("IMMUTABLE", True), ("STABLE", False), ("VOLATILE", False)]
)
@pytest.mark.parametrize("name", ["total", "lower"])
def test_a_function_with_the_name_of_one_that_is_known(
    m: Library, postgres_functions: Callable[..., None], name: str, kind: str, cached: bool
) -> None:
    """The one is built in elsewhere, the other takes what the database's own does not."""
    assert is_cached(m.Genre.annotate(x=Lower("name")).order_by("pk"))
    postgres_functions(name, kind, "SELECT count(*) + n FROM library_book")
    assert is_cached(calling(m, name)) is cached
    assert is_cached(m.Genre.annotate(x=Upper("name")).order_by("pk"))


@on_postgresql
@pytest.mark.parametrize(
    ("kind", "cached"), [("IMMUTABLE", True), ("STABLE", False), ("VOLATILE", False)]
)
def test_postgresql_says_what_a_function_may_do(
    m: Library, postgres_functions: Callable[..., None], kind: str, cached: bool
) -> None:
    postgres_functions("qc_next", kind)
    assert is_cached(calling(m, "qc_next")) is cached
    if not cached:
        assert "the function qc_next" in querycache.explain(calling(m, "qc_next")).reason


@on_postgresql
def test_all_functions_of_a_name_must_be_immutable(
    m: Library, postgres_functions: Callable[..., None]
) -> None:
    postgres_functions("qc_two", "IMMUTABLE")
    run(
        m.alias,
        "CREATE OR REPLACE FUNCTION qc_two(n text) RETURNS text LANGUAGE sql VOLATILE"
        " AS $$ SELECT n $$",
    )
    try:
        assert not is_cached(calling(m, "qc_two"))
    finally:
        run(m.alias, "DROP FUNCTION qc_two(text)")


@on_postgresql
def test_a_function_that_becomes_volatile_is_looked_up_again(
    m: Library, postgres_functions: Callable[..., None]
) -> None:
    postgres_functions("qc_turns", "IMMUTABLE")
    assert is_cached(calling(m, "qc_turns"))
    postgres_functions("qc_turns", "VOLATILE", "SELECT n + 2")
    assert not is_cached(calling(m, "qc_turns"))
    postgres_functions("qc_turns", "IMMUTABLE", "SELECT n + 3")
    assert is_cached(calling(m, "qc_turns"))
    assert list(calling(m, "qc_turns")) == [4, 5, 6, 7]


@on_postgresql
def test_a_function_that_reads_is_cached_when_declared(
    database: str, m: Library, postgres_functions: Callable[..., None]
) -> None:
    postgres_functions(
        "qc_stars", "STABLE", "SELECT sum(stars) FROM library_review WHERE book_id = n"
    )
    assert not is_cached(calling(m, "qc_stars"))
    configure(STORE="memory://", DEPENDS={"qc_stars": ["library_review"]})
    declared = calling(m, "qc_stars")
    assert is_cached(declared)
    assert querycache.explain(declared).dependencies == ("library_genre", "library_review")
    before = list(declared.all())
    m.Review.create(book_id=1, stars=5)
    assert list(declared.all()) == [before[0] + 5, *before[1:]]


@on_postgresql
def test_a_volatile_function_that_writes_invalidates(
    database: str, m: Library, postgres_functions: Callable[..., None]
) -> None:
    body = "UPDATE library_publisher SET name = 'set ' || n WHERE id = n RETURNING id"
    postgres_functions("qc_writes", "VOLATILE", body)

    def names() -> list[str]:
        return list(m.Publisher.order_by("pk").values_list("name", flat=True))

    names()
    assert list(m.Genre.filter(pk=1).annotate(x=Func(F("pk"), function="qc_writes")))
    assert names()[0] == "set 1"

    # Declared, it is what DEPENDS says that changes, and the call itself is a read of those tables.
    configure(STORE="memory://", DEPENDS={"qc_writes": ["library_publisher"]})
    assert names()[1] == "Orb"
    run(database, "SELECT qc_writes(2)")
    assert names()[1] == "set 2"


@on_postgresql
@pytest.mark.parametrize("built_in", ["abs", "hashint8", "factorial", "int8up", "to_hex"])
def test_postgresql_built_in_functions(m: Library, built_in: str) -> None:
    """Most are in no list of ours."""
    assert is_cached(calling(m, built_in))


@on_postgresql
@pytest.mark.parametrize("built_in", ["pg_relation_size", "pg_get_viewdef", "setseed", "lo_close"])
def test_postgresql_built_in_functions_of_the_system(m: Library, built_in: str) -> None:
    assert not querycache.explain(calling(m, built_in)).cacheable


@on_postgresql
def test_a_broken_transaction_is_not_asked(m: Library) -> None:
    """A function that could not be looked up just now is looked up the next time."""
    with transaction.atomic(using=m.alias):
        transaction.set_rollback(True, using=m.alias)
        explanation = querycache.explain(calling(m, "hashint8"))
        assert not explanation.cacheable
    assert is_cached(calling(m, "hashint8"))


# -- MariaDB -----------------------------------------------------------------------------------


@pytest.fixture
def mariadb_functions(database: str) -> Iterator[Callable[..., None]]:
    made: list[str] = []

    def make(name: str, kind: str, body: str = "RETURN n + 1") -> None:
        made.append(name)
        run(
            database,
            f"DROP FUNCTION IF EXISTS {name}",
            f"CREATE FUNCTION {name}(n BIGINT) RETURNS BIGINT {kind} {body}",
        )

    yield make
    run(database, *(f"DROP FUNCTION IF EXISTS {name}" for name in made))


@on_mariadb
@pytest.mark.parametrize(
    ("kind", "cached"),
    [
        ("DETERMINISTIC NO SQL", True),
        ("NOT DETERMINISTIC NO SQL", False),
        ("DETERMINISTIC READS SQL DATA", False),
        ("DETERMINISTIC CONTAINS SQL", False),
    ],
)
def test_mariadb_says_what_a_function_may_do(
    m: Library, mariadb_functions: Callable[..., None], kind: str, cached: bool
) -> None:
    mariadb_functions("qc_next", kind)
    assert is_cached(calling(m, "qc_next")) is cached


@on_mariadb
def test_a_mariadb_function_with_a_name_that_is_known_of_others(
    m: Library, mariadb_functions: Callable[..., None]
) -> None:
    body = "RETURN (SELECT SUM(stars) FROM library_review WHERE book_id = n)"
    mariadb_functions("split_part", "READS SQL DATA", body)
    assert not is_cached(calling(m, "split_part"))
    assert is_cached(m.Genre.annotate(x=Upper("name")).order_by("pk"))


@on_mariadb
def test_a_mariadb_function_that_reads_is_cached_when_declared(
    database: str, m: Library, mariadb_functions: Callable[..., None]
) -> None:
    body = "RETURN (SELECT SUM(stars) FROM library_review WHERE book_id = n)"
    mariadb_functions("qc_stars", "READS SQL DATA", body)
    configure(STORE="memory://", DEPENDS={"qc_stars": ["library_review"]})
    declared = calling(m, "qc_stars")
    assert is_cached(declared)
    before = list(declared.all())
    m.Review.create(book_id=1, stars=5)
    assert list(declared.all()) == [before[0] + 5, *before[1:]]


@on_mariadb
@pytest.mark.parametrize("built_in", ["ABS", "CRC32", "BIT_COUNT", "OCTET_LENGTH"])
def test_mariadb_built_in_functions(m: Library, built_in: str) -> None:
    assert is_cached(calling(m, built_in))


@on_mariadb
@pytest.mark.parametrize(
    "built_in", ["SLEEP", "BENCHMARK", "LAST_INSERT_ID", "RELEASE_ALL_LOCKS", "ENCRYPT", "RAND"]
)
def test_mariadb_built_in_functions_with_a_life_of_their_own(m: Library, built_in: str) -> None:
    assert not querycache.explain(calling(m, built_in)).cacheable


# -- SQLite ------------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize("deterministic", [True, False])
def test_sqlite_says_whether_a_function_is_deterministic(m: Library, deterministic: bool) -> None:
    calls = itertools.count()

    def next_number(number: int) -> int:
        next(calls)
        return number + 1

    connection = connections[m.alias]
    connection.ensure_connection()
    connection.connection.create_function("qc_next", 1, next_number, deterministic=deterministic)
    assert is_cached(calling(m, "qc_next")) is deterministic
    assert next(calls) == (4 if deterministic else 8)


@on_sqlite
@pytest.mark.parametrize("built_in", ["abs", "unicode", "quote", "length"])
def test_sqlite_built_in_functions(m: Library, built_in: str) -> None:
    assert is_cached(calling(m, built_in))


# -- all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_a_function_that_does_not_exist(m: Library) -> None:
    """The error is the database's own, and nothing is kept of it."""
    connection: Any = connections[m.alias]
    for _ in range(2):
        with pytest.raises(Exception, match=r"(?i)qc_missing") as caught:
            list(calling(m, "qc_missing"))
        assert isinstance(caught.value.__cause__, connection.Database.Error)
    assert querycache.stats().stored == 0


@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_functions_are_asked_about_once(m: Library) -> None:
    """The catalogue is not read for every query, nor for every text."""
    asked: list[str] = []
    known = m.Genre.annotate(x=Func(F("name"), function="QUOTE"))
    if connections[m.alias].vendor == "postgresql":
        known = m.Genre.annotate(x=Func(F("name"), function="quote_nullable"))

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connections[m.alias].execute_wrapper(note):
        list(known)
        list(known.filter(pk=1))
    # What the library asks goes past Django's cursors, so that query logs hold the project's alone.
    assert all("library_genre" in sql for sql in asked)
    assert querycache.explain(known).hit

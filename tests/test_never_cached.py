"""Queries whose results must not be kept, and that they are right nevertheless."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F, Func, Q, Value
from django.db.models import functions as django_functions
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now, Random
from django.test import override_settings

import querycache
from querycache.cache import QueryCache
from tests.environment import DATABASES, configure, elsewhere
from tests.explaining import assert_left_alone
from tests.library.models import Author
from tests.shapes.dataset import Library, populate

SERVERS = ("postgresql", "mariadb")
SQLITES = ("sqlite", "sqlite_wal")


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


everywhere = pytest.mark.parametrize("database", DATABASES, indirect=True)
on_servers = pytest.mark.parametrize("database", SERVERS, indirect=True)
on_sqlite = pytest.mark.parametrize("database", SQLITES, indirect=True)
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


# -- locks, plans and streams ------------------------------------------------------------------


@on_servers
def test_select_for_update_always_locks(database: str, m: Library) -> None:
    list(m.Author.filter(pk=1))
    with transaction.atomic(using=database):
        assert_left_alone(lambda: m.Author.select_for_update().get(pk=1))
        # Somebody else finds the row locked, so the query did reach the database.
        assert elsewhere(lambda: _skips_locked(m)) == [2]


def _skips_locked(m: Library) -> list[int]:
    with transaction.atomic(using=m.alias):
        rows = m.Author.filter(pk__in=(1, 2)).select_for_update(skip_locked=True)
        return [author.pk for author in rows]


@on_servers
def test_a_locking_fragment_is_never_cached(database: str, m: Library) -> None:
    locked = RawSQL("SELECT id FROM library_author WHERE id = %s FOR UPDATE", (1,))
    with transaction.atomic(using=database):
        assert_left_alone(lambda: list(m.Book.filter(author__in=locked)))
    explanation = querycache.explain(m.Book.filter(author__in=locked))
    assert not explanation.cacheable
    assert "locks" in explanation.reason


@everywhere
def test_explain_of_a_queryset_is_never_cached(database: str, m: Library) -> None:
    list(m.Author.all())
    assert assert_left_alone(lambda: m.Author.all().explain())


@everywhere
def test_iterator_streams_and_leaves_nothing(database: str, m: Library) -> None:
    warm = list(m.Author.order_by("pk"))
    assert assert_left_alone(lambda: list(m.Author.order_by("pk").iterator(chunk_size=2))) == warm
    m.Author.filter(pk=1).update(name="new")
    assert next(iter(m.Author.order_by("pk").iterator())).name == "new"
    assert m.Author.order_by("pk")[0].name == "new"


@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_an_open_cursor_in_wal_mode_leaves_nothing_stale(database: str, m: Library) -> None:
    rows = m.Author.iterator(chunk_size=1)
    next(rows)
    elsewhere(lambda: m.Book.filter(pk=1).update(title="new"))
    # The open cursor keeps this whole connection in the state of its first row …
    assert assert_left_alone(lambda: m.Book.get(pk=1).title, times=1) == "Book A"
    # … which is for nobody else, and not for later.
    assert elsewhere(lambda: m.Book.get(pk=1).title) == "new"
    rows.close()
    assert m.Book.get(pk=1).title == "new"
    assert querycache.explain(m.Book.filter(pk=1)).cacheable


@pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)
def test_an_open_raw_cursor_in_wal_mode_leaves_nothing_stale(database: str, m: Library) -> None:
    cursor = connections[database].cursor()
    cursor.execute("SELECT id FROM library_author")
    cursor.fetchone()
    elsewhere(lambda: m.Book.filter(pk=1).update(title="new"))
    assert assert_left_alone(lambda: m.Book.get(pk=1).title, times=1) == "Book A"
    assert elsewhere(lambda: m.Book.get(pk=1).title) == "new"
    cursor.close()
    assert m.Book.get(pk=1).title == "new"
    # The connection caches again.
    m.Book.get(pk=2)
    before = querycache.stats().hits
    m.Book.get(pk=2)
    assert querycache.stats().hits == before + 1


# -- clocks and dice ---------------------------------------------------------------------------


def _annotated(m: Library, function: Any) -> list[Any]:
    return list(m.Author.annotate(at=function()))


def _moving(m: Library) -> dict[str, Callable[[], Any]]:
    """Queries whose results change by themselves, by name."""
    vendor = connections[m.alias].vendor
    random = "RAND()" if vendor == "mysql" else "random()"
    asked: dict[str, Callable[[], Any]] = {
        "shuffled": lambda: list(m.Author.order_by("?")),
        "Now": lambda: list(m.Author.annotate(at=Now())),
        "Now in filter": lambda: list(m.Book.filter(published__lt=Now())),
        "Now in subquery": lambda: list(
            m.Author.filter(books__in=m.Book.filter(published__lt=Now()).values("pk"))
        ),
        "Now in aggregate": lambda: m.Book.filter(published__lt=Now()).count(),
        "Random": lambda: list(m.Author.values_list("pk", Random())),
        "raw clock": lambda: list(m.Author.annotate(at=RawSQL("CURRENT_TIMESTAMP", ()))),
        "raw date": lambda: list(m.Author.annotate(at=RawSQL("CURRENT_DATE", ()))),
        "raw random": lambda: list(m.Author.annotate(at=RawSQL(random, ()))),
        "raw random deep": lambda: list(
            m.Author.filter(
                pk__in=RawSQL(f"SELECT author_id FROM library_book WHERE {random} < 2", ())
            )
        ),
        "extra clock": lambda: list(m.Author.extra(select={"at": "CURRENT_TIMESTAMP"})),
        "extra where": lambda: list(m.Author.extra(where=[f"{random} IS NOT NULL"])),
    }
    if vendor == "sqlite":
        asked["'now'"] = lambda: list(m.Author.annotate(at=RawSQL("datetime('now')", ())))
        asked["'now' as parameter"] = lambda: list(
            m.Author.annotate(at=RawSQL("datetime(%s)", ("now",)))
        )
        asked["no argument"] = lambda: list(m.Author.annotate(at=RawSQL("julianday()", ())))
    elif vendor == "postgresql":
        from django.contrib.postgres.functions import RandomUUID, TransactionNow

        asked["'now'"] = lambda: list(m.Author.annotate(at=RawSQL("'now'::timestamptz", ())))
        asked["'today'"] = lambda: list(m.Author.annotate(at=RawSQL("date 'today'", ())))
        asked["clock_timestamp"] = lambda: list(
            m.Author.annotate(at=RawSQL("clock_timestamp()", ()))
        )
        asked["RandomUUID"] = lambda: list(m.Author.annotate(at=RandomUUID()))
        asked["TransactionNow"] = lambda: list(m.Author.annotate(at=TransactionNow()))
        asked["age"] = lambda: list(m.Book.annotate(at=RawSQL("age(published)", ())))
        asked["setting"] = lambda: list(
            m.Author.annotate(at=RawSQL("current_setting('work_mem')", ()))
        )
    else:
        asked["variable"] = lambda: list(m.Author.annotate(at=RawSQL("@@hostname", ())))
        asked["SYSDATE"] = lambda: list(m.Author.annotate(at=RawSQL("SYSDATE()", ())))
        asked["UUID"] = lambda: list(m.Author.annotate(at=RawSQL("UUID()", ())))
    for name in ("UUID4", "UUID7"):
        function = getattr(django_functions, name, None)
        supported = getattr(connections[m.alias].features, f"supports_{name.lower()}_function", 0)
        if function is not None and supported:
            asked[name] = partial(_annotated, m, function)
    return asked


@everywhere
def test_what_moves_by_itself_is_never_cached(database: str, m: Library) -> None:
    asked = _moving(m)
    assert len(asked) >= 12
    for name, ask in asked.items():
        before = querycache.stats()
        ask()
        ask()
        after = querycache.stats()
        assert (after.hits, after.stored) == (before.hits, before.stored), name
        assert after.bypassed == before.bypassed + 2, name


@everywhere
def test_names_of_clocks_in_text_are_only_text(database: str, m: Library) -> None:
    """The tokens count: `now` inside a parameter or another string is cacheable."""
    calm = m.Author.filter(name="now()").exclude(name="CURRENT_TIMESTAMP").order_by("pk")
    list(calm)
    assert querycache.explain(calm).hit
    text = m.Author.annotate(x=RawSQL("'random() known'", ()))
    assert querycache.explain(text).cacheable


@everywhere
def test_a_query_without_a_table_is_never_cached(database: str, m: Library) -> None:
    # `Q.check` asks the database about values alone.
    assert_left_alone(lambda: Q(name="x").check({"name": Value("x")}, using=database))


# -- the database's own affairs ----------------------------------------------------------------

CATALOGUES = {
    "sqlite": ("SELECT 1 FROM sqlite_master", "SELECT 1 FROM pragma_table_info('library_book')"),
    "mysql": ("SELECT 1 FROM information_schema.tables", "SELECT 1 FROM mysql.user"),
    "postgresql": (
        "SELECT 1 FROM pg_class",
        "SELECT 1 FROM pg_catalog.pg_tables",
        "SELECT 1 FROM information_schema.columns",
    ),
}


def _keys(queryset: Any) -> list[Any]:
    return [row.pk for row in queryset.all()]


@everywhere
def test_system_catalogues_are_never_cached(database: str, m: Library) -> None:
    for text in CATALOGUES[connections[database].vendor]:
        queryset = m.Author.filter(pk__in=RawSQL(text, ()))
        assert assert_left_alone(partial(_keys, queryset)) == [1]
        explanation = querycache.explain(queryset)
        assert not explanation.cacheable, text
        assert explanation.reason.startswith(("it reads the ", "the function pragma_"))


@everywhere
def test_a_temporary_table_stays_with_its_connection(database: str, m: Library) -> None:
    names = m.Genre.order_by("pk").values_list("name", flat=True)
    real = list(names.all())
    assert querycache.explain(names).hit
    with connections[database].cursor() as cursor:
        kind = "TEMPORARY" if database == "mariadb" else "TEMP"
        cursor.execute(f"CREATE {kind} TABLE library_genre (id integer, name varchar(50))")
        cursor.execute("INSERT INTO library_genre (id, name) VALUES (1, 'shadow')")
    try:
        # The real one's rows were a hit a moment ago.
        assert assert_left_alone(lambda: list(names.all())) == ["shadow"]
        assert querycache.explain(names).reason == "it reads a temporary table"
        assert elsewhere(lambda: list(names.all())) == real
        assert list(names.all()) == ["shadow"]
    finally:
        connections[database].close()
    assert list(names.all()) == real


# -- reads that are not queries of ours --------------------------------------------------------


@everywhere
def test_raw_querysets_are_left_alone_and_right(database: str, m: Library) -> None:
    def names() -> list[str]:
        return [a.name for a in m.Author.raw("SELECT * FROM library_author ORDER BY id")]

    first = assert_left_alone(names)
    m.Author.filter(pk=1).update(name="new")
    assert assert_left_alone(names) == ["new", *first[1:]]
    with pytest.raises(TypeError, match="RawQuerySet"):
        querycache.explain(m.Author.raw("SELECT * FROM library_author"))


@everywhere
def test_the_select_within_an_update_is_left_alone(database: str, m: Library) -> None:
    def update() -> None:
        # Sets columns of both tables, so Django first selects the keys of the rows.
        m.Shop.filter(name__startswith="K").update(name="Kiosk", stock=F("stock") + 1)

    asked: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    with connections[database].execute_wrapper(note):
        assert_left_alone(update, times=3)
    assert sum(sql.startswith("SELECT") for sql in asked) == 3
    assert m.Shop.get(name="Kiosk").stock == 13


# -- values ------------------------------------------------------------------------------------


class Odd:
    """A value that no codec and no key knows."""

    def __init__(self, text: object = b"") -> None:
        self.text = text

    def __conform__(self, protocol: object) -> str:
        return "Ann Arbor"


@pytest.fixture
def odd_floats() -> Iterator[None]:
    sqlite3.register_converter("real", Odd)
    yield
    del sqlite3.converters["REAL"]


@on_sqlite
@pytest.mark.usefixtures("odd_floats")
def test_a_value_that_cannot_be_encoded_is_not_stored(database: str, m: Library) -> None:
    for _ in range(2):
        before = querycache.stats()
        rows = list(m.Thing.order_by("pk").values_list("ratio", flat=True))
        after = querycache.stats()
        assert [type(row) for row in rows] == [Odd] * 3
        assert (after.stored, after.hits, after.misses) == (
            before.stored,
            before.hits,
            before.misses + 1,
        )


@on_sqlite
def test_a_parameter_that_cannot_be_keyed_bypasses(database: str, m: Library) -> None:
    odd = m.Author.filter(name=RawSQL("%s", (Odd(),)))
    before = querycache.stats().bypassed
    assert [a.pk for a in assert_left_alone(lambda: list(odd.all()))] == [1]
    assert querycache.stats().bypassed == before + 2
    explanation = querycache.explain(odd)
    assert not explanation.cacheable
    assert explanation.reason.endswith(".Odd cannot be part of a key")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_results_above_the_limits_are_not_stored(database: str) -> None:
    m = Library(database)
    configure(STORE="memory://", MAX_ROWS=4)
    populate(m)
    assert len(assert_left_alone(lambda: list(m.Author.all()))) == 5
    list(m.Author.all()[:4])
    assert querycache.explain(m.Author.all()[:4]).hit

    configure(STORE="memory://", MAX_BYTES=600)
    long = m.Author.create(name="x" * 90).pk
    m.Author.bulk_create(Author(name="y" * 90) for _ in range(6))
    assert len(assert_left_alone(lambda: list(m.Author.filter(pk__gte=long)))) == 7
    list(m.Author.filter(pk=long))
    assert querycache.explain(m.Author.filter(pk=long)).hit


@everywhere
def test_a_custom_expression_with_hidden_tables_is_seen_through(database: str, m: Library) -> None:
    class Reviews(Func):
        """Hides a table in its template."""

        template = "(SELECT COUNT(*) FROM library_review WHERE book_id = %(expressions)s)"

    counted = m.Book.annotate(n=Reviews(F("pk"))).order_by("pk").values_list("n", flat=True)
    first = list(counted.all())
    assert querycache.explain(counted).dependencies == ("library_book", "library_review")
    assert querycache.explain(counted).hit
    m.Review.create(book_id=1, stars=1)
    assert list(counted.all()) == [first[0] + 1, *first[1:]]


@everywhere
def test_settings_that_leave_tables_out(database: str) -> None:
    m = Library(database)
    configure(STORE="memory://", EXCLUDE=["library.Review"])
    populate(m)
    assert_left_alone(lambda: list(m.Review.all()))
    assert_left_alone(lambda: list(m.Book.filter(reviews__stars=1)))
    assert_left_alone(lambda: list(m.Book.filter(pk__in=m.Review.values("book"))))
    list(m.Author.all())
    assert querycache.explain(m.Author.all()).hit
    with override_settings(QUERYCACHE={"STORE": "memory://", "ONLY": ["library.Author"]}):
        list(m.Author.all())
        assert querycache.explain(m.Author.all()).hit
        assert_left_alone(lambda: list(m.Author.filter(books__pages__gt=1)))
        assert_left_alone(lambda: list(m.Genre.all()))

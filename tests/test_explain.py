"""`explain()` says what the next read will do, and every reason that it can give."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models.expressions import RawSQL
from django.db.models.functions import Random
from django.db.models.sql.query import ExplainInfo  # type: ignore[attr-defined]
from django.test import override_settings

import querycache
from querycache.cache import QueryCache
from querycache.entries import MAC_BYTES
from querycache.explanation import Explanation
from querycache.state import transaction_of
from querycache.stores.base import StoreError
from tests.environment import DATABASES, STORES, configure, elsewhere
from tests.explaining import cache_of, explained, missed, refused
from tests.shapes.dataset import Library, populate


@pytest.fixture
def m(database: str, cache: QueryCache) -> Library:
    library = Library(database)
    populate(library)
    return library


everywhere = pytest.mark.parametrize("database", DATABASES, indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


# -- what is said of a hit ---------------------------------------------------------------------


@everywhere
def test_before_and_after(m: Library, database: str) -> None:
    books = m.Book.filter(author__name__contains="o").order_by("pk")
    # Writes made the stamps of the tables, a first read makes that of the whole database.
    list(m.Genre.all())
    assert missed(books) == "the store has no entry for it"
    rows = list(books.all())
    found = explained(books)
    assert found.hit
    assert found.reason == "the entry is valid"
    assert found.dependencies == ("library_author", "library_book")
    assert "library_author" in found.sql
    entry = cache_of().store.read((found.key or "").encode(), ())[0]
    assert entry is not None
    assert found.size == len(entry) > MAC_BYTES + len(rows)
    assert found.age is not None
    assert 0 <= found.age < 600
    lines = str(found).splitlines()
    assert lines[0] == "hit: the entry is valid"
    assert lines[1] == "dependencies: library_author, library_book"
    assert lines[2] == "columns of library_author: id, name"
    assert lines[3] == f"key: {found.key}"
    assert lines[4] == f"entry: {found.size} bytes"
    assert lines[5].startswith("age: ")
    # The same question has the same key, another one has not.
    assert explained(books.all()).key == found.key
    assert explained(books.filter(pages=1)).key != found.key
    m.Author.filter(pk=1).update(name="new")
    assert missed(books) == "a table was written since the entry was stored"
    assert explained(books).size == found.size


@on_sqlite
def test_it_says_what_the_next_read_does(m: Library) -> None:
    asked = [
        m.Book.all(),
        m.Book.values("pk").union(m.Author.values("pk")),
        m.Book.none(),
        m.Book.order_by("?"),
        m.Book.select_for_update(),
        m.Author.filter(books__genres__name="ode"),
        querycache.bypass(m.Genre.all()),
    ]
    for queryset in asked * 2:
        said = explained(queryset)
        before = querycache.stats()
        list(queryset.all())
        after = querycache.stats()
        assert (after.hits > before.hits) == said.hit
        assert (after.misses > before.misses) == (said.cacheable and not said.hit)


@on_sqlite
def test_the_age_grows_and_restarts(m: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    list(m.Author.all())
    now = time.time()
    monkeypatch.setattr("querycache.explanation.time.time", lambda: now + 100)
    age = explained(m.Author.all()).age
    assert age is not None
    assert 90 < age < 110
    # A clock that was set back makes nothing older than new.
    monkeypatch.setattr("querycache.explanation.time.time", lambda: now - 100)
    assert explained(m.Author.all()).age == 0.0


# -- not cacheable -----------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize("wrong", [None, 1, "SELECT 1", User, [], User.objects])
def test_only_querysets_are_explained(cache: QueryCache, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
        querycache.explain(wrong)


@everywhere
def test_reasons_of_the_query(m: Library, database: str) -> None:
    vendor = connections[database].vendor
    random_call = "random" if vendor == "postgresql" else "rand"
    catalogue = {
        "sqlite": ("sqlite_master", "it reads the database's own catalogue (sqlite_master)"),
        "postgresql": ("pg_class", "it reads the database's own catalogue (pg_class)"),
        "mysql": ("information_schema.tables", "it reads the schema information_schema"),
    }[vendor]
    reasons: dict[str, Any] = {
        "it is known to be empty and runs no query": m.Book.none(),
        "bypass() was called for it": querycache.bypass(m.Book.all()),
        catalogue[1]: m.Book.filter(pk__in=RawSQL(f"SELECT 1 FROM {catalogue[0]}", ())),
        "the function unknown_one may change from call to call or read what no stamp covers;"
        " DEPENDS can declare it": m.Book.annotate(x=RawSQL("unknown_one()", ())),
        f"the function {random_call} may change from call to call or read what no stamp"
        " covers": m.Book.annotate(x=Random()),
        "it is not one plain SELECT": m.Book.extra(where=["1 = 1; SELECT 2"]),
    }
    if connections[database].features.has_select_for_update:
        reasons["it locks rows (select_for_update)"] = m.Book.select_for_update()
        reasons["it locks rows"] = m.Book.filter(
            pk__in=RawSQL("SELECT id FROM library_book FOR UPDATE", ())
        )
    if vendor == "mysql":
        reasons["it reads another database (other)"] = m.Book.filter(
            pk__in=RawSQL("SELECT id FROM other.t", ())
        )
    writing = "EXISTS (SELECT 1 INTO x FROM library_book)"
    assert refused(m.Book.extra(where=[writing])) == "it is not one plain SELECT"
    for reason, queryset in reasons.items():
        with transaction.atomic(using=database):
            assert refused(queryset) == reason


@on_sqlite
def test_an_explain_query(m: Library) -> None:
    queryset = m.Book.all()
    queryset.query.explain_info = ExplainInfo(None, {})
    assert refused(queryset) == "it is an EXPLAIN"


@on_sqlite
def test_a_query_of_no_table(m: Library) -> None:
    constant = m.Book.annotate(one=RawSQL("1", ())).values("one")
    assert explained(constant).dependencies == ("library_book",)
    # Only Django's own checks ask without a table; the plan is what refuses them.
    state = transaction_of(connections[m.alias])
    assert state.database.plan(state, "SELECT 1 AS a", tuple).reason == "it reads no table"


@on_sqlite
def test_a_parameter_that_cannot_be_keyed(m: Library) -> None:
    odd = m.Author.filter(name=RawSQL("%s", (object(),)))
    found = explained(odd)
    assert found.reason == "a parameter of type builtins.object cannot be part of a key"
    assert not found.cacheable
    assert found.dependencies == ("library_author",)


@everywhere
def test_a_temporary_table(m: Library, database: str) -> None:
    kind = "TEMPORARY" if database == "mariadb" else "TEMP"
    with connections[database].cursor() as cursor:
        cursor.execute(f"CREATE {kind} TABLE library_genre (id integer, name varchar(50))")
    found = explained(m.Genre.all())
    assert (found.cacheable, found.reason) == (False, "it reads a temporary table")
    assert found.dependencies == ("library_genre",)


@on_sqlite
def test_reasons_of_the_settings(database: str) -> None:
    m = Library(database)
    configure(STORE="memory://", EXCLUDE=["library.Review"])
    assert refused(m.Review.all()) == "its model is left out by EXCLUDE or ONLY"
    assert refused(m.Book.filter(reviews__stars=1)) == (
        "the table library_review is left out by EXCLUDE or ONLY"
    )
    configure(STORE="memory://", DATABASES=["default"])
    assert refused(m.Book.all()) == "the database sqlite is not among DATABASES"
    with override_settings(QUERYCACHE={"MODE": "off"}):
        assert refused(m.Book.all()).startswith("querycache is off")


@everywhere
def test_reasons_of_the_moment(m: Library, database: str) -> None:
    with querycache.disabled():
        assert refused(m.Book.all()) == "it is within disabled()"
        with querycache.enabled():
            assert explained(m.Book.all()).cacheable
    with transaction.atomic(using=database):
        transaction.set_rollback(True, using=database)
        assert refused(m.Book.all()) == "the transaction is broken"


@everywhere
def test_a_function_that_could_not_be_looked_up(m: Library, database: str) -> None:
    connection: Any = connections[database]
    asked = m.Book.annotate(x=RawSQL("qc_never_seen(pages)", ()))
    list(m.Book.all())  # which reads the catalogue
    real = connection.create_cursor

    class Broken:
        """A driver's cursor whose server has gone."""

        def execute(self, *args: object) -> None:
            raise connection.Database.OperationalError("gone")

        def close(self) -> None: ...

    connection.create_cursor = lambda name=None: Broken()
    try:
        assert refused(asked) == "the function qc_never_seen could not be looked up"
    finally:
        connection.create_cursor = real
    assert refused(asked).startswith("the function qc_never_seen may change from call to call")


# -- no hit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_url", STORES, indirect=True)
@on_sqlite
def test_stamps_that_are_not_there_or_being_written(database: str, store_url: str) -> None:
    configure(STORE=store_url, KEY_PREFIX=f"x{random.getrandbits(40)}", LEASE=60)
    m = Library(database)
    genres = m.Genre.all()
    being_written = "is being written, or was and its quarantine runs"
    durable = store_url.startswith(("memory", "lmdb"))
    # Reading the catalogue has asked for the stamp of the whole database.
    assert missed(genres) == (
        "the store has no entry for it" if durable else f"the database as a whole {being_written}"
    )
    list(genres.all())
    transaction_state = transaction_of(connections[database])
    stamp_keys = transaction_state.database.stamp_keys(["library_genre"])
    cache = cache_of()
    lease = cache.begin(stamp_keys)
    assert lease is not None
    if not durable:
        assert missed(genres) == f"the database as a whole {being_written}"
    else:
        assert missed(genres) == f"library_genre as a whole {being_written}"
        cache.end(stamp_keys, lease)
        assert missed(genres) == "a table was written since the entry was stored"


@on_sqlite
def test_a_store_that_is_down(m: Library) -> None:
    cache = cache_of()
    list(m.Genre.all())
    real = cache.store.read

    def broken(*args: object) -> Any:
        raise StoreError("it burns")

    cache.store.read = broken  # type: ignore[method-assign,assignment]
    try:
        found = querycache.explain(m.Genre.all())
        assert found.reason == "the store failed: it burns"
        assert found.cacheable
        assert not found.hit
        # By now the breaker is open.
        assert querycache.explain(m.Genre.all()).reason == "the store is down"
    finally:
        cache.store.read = real  # type: ignore[method-assign]


@on_sqlite
def test_a_damaged_entry(m: Library) -> None:
    list(m.Genre.all())
    found = explained(m.Genre.all())
    key = (found.key or "").encode()
    store = cache_of().store
    entry = store.read(key, ())[0]
    assert entry is not None
    store.write(key, entry[:-1], 60)
    assert missed(m.Genre.all()) == "the entry is damaged or not ours"


@on_sqlite
def test_shadow_mode(database: str) -> None:
    configure(STORE="memory://", MODE="shadow")
    m = Library(database)
    populate(m)
    list(m.Genre.all())
    reason = missed(m.Genre.all())
    assert reason == 'the entry is valid; MODE is "shadow", so it is only compared'
    assert explained(m.Genre.all()).age is not None


# -- other places ------------------------------------------------------------------------------


@everywhere
def test_other_connections_see_the_same(m: Library) -> None:
    list(m.Genre.order_by("pk"))
    ask: Callable[[], Explanation] = lambda: explained(m.Genre.order_by("pk"))  # noqa: E731
    here = ask()
    there = elsewhere(ask)
    assert there.hit
    assert (there.key, there.size) == (here.key, here.size)


@on_sqlite
def test_it_leaves_the_queryset_as_it_was(m: Library) -> None:
    queryset = m.Book.select_related("author").filter(pages__gt=60)
    before = str(queryset.query)
    explained(queryset)
    assert queryset._result_cache is None
    assert str(queryset.query) == before
    assert len(queryset) == 7


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_locking_outside_a_transaction_is_explained_as_well(m: Library) -> None:
    found = querycache.explain(m.Book.select_for_update())
    assert not found.cacheable
    assert found.reason == "select_for_update cannot be used outside of a transaction."

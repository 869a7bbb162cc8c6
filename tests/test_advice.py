"""`manage.py querycache advise`: what the stamps show of writes, and what follows from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from querycache import advice, install
from querycache.advice import Observed, Written, of_store, of_tables
from querycache.cache import QueryCache
from querycache.dependencies import Database
from querycache.state import transaction_of
from querycache.stores.base import StoreInfo
from tests.environment import STORES, configure, elsewhere
from tests.library.models import Author, Publisher
from tests.watching import alias_of

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SHARED = pytest.mark.parametrize(
    "store_url", [store for store in STORES if store != "memory"], indirect=True
)


@pytest.fixture
def cache(database: str, store_url: str) -> Iterator[QueryCache]:
    """querycache, whose store has settled stamps of the tables."""
    prefix = f"advice{os.urandom(4).hex()}"
    cache = configure(STORE=store_url, LEASE=0.2, KEY_PREFIX=prefix).cache
    Publisher.objects.using(database).create(pk=1, name="first")
    Author.objects.using(database).create(pk=1, name="Ann")
    keys = [key for model in (Publisher, Author) for key in observed(database, model).keys]
    while cache.usable(keys, cache.store.stamps(keys)) is None:
        pass
    yield cache
    install.uninstall()


def observed(alias: str, model: Any) -> Observed:
    """Return the table of a model, not looked at yet."""
    name = model._meta.db_table
    return Observed(Written(alias, name, model._meta.label, True), database_of(alias))


def database_of(alias: str) -> Database:
    return transaction_of(connections[alias]).database


def look(cache: QueryCache, table: Observed) -> Written:
    table.see(cache.store.stamps(table.keys))
    return table.written


WRITES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "update of all": (lambda rows: rows.update(name="x"), 1),
    "update by a condition": (lambda rows: rows.filter(name="Ann").update(name="x"), 1),
    "update by key": (lambda rows: rows.filter(pk=1).update(name="x"), 0),
    "save": (lambda rows: rows.get(pk=1).save(), 0),
    "save of a field": (lambda rows: rows.get(pk=1).save(update_fields=["name"]), 0),
    "create": (lambda rows: rows.create(name="x"), 0),
    "create with a reference": (lambda rows: rows.create(name="x", mentor_id=1), 0),
    # Others' mentor goes.
    "delete by key": (lambda rows: rows.filter(pk=1).delete(), 1),
}


class TestStamps:
    @SQLITE
    @pytest.mark.parametrize("store_url", STORES, indirect=True)
    @pytest.mark.parametrize("write", WRITES)
    def test_a_write_is_seen(self, cache: QueryCache, database: str, write: str) -> None:
        author, publisher = observed(database, Author), observed(database, Publisher)
        for table in (author, publisher):
            look(cache, table)
        act, whole = WRITES[write]
        elsewhere(lambda: act(Author.objects.using(database)))
        found = look(cache, author)
        assert (found.writes, found.whole, found.busy, found.lost) == (1, whole, 0, 0)
        assert 0 <= cache.store.clock().wall - found.wall < 60_000
        assert look(cache, author).writes == 1
        assert look(cache, publisher).writes == 0

    @SQLITE
    def test_reads_are_no_writes(self, cache: QueryCache, database: str) -> None:
        table = observed(database, Author)
        look(cache, table)
        for _ in range(3):
            list(Author.objects.using(database).all())
            Author.objects.using(database).get(pk=1)
        assert look(cache, table).writes == 0

    def test_one_that_is_under_way(self, cache: QueryCache, database: str) -> None:
        table = observed(database, Author)
        look(cache, table)
        transaction_ = transaction_of(connections[database])
        with transaction_.writing([Author._meta.db_table]):
            assert look(cache, table).busy == 1
            assert table.written.writes == 0
        assert look(cache, table).busy == 1
        assert table.written.writes == 1

    @pytest.mark.parametrize("store_url", ["redis", "memcached"], indirect=True)
    @SQLITE
    def test_a_stamp_that_is_lost_tells_of_no_write(self, cache: QueryCache, database: str) -> None:
        table = observed(database, Author)
        look(cache, table)
        cache.store.delete(table.keys[0])
        assert look(cache, table).lost == 1
        while cache.usable(table.keys, cache.store.stamps(table.keys)) is None:
            look(cache, table)
        found = look(cache, table)
        assert (found.writes, found.busy, found.lost) == (0, 0, 1)
        Author.objects.using(database).filter(pk=1).update(name="x")
        assert look(cache, table).writes == 1


def told(*, seconds: float = 10.0, looks: int = 500, now: int = 10**12, **seen: Any) -> str:
    """Return the advice on one table of which this was seen."""
    written = Written("default", "shop_visit", "shop.Visit", **{"cached": True, **seen})
    return " ".join(of_tables([written], seconds, looks, now))


class TestAdvice:
    def test_what_is_seldom_written_stays(self) -> None:
        assert told(writes=9, whole=9, busy=2) == ""
        # Not by what was seen in a moment.
        assert told(writes=2, whole=2, busy=2, seconds=0.1, looks=3) == ""

    def test_any_row_often(self) -> None:
        found = told(writes=30, whole=20)
        assert found.startswith(
            "shop_visit is written at least every 0.5 s by statements that name"
        )
        assert 'EXCLUDE: ["shop.Visit"]' in found

    def test_certain_rows_often(self) -> None:
        found = told(writes=30, whole=9)
        assert found.startswith("certain rows of shop_visit are written at least every 0.33 s, so")
        assert 'EXCLUDE: ["shop.Visit"]' in found

    def test_busy(self) -> None:
        assert "shop_visit is being written 40% of the time" in told(busy=200)
        assert told(busy=90) == ""

    def test_left_out_and_quiet(self) -> None:
        day = 24 * 3600 * 1000
        assert told(cached=False, wall=10**12 - 3 * day) == (
            "shop_visit is left out, and was last written 3 days ago: it could be cached"
        )
        assert told(cached=False, wall=10**12 - day) == ""
        assert told(cached=False) == ""
        assert told(cached=False, writes=100, whole=100, busy=300) == ""

    def test_lost_stamps(self) -> None:
        assert "the store has lost stamps of shop_visit" in told(lost=1)

    @pytest.mark.parametrize(("used", "full"), [(74, False), (76, True), (None, False)])
    def test_room(self, used: int | None, full: bool) -> None:
        (*found,) = of_store(StoreInfo("lmdb", "1", used=used, limit=100))
        assert bool(found) is full
        assert of_store(StoreInfo("redis", "1", used=76)) == []


def advise(*arguments: str) -> Any:
    out = StringIO()
    call_command("querycache", "advise", *arguments, stdout=out)
    return json.loads(out.getvalue()) if "--json" in arguments else out.getvalue()


@pytest.fixture
def written_meanwhile(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two looks of the command all authors are written."""

    def writes(seconds: float) -> None:
        elsewhere(lambda: Author.objects.using(database).update(name="x"))

    monkeypatch.setattr("querycache.advice.sleep", writes)


@SQLITE
class TestCommand:
    @SHARED
    def test_watches_what_others_write(
        self, cache: QueryCache, database: str, written_meanwhile: None
    ) -> None:
        found = advise("--seconds=0.3", "--using", database, "--json")
        (written,) = found["written"]
        assert written["table"] == "library_author"
        assert written["model"] == "library.Author"
        assert written["writes"] == written["whole"] == found["looks"] - 1 > 2
        assert 'EXCLUDE: ["library.Author"]' in found["advice"][0]
        text = advise("--seconds=0.3", "--using", database)
        assert 'EXCLUDE: ["library.Author"]' in text
        assert "library_author" in text

    @pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
    def test_nothing_written(self, cache: QueryCache, database: str) -> None:
        found = advise("--seconds=0.05", "--json")
        assert (found["written"], found["advice"]) == ([], [])
        assert found["looks"] > 1
        assert found[f"served by {database}"].startswith("lmdb ")
        text = advise("--seconds=0.05")
        assert "nothing to change" in text

    @pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
    def test_two_aliases_of_one_database(
        self, cache: QueryCache, database: str, written_meanwhile: None
    ) -> None:
        with alias_of(database) as other:
            found = advise("--seconds=0.1", "--json")
        assert found[f"served by {database}"] == found[f"served by {other}"]
        (written,) = found["written"]
        assert (written["database"], written["table"]) == (database, "library_author")

    @pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
    def test_only_what_is_cached_and_asked_for(self, store_url: str, database: str) -> None:
        installed = configure(STORE=store_url, DATABASES=["default"], EXCLUDE=["library.Author"])
        assert f"served by {database}" not in advise("--seconds=0.01", "--json")
        tables = advice.tables_of("default", database_of("default"), installed.selection)
        cached = {table.written.model: table.written.cached for table in tables}
        assert (cached["library.Author"], cached["library.Publisher"]) == (False, True)

    def test_one_process_alone(self, cache: QueryCache) -> None:
        with pytest.raises(CommandError, match="memory store is of one process"):
            advise()

    @pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
    def test_wrong_times(self, cache: QueryCache, seconds: str) -> None:
        with pytest.raises(CommandError, match="--seconds must be more than 0"):
            advise(f"--seconds={seconds}")

    @pytest.mark.parametrize("store_url", ["lmdb"], indirect=True)
    def test_unknown_alias(self, cache: QueryCache) -> None:
        with pytest.raises(CommandError, match="did you mean 'default'"):
            advise("--using", "defualt")


def test_no_answer() -> None:
    configure(STORE="redis://somebody:s3cret@127.0.0.1:1/0", TIMEOUT=0.05)
    with pytest.raises(CommandError, match="cannot be used") as caught:
        advise("--seconds=0.1")
    assert "s3cret" not in str(caught.value)


def test_off() -> None:
    from django.conf import settings

    settings.QUERYCACHE = {"MODE": "off"}
    install.install()
    with pytest.raises(CommandError, match="off"):
        advise()


@pytest.mark.parametrize("store_url", ["lmdb", "redis"], indirect=True)
def test_a_transaction_counts_once(cache: QueryCache, database: str) -> None:
    table = observed(database, Author)
    look(cache, table)
    with transaction.atomic(using=database):
        for number in range(3):
            Author.objects.using(database).filter(pk=1).update(name=f"{number}")
            assert look(cache, table).writes == 0
    assert look(cache, table).writes == 1

"""A database names the store that serves it, and a process on another store finds out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections, transaction

import querycache
from querycache import asking_checks, install, journal, serving, watch
from querycache.models import Journal, ServingStore
from querycache.state import transaction_of
from querycache.stores import places
from tests.environment import configure
from tests.library.models import Thing
from tests.processes import Peer, Place, hit, read, save, second, write
from tests.sites import Sites, settle

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
    pytest.mark.parametrize(
        "database", ["sqlite", "sqlite_wal", "postgresql", "mariadb"], indirect=True
    ),
]


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks grow old when a test says so."""
    monkeypatch.setattr(watch, "LOOK_EVERY", 1e6)


@pytest.fixture
def sites(database: str, tmp_path: Path) -> Iterator[Sites]:
    found = Sites(tmp_path, database)
    yield found
    found.close()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "querycache.journal"]


def names_a_store(alias: str) -> bool:
    """Tell whether a database names a store, as the open transaction sees it."""
    return journal.look(connections[alias]).named is not None


def test_process_on_another_store_serves_nothing_and_says_so_once(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    settle(sites)
    for _ in range(3):
        sites.second()
        assert sites.read("two") == [0, 0]
        assert not sites.hit("two")
    assert sites.hit("one")
    assert len(said(caplog)) == 1
    assert "lmdb" in said(caplog)[0]
    assert "adopt" in said(caplog)[0]
    with sites.on("two"):
        rows = Thing.objects.using(sites.alias).order_by("pk").values_list("number", flat=True)
        assert "another store" in querycache.explain(rows).reason


def test_its_writes_reach_the_readers_within_a_second(sites: Sites) -> None:
    settle(sites)
    for value, how in enumerate((save, write), 1):
        with sites.on("two"):
            how(sites.alias, 1, value)
        sites.second("one")
        assert sites.read("one") == [value, 0]
        assert sites.hit("one")
        assert not Journal.objects.using(sites.alias).exists()
    with sites.on("two"):
        querycache.invalidate("library.Thing", using=sites.alias)
    sites.second("one")
    assert not sites.hit("one")


def test_without_the_row_they_would_be_missed(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.Claim, "judge", lambda *args: serving.Serving.OURS)
    settle(sites)
    sites.save("two", 1)
    sites.second("one")
    assert sites.read("one") == [0, 0]


def test_first_write_of_a_process_looks_before_it_commits(sites: Sites) -> None:
    settle(sites)
    with sites.on("two"), transaction.atomic(sites.alias):
        write(sites.alias, 1, 7)
    assert Journal.objects.using(sites.alias).count() == 1


def test_writes_are_refused_where_that_is_what_failures_mean(database: str, tmp_path: Path) -> None:
    sites = Sites(tmp_path, database, ON_STORE_FAILURE="raise")
    settle(sites)
    with pytest.raises(querycache.StoreUnavailable, match="another store"):
        sites.save("two", 1)
    sites.second()
    assert sites.read("one") == [0, 0]
    sites.close()


def test_store_that_is_in_use_is_not_replaced(sites: Sites) -> None:
    settle(sites)
    sites.age(serving.RENEW + 1)
    sites.second("one")
    sites.read("one")
    # Whoever uses it has said so.
    sites.age(serving.PATIENCE - serving.RENEW)
    sites.second("two")
    assert sites.read("two") == [0, 0]
    assert not sites.hit("two")
    assert sites.hit("one")


def test_store_that_nobody_uses_is_replaced(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    settle(sites)
    # Something from an earlier time, which others have written over since.
    with sites.on("two") as cache:
        found = transaction_of(connections[sites.alias]).database.watch
        found.until = float("inf")
        read(sites.alias)
        assert hit(sites.alias)
        assert cache.counters.stored
        found.expire()
    sites.save("one", 7)
    sites.age(serving.PATIENCE + 1)
    sites.second("two")
    # What was begun under the old one may still be on its way.
    assert sites.read("two") == [7, 0]
    assert not sites.hit("two")
    sites.age(serving.LOOK + 500)
    sites.second("two")
    assert [sites.read("two") for _ in range(2)] == [[7, 0]] * 2
    assert sites.hit("two")
    assert any("is served by" in text and "no longer by" in text for text in said(caplog))
    # The others find out before they serve anything.
    sites.save("two", 8)
    sites.second("one")
    assert sites.read("one") == [8, 0]
    assert not sites.hit("one")


def test_nothing_is_served_before_writes_of_the_old_store_are_over(sites: Sites) -> None:
    """A writer that looked before the move commits after it."""
    settle(sites)
    alias = sites.alias
    sites.age(serving.PATIENCE + 1)
    sites.second("two")
    assert sites.read("two") == [0, 0]
    # Announced to the old store alone.
    sites.save("one", 7)
    assert not Journal.objects.using(alias).exists()
    sites.second("two")
    assert sites.read("two") == [7, 0]


def test_without_the_wait_such_a_write_is_missed(sites: Sites) -> None:
    settle(sites)
    with sites.on("two") as cache:
        cache.claim.handover = 0
    sites.age(serving.PATIENCE + 1)
    sites.second("two")
    assert sites.read("two") == [0, 0]
    sites.second("two")
    assert sites.read("two") == [0, 0]
    sites.save("one", 7)
    sites.second("two")
    assert sites.read("two") == [0, 0]


def test_one_of_two_wins(sites: Sites) -> None:
    settle(sites)
    alias = sites.alias
    with journal.apart(connections[alias]) as other:
        named = journal.look(other).named
        assert named is not None
        assert journal.move(other, named, "a" * 32, "a", fresh=False)
        assert not journal.move(other, named, "b" * 32, "b", fresh=False)
    assert ServingStore.objects.using(alias).get().store == "a" * 32


def test_command_moves_a_database(sites: Sites) -> None:
    settle(sites)
    with sites.on("two"):
        read(sites.alias)
        assert ids(sites.alias) == ["querycache.W021"]
        assert server(sites.alias).startswith("ANOTHER STORE: lmdb")
        assert "/one" in manage("adopt", "--using", sites.alias)
        assert ids(sites.alias) == []
        assert server(sites.alias).startswith("lmdb")
    sites.save("two", 7)
    sites.second()
    assert sites.read("one") == sites.read("two") == [7, 0]
    assert not sites.hit("one")
    with sites.on("one"):
        assert ids(sites.alias) == ["querycache.W021"]


def manage(*arguments: str) -> str:
    out = StringIO()
    call_command("querycache", *arguments, stdout=out)
    return out.getvalue()


def server(alias: str) -> str:
    return str(json.loads(manage("status", "--json"))[f"served by {alias}"])


def ids(alias: str) -> list[str]:
    return [str(found.id) for found in asking_checks.check_serving(None, [alias])]


def test_emptied_store_is_the_same_store(database: str, tmp_path: Path) -> None:
    """It has lost who it is with everything else, and is told by the row."""
    import shutil

    sites = Sites(tmp_path, database)
    settle(sites)
    before = ServingStore.objects.using(database).get().store
    for files in (tmp_path / "one").glob("boot-*"):
        shutil.rmtree(files)
    sites.second()
    assert [sites.read("one") for _ in range(2)] == [[0, 0]] * 2
    assert sites.hit("one")
    assert ServingStore.objects.using(database).get().store == before
    sites.close()


def test_database_that_names_none_is_named_one(sites: Sites) -> None:
    settle(sites)
    ServingStore.objects.using(sites.alias).all().delete()
    sites.second("one")
    assert sites.read("one") == [0, 0]
    assert sites.hit("one")
    assert ServingStore.objects.using(sites.alias).count() == 1


def test_database_that_is_first_looked_at_in_a_transaction(sites: Sites) -> None:
    settle(sites)
    ServingStore.objects.using(sites.alias).all().delete()
    sites.second()
    with sites.on("one") as cache:
        hits = cache.counters.hits
        with transaction.atomic(sites.alias):
            assert read(sites.alias) == [0, 0]
            # What another connection wrote would keep a transaction of SQLite from writing.
            later = connections[sites.alias].vendor == "sqlite"
            assert names_a_store(sites.alias) is not later
            assert cache.counters.hits == hits + (not later)
        assert names_a_store(sites.alias)
        assert [read(sites.alias) for _ in range(2)] == [[0, 0]] * 2
        assert hit(sites.alias)
    assert sites.read("two") == [0, 0]
    assert not sites.hit("two")


def test_store_that_is_named_while_another_connection_writes(sites: Sites) -> None:
    if connections[sites.alias].vendor != "sqlite":
        pytest.skip("two may write at once")
    settle(sites)
    ServingStore.objects.using(sites.alias).all().delete()
    sites.second()
    with journal.apart(connections[sites.alias]) as other:
        journal._run(other, "BEGIN IMMEDIATE")
        assert sites.read("one") == [0, 0]
        assert not sites.hit("one")
        journal._run(other, "ROLLBACK")
    # Nor is that waited for longer than it takes.
    assert [sites.read("one") for _ in range(2)] == [[0, 0]] * 2
    assert sites.hit("one")


# -- memory://, which is a process's own ---------------------------------------------------------


def test_second_process_on_memory_serves_nothing(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    configure(named=True, STORE="memory://")
    Thing.objects.using(database).bulk_create(Thing(pk=pk, code=f"{pk}") for pk in (1, 2))
    assert [read(database) for _ in range(2)] == [[0, 0]] * 2
    assert hit(database)
    with Peer("fork", Place(database, {}, {})) as peer:
        assert [peer.call("read") for _ in range(2)] == [[0, 0]] * 2
        assert not peer.call("hit")
        peer.call("save", 1, 7)
        second(database)
        assert read(database) == [7, 0]
    assert hit(database)
    install.uninstall()


def test_next_store_in_the_same_process_serves_at_once(database: str) -> None:
    for value in (1, 2):
        configure(named=True, STORE="memory://")
        Thing.objects.using(database).update_or_create(pk=1, defaults={"number": value})
        assert [read(database) for _ in range(2)] == [[value]] * 2
        assert hit(database)
    install.uninstall()


def test_process_that_is_over_is_not_waited_for(database: str) -> None:
    configure(named=True, STORE="memory://", LEASE=0.1)
    Thing.objects.using(database).create(pk=1, code="1")
    child = f"process {2**22 + 1} of 1 on {places.machine()} {places._namespace()}"
    row = {"store": "a" * 32, "label": f"memory qc of {child}"}
    with journal.apart(connections[database]) as other:
        journal.forget_store(other)
        journal.claim(other, **row)
    second(database)
    read(database)
    assert ServingStore.objects.using(database).get().store != "a" * 32
    install.uninstall()

"""Writes that the store could not be told of are found in a table of their database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from django.db import DatabaseError, connections, transaction
from django.test.utils import CaptureQueriesContext

import querycache
from querycache import journal, watch
from querycache.keys import EVERYTHING
from querycache.models import Journal
from querycache.runtime import runtime, transaction_of
from querycache.watch import Watch
from tests.environment import elsewhere
from tests.hooks import hook_transactions
from tests.library.models import Publisher, Thing
from tests.outages import errors
from tests.processes import Peer, Place, cut, hit, mend, owes, read, save, second, write
from tests.stages import Stage, plant, staged

WRITES = ("write", "save")

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
    pytest.mark.parametrize(
        ("database", "store_url"),
        [
            ("sqlite", "lmdb"),
            ("sqlite_wal", "lmdb"),
            ("postgresql", "redis"),
            ("mariadb", "memcached"),
        ],
        indirect=True,
        ids=["sqlite", "sqlite_wal", "postgresql", "mariadb"],
    ),
]


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks grow old when a test says so."""
    monkeypatch.setattr(watch, "LOOK_EVERY", 1e6)


@pytest.fixture
def stage(database: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    hook_transactions(monkeypatch)
    with staged(database, STORE=store_url, LEASE=2) as found:
        # Processes share what is below the hooks.
        vars(found.cache)["store"] = found.store.inner
        yield found


@pytest.fixture
def place(stage: Stage) -> Place:
    """Two rows with zeros, which are in the cache."""
    config = stage.cache.config
    fill(stage)
    settings = {"STORE": config.store, "KEY_PREFIX": config.key_prefix, "LEASE": 2}
    return Place(stage.alias, connections.settings[stage.alias], settings)


def fill(stage: Stage) -> None:
    """Make the rows, and have them in the cache."""
    Thing.objects.using(stage.alias).bulk_create(Thing(pk=pk, code=f"{pk}") for pk in (1, 2))
    database = transaction_of(connections[stage.alias]).database
    plant(stage.store, database.stamp_keys({EVERYTHING, Thing._meta.db_table}))
    assert read(stage.alias) == [0, 0]
    assert hit(stage.alias)


@pytest.fixture
def peer(place: Place) -> Iterator[Peer]:
    with Peer("fork", place) as found:
        yield found


def rows(alias: str) -> list[str]:
    """Return what the journal has, the name of a writer that is not done as a star."""
    found = Journal.objects.using(alias).order_by("pk")
    return [row.dependency + "*" * bool(row.holder) for row in found]


TABLE = Thing._meta.db_table


# -- a writer that does not reach the store ------------------------------------------------------


@pytest.mark.parametrize("how", WRITES)
def test_process_that_noticed_nothing_sees_the_write_at_its_next_look(
    database: str, peer: Peer, how: str
) -> None:
    peer.call("cut")
    peer.call(how, 1, 7)
    assert peer.call("owes")
    assert rows(database) == [TABLE]
    # Its last look is still good, and the store knows nothing.
    assert read(database) == [0, 0]
    assert not owes(database)
    second(database)
    assert read(database) == [7, 0]
    assert hit(database)
    assert rows(database) == []


@pytest.mark.parametrize("how", WRITES)
def test_without_the_journal_the_write_is_never_seen(
    database: str, place: Place, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "record", lambda *args: None)
    monkeypatch.setattr(Watch, "record_after", lambda *args: True)
    with Peer("fork", place) as peer:
        peer.call("cut")
        peer.call(how, 1, 7)
        second(database)
        assert read(database) == [0, 0]


@pytest.mark.parametrize("how", WRITES)
def test_writer_that_dies_when_it_has_committed_has_left_word(
    database: str, place: Place, how: str
) -> None:
    with Peer("fork", place) as peer:
        peer.call("cut")
        peer.die("dying_write", how, 1, 7)
    assert rows(database) == [TABLE if how == "save" else f"{TABLE}*"]
    second(database)
    assert read(database) == [7, 0]
    # Nobody can tell that the writer of the row with a name is over.
    assert rows(database) == ([] if how == "save" else [f"{TABLE}*"])


def test_rollback_takes_the_row_along(database: str, stage: Stage, place: Place) -> None:
    cut(database)
    with transaction.atomic(database):
        write(database, 1, 7)
        transaction.set_rollback(True, database)
    assert rows(database) == []
    with connections[database].cursor() as cursor:
        cursor.execute("BEGIN")
        write(database, 1, 8)
        cursor.execute("ROLLBACK")
    assert rows(database) == []
    with connections[database].cursor() as cursor:
        cursor.execute("BEGIN")
        write(database, 1, 9)
        cursor.execute("COMMIT")
    assert rows(database) == [TABLE]


def test_row_of_a_write_that_is_still_to_come_outlasts_those_who_read_it(
    database: str, stage: Stage, peer: Peer
) -> None:
    cut(database)
    writer = stage.actor(lambda: write(database, 1, 7)).run_to("before execute")
    for _ in range(2):
        peer.call("second")
        assert peer.call("read") == [0, 0]
        assert rows(database) == [f"{TABLE}*"]
    # Entries of the time before the write are there once more when it comes.
    assert peer.call("hit")
    writer.run_to("after execute")
    peer.call("second")
    assert peer.call("read") == [7, 0]
    writer.finish()
    assert rows(database) == [TABLE]
    peer.call("second")
    assert peer.call("read") == [7, 0]
    assert rows(database) == []


def test_row_of_a_writer_that_was_killed_is_deleted_when_it_is_old(
    database: str, place: Place
) -> None:
    with Peer("fork", place) as peer:
        peer.call("cut")
        peer.die("dying_write", "write", 1, 7)
    for row in Journal.objects.using(database).all():
        # As by another program; the tables of querycache are never cached.
        Journal.objects.using(database).filter(pk=row.pk).update(written=row.written - 3600_001)
    second(database)
    assert read(database) == [7, 0]
    assert rows(database) == []


def test_statements_that_return_rows(database: str, stage: Stage) -> None:
    cut(database)
    # On SQLite it is over when its rows are fetched, which is when its name comes off.
    assert Publisher.objects.using(database).create(name="made").pk
    assert rows(database) == [Publisher._meta.db_table]


def test_statements_that_refuse_transactions(database: str, place: Place) -> None:
    statements = {
        "sqlite": "VACUUM",
        "postgresql": "CREATE INDEX CONCURRENTLY thing_number ON library_thing (number)",
        "mysql": "CREATE INDEX thing_number ON library_thing (number)",
    }
    vendor = connections[database].vendor
    cut(database)
    with connections[database].cursor() as cursor:
        cursor.execute(statements[vendor])
        if vendor != "sqlite":
            assert not any(row.endswith("*") for row in rows(database))
            cursor.execute(
                "DROP INDEX thing_number" + (" ON library_thing" if vendor == "mysql" else "")
            )


# -- recovery ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WRITES)
def test_nothing_is_served_after_an_outage_before_the_journal_was_read(
    database: str, stage: Stage, peer: Peer, how: str
) -> None:
    cut(database)
    assert read(database) == [0, 0]
    assert owes(database)
    peer.call("cut")
    peer.call(how, 1, 7)
    # Its last look was before the outage, and would be good for the rest of a second.
    mend(database)
    assert read(database) == [7, 0]
    assert not owes(database)
    assert hit(database)


def test_without_that_rule_what_happened_in_the_outage_is_missed(
    database: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(database)
    assert read(database) == [0, 0]
    peer.call("cut")
    peer.call("save", 1, 7)
    monkeypatch.setattr(Watch, "expire", lambda self: None)
    mend(database)
    assert read(database) == [0, 0]


@pytest.mark.parametrize("first", ["self", "peer"])
def test_two_processes_with_debts(database: str, peer: Peer, first: str) -> None:
    cut(database)
    peer.call("cut")
    write(database, 1, 7)
    peer.call("save", 2, 8)
    assert sorted(rows(database)) == [TABLE, TABLE]
    recoveries = [lambda: mend(database), lambda: peer.call("mend")]
    reads: list[Callable[[], list[int]]] = [lambda: read(database), lambda: peer.call("read")]
    for which in (0, 1) if first == "self" else (1, 0):
        recoveries[which]()
        assert [reads[which]() for _ in range(2)] == [[7, 8]] * 2
        # What one has told the store, the other need not tell.
        assert rows(database) == []
    assert hit(database)
    assert peer.call("hit")


def test_write_while_another_process_is_back_already(database: str, peer: Peer) -> None:
    peer.call("cut")
    cut(database)
    assert read(database) == [0, 0]
    peer.call("save", 1, 7)
    mend(database)
    assert read(database) == [7, 0]
    assert hit(database)
    # The other has not noticed yet that the store is back.
    peer.call("write", 2, 8)
    second(database)
    assert read(database) == [7, 8]
    peer.call("mend")
    assert peer.call("read") == [7, 8]
    assert rows(database) == []


def test_process_itself_serves_nothing_old_while_its_write_is_on_its_way(
    database: str, stage: Stage, place: Place
) -> None:
    cut(database, "begin")
    writer = stage.actor(lambda: save(database, 1, 7)).run_to("before commit")
    mend(database)
    assert read(database) == [0, 0]
    assert not owes(database)
    # The store is back, and its entry is valid as far as the store knows.
    writer.run_to("after commit")
    assert read(database) == [7, 0]
    writer.finish()
    assert read(database) == [7, 0]


@pytest.mark.parametrize("what", ["touch", "end"])
def test_store_that_takes_no_changes_serves_nothing(database: str, peer: Peer, what: str) -> None:
    peer.call("cut", "begin", what)
    peer.call("save", 1, 7)
    cut(database, "touch")
    second(database)
    assert [read(database) for _ in range(2)] == [[7, 0]] * 2
    assert rows(database) == [TABLE]
    mend(database)
    assert read(database) == [7, 0]
    assert rows(database) == []


def test_long_journals_are_read_to_their_end(
    database: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST_ROWS", 3)
    peer.call("cut")
    for value in range(1, 9):
        peer.call("save", 1, value)
    with journal.apart(connections[database]) as other:
        journal.record(other, {f"t{number}" for number in range(900)}, "")
    second(database)
    assert read(database) == [8, 0]
    assert rows(database) == []


def test_keys_that_are_used_again_are_other_rows(database: str, peer: Peer) -> None:
    if connections[database].vendor == "sqlite":
        pytest.skip("a transaction of SQLite reads no journal")
    peer.call("cut")
    restart = " RESTART IDENTITY" if connections[database].vendor == "postgresql" else ""
    for value in (1, 2):
        peer.call("save", 1, value)
        second(database)
        with transaction.atomic(database):
            # Who is in a transaction deletes nothing, and so remembers what the store knows.
            assert read(database) == [value, 0]
        with journal.apart(connections[database]) as other:
            journal._run(other, f"TRUNCATE querycache_journal{restart}")


# -- where looks may be made ---------------------------------------------------------------------


def test_looks_are_no_queries_of_the_project(database: str, place: Place) -> None:
    connection = connections[database]
    seen: list[str] = []

    def note(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        seen.append(sql)
        return execute(sql, params, many, context)

    with CaptureQueriesContext(connection) as queries, connection.execute_wrapper(note):
        for _ in range(3):
            second(database)
            assert read(database) == [0, 0]
    assert len(queries) == 0
    assert seen == []


def test_look_in_a_transaction(database: str, peer: Peer) -> None:
    peer.call("cut")
    with transaction.atomic(database):
        list(Thing.objects.using(database).filter(pk=2))
        before = read(database)
        second(database)
        if connections[database].vendor != "sqlite":
            peer.call("save", 1, 7)
            assert before == [0, 0]
            assert read(database) == [7, 0]
            # Whoever is in a transaction deletes nothing.
            assert rows(database) == [TABLE]
    second(database)
    read(database)
    assert rows(database) == []


def test_first_look_of_a_process_may_be_in_a_transaction(
    database: str, stage: Stage, place: Place
) -> None:
    transaction_of(connections[database]).database.watch._proven = False
    second(database)
    with without_journal(database), transaction.atomic(database):
        assert read(database) == [0, 0]
        # The transaction is none the worse for a table that is missing.
        write(database, 1, 7)
    assert read(database) == [7, 0]


def test_broken_transaction_is_left_alone(
    database: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    if connections[database].vendor != "postgresql":
        pytest.skip("an error breaks no transaction")
    with transaction.atomic(database):
        transaction.set_rollback(True, database)
        with connections[database].cursor() as cursor, pytest.raises(DatabaseError):
            cursor.execute("SELECT 1 FROM nowhere")
        second(database)
        with pytest.raises(DatabaseError):
            read(database)
    assert read(database) == [0, 0]
    assert said(caplog) == []


def test_threads_look_one_at_a_time(database: str, place: Place) -> None:
    found = transaction_of(connections[database]).database.watch
    second(database)
    with found._looking:
        # A thread that looks keeps nobody waiting.
        assert elsewhere(lambda: read(database)) == [0, 0]
        assert found.until == 0.0
    assert read(database) == [0, 0]
    assert found.until > 0.0


# -- without the table, and other settings -------------------------------------------------------


@contextmanager
def without_journal(alias: str) -> Iterator[None]:
    """Take the table away for a while."""
    with journal.apart(connections[alias]) as other:
        journal._run(other, "ALTER TABLE querycache_journal RENAME TO moved")
    try:
        yield
    finally:
        with journal.apart(connections[alias]) as other:
            journal._run(other, "ALTER TABLE moved RENAME TO querycache_journal")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of journals."""
    return [record.message for record in caplog.records if record.name == "querycache.journal"]


@pytest.mark.parametrize("how", [write, save], ids=WRITES)
def test_before_migrate_writes_are_remembered_by_their_process(
    database: str,
    place: Place,
    how: Callable[[str, int, int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    transaction_of(connections[database]).database.watch._proven = False
    with without_journal(database):
        second(database)
        assert read(database) == [0, 0]
        assert hit(database)
        assert said(caplog) == []
        cut(database)
        for value in (6, 7):
            # The transaction goes on without the row.
            how(database, 1, value)
        assert len(said(caplog)) == 1
        assert "the journal of" in said(caplog)[0]
        assert len(errors(caplog)) == 1
        mend(database)
        assert read(database) == [7, 0]
        assert hit(database)
        cut(database)
        how(database, 1, 8)
    # The debt stays the process's own.
    assert rows(database) == []
    mend(database)
    assert read(database) == [8, 0]


def test_tables_that_stay_away_are_told_of(
    database: str,
    place: Place,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "MISSING_FOR", 0.0)
    transaction_of(connections[database]).database.watch._proven = False
    with without_journal(database):
        for _ in range(3):
            second(database)
            assert read(database) == [0, 0]
    assert len(said(caplog)) == 1
    assert "run `manage.py migrate`" in said(caplog)[0]


def test_table_that_goes_away_is_noticed(database: str, place: Place) -> None:
    second(database)
    assert read(database) == [0, 0]
    with without_journal(database):
        second(database)
        assert [read(database) for _ in range(2)] == [[0, 0]] * 2
        second(database)
        assert read(database) == [0, 0]
        assert hit(database)
    second(database)
    assert read(database) == [0, 0]


def test_journal_that_cannot_be_read_keeps_its_database_out_of_the_cache(
    database: str, stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.call("cut")
    peer.call("save", 1, 7)
    with monkeypatch.context() as broken:
        broken.setattr(journal, "JOURNAL", "nowhere")
        second(database)
        for _ in range(3):
            assert read(database) == [7, 0]
            assert not hit(database)
    second(database)
    assert read(database) == [7, 0]
    assert hit(database)


def test_invalidation_that_the_store_does_not_hear(
    database: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unseen:
        # As another program would write.
        unseen.setattr(runtime, "current", None)
        save(database, 1, 7)
    assert peer.call("read") == [0, 0]
    cut(database)
    querycache.invalidate("library.Thing", using=database)
    assert rows(database) == [TABLE]
    peer.call("second")
    assert peer.call("read") == [7, 0]


def test_bounded_writes(database: str, store_url: str) -> None:
    with staged(database, STORE=store_url, LEASE=2, CONSISTENCY="bounded") as stage:
        vars(stage.cache)["store"] = stage.store.inner
        fill(stage)
        place = Place(database, {}, {})
        with Peer("fork", place) as peer:
            cut(database)
            for how, value in ((write, 6), (save, 7)):
                how(database, 1, value)
                assert rows(database) == [TABLE]
                peer.call("second")
                assert peer.call("read") == [value, 0]


def test_other_settings_leave_the_journal_alone(database: str, store_url: str) -> None:
    for choice in ("proceed", "raise"):
        with staged(database, STORE=store_url, ON_STORE_FAILURE=choice) as stage:
            vars(stage.cache)["store"] = stage.store.inner
            cut(database)
            with suppress(querycache.StoreUnavailable):
                write(database, 1, 7)
            assert rows(database) == []

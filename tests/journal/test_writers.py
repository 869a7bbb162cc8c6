"""Writes that the store could not be told of are found in a table of their database."""

from __future__ import annotations

import pytest
from django.db import connections, transaction

from querycache.models import Journal
from querycache.watch import Watch
from tests.journal.helpers import EVERYWHERE, TABLE, WRITES, rows
from tests.library.models import Publisher
from tests.processes import Peer, Place, cut, hit, owes, read, second, write
from tests.stages import Stage

pytestmark = EVERYWHERE


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

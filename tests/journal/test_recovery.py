"""What happens when processes find the store again, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connections, transaction

from querycache import journal
from querycache.breaker import RETRY
from querycache.watch import Watch
from tests.explaining import cache_of
from tests.journal.helpers import EVERYWHERE, TABLE, WRITES, rows
from tests.processes import Peer, Place, cut, hit, mend, owes, read, save, second, write
from tests.stages import Stage

pytestmark = EVERYWHERE


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
    monkeypatch.setattr(Watch, "expire", lambda self, quiet: None)
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


@pytest.mark.parametrize("mechanism", [True, False], ids=["with", "without"])
def test_nothing_is_served_until_writers_are_back_too(
    database: str, peer: Peer, mechanism: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("querycache.watch.clock", lambda: now[0])
    peer.call("cut")
    quiet = cache_of().quiet
    cut(database)
    cache_of().quiet = quiet if mechanism else 0.0
    assert read(database) == [0, 0]
    mend(database)
    assert read(database) == [0, 0]
    assert not owes(database)
    # What is read of the journal now would be good for a second.
    peer.call("save", 1, 7)
    now[0] += RETRY
    assert (read(database) == [7, 0]) is mechanism
    peer.call("mend")
    peer.call("read")
    now[0] += quiet - RETRY
    if mechanism:
        assert [read(database) for _ in range(2)] == [[7, 0]] * 2
        assert hit(database)


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

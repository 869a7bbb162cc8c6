"""Looks at the journal are made beside transactions, queries and threads, and disturb none."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connections, transaction
from django.test.utils import CaptureQueriesContext

from querycache.state import transaction_of
from tests.environment import elsewhere
from tests.journal.helpers import EVERYWHERE, TABLE, rows, said, without_journal
from tests.library.models import Thing
from tests.processes import Peer, Place, read, second, write
from tests.stages import Stage

pytestmark = EVERYWHERE


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

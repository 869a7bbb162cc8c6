"""Stamps that were lost, and what their companions say of writers that may be in flight."""

from __future__ import annotations

import secrets

import pytest

from querycache import stamps as protocol
from querycache.stores.redis import RedisStore
from querycache.stores.redis_scripts import MOST_KEYS
from tests.servers import RedisServer
from tests.stores.redis.helpers import open_, plain, settled

TABLE = b"qc:s:5a"
ROWS, OTHERS = TABLE + b"/0f", TABLE + b"/aa"
ONE, TWO = secrets.token_bytes(16), secrets.token_bytes(16)


@pytest.fixture
def store(server: RedisServer) -> RedisStore:
    """A store where the table's stamp is settled and its rows have none yet."""
    with plain(server) as client:
        client.delete(TABLE, ROWS, OTHERS)
    store = open_(server)
    settled(store, server, TABLE)
    return store


def lose(server: RedisServer, *stamps: bytes) -> None:
    with plain(server) as client:
        assert client.delete(*stamps) == len(stamps)


def kinds(store: RedisStore, *stamps: bytes) -> list[str]:
    """Return who has leases on each stamp; none: it is settled."""
    names = {ONE: "1", TWO: "2", protocol.QUARANTINE: "q"}
    found = store.stamps(stamps)
    assert all(protocol.is_settled(stamp) or protocol.is_writing(stamp) for stamp in found)
    return ["".join(sorted(names[token] for token in protocol.leases(one))) for one in found]


class TestReaders:
    def test_nobody_is_in_flight(self, store: RedisStore) -> None:
        (table,) = store.stamps([TABLE])
        rows, others = store.settle([ROWS, OTHERS])
        assert protocol.is_settled(rows)
        assert protocol.is_settled(others)
        assert store.stamps([TABLE, ROWS, OTHERS]) == [table, rows, others]

    def test_writer_in_flight_whose_lease_was_lost(
        self, store: RedisStore, server: RedisServer
    ) -> None:
        store.begin([TABLE, ROWS], ONE)
        lose(server, ROWS)
        (rows,) = store.settle([ROWS])
        assert protocol.is_writing(rows)
        assert kinds(store, TABLE, ROWS) == ["1", "q"]
        # The commit comes here: what had been stored under a settled stamp would be served.
        store.end([TABLE, ROWS], ONE)
        assert kinds(store, TABLE, ROWS) == ["", ""]

    def test_quarantine_is_over_when_the_companion_is_quiet(
        self, store: RedisStore, server: RedisServer
    ) -> None:
        store.begin([TABLE], ONE)
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["1", "q"]
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["1", "q"]
        store.end([TABLE], ONE)
        assert kinds(store, TABLE, ROWS) == ["", "q"]
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["", ""]

    def test_quarantine_of_the_companion(self, store: RedisStore, server: RedisServer) -> None:
        lose(server, TABLE)
        store.settle([ROWS])
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["q", "q"]

    def test_companion_was_lost_as_well(self, store: RedisStore, server: RedisServer) -> None:
        store.begin([TABLE, ROWS], ONE)
        lose(server, TABLE, ROWS)
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["q", "q"]
        # Another row's reader, and its table's quarantine is not over.
        store.settle([OTHERS])
        assert kinds(store, OTHERS) == ["q"]

    def test_companion_of_another_kind(self, store: RedisStore, server: RedisServer) -> None:
        with plain(server) as client:
            client.delete(TABLE)
            client.rpush(TABLE, "a list")
        store.settle([ROWS])
        assert kinds(store, TABLE, ROWS) == ["q", "q"]

    def test_answers_are_those_that_were_asked_for(self, store: RedisStore) -> None:
        for asked in ([ROWS, TABLE, OTHERS], [OTHERS, OTHERS, ROWS], [TABLE], []):
            assert store.settle(asked) == store.stamps(asked)

    def test_companion_that_another_call_asks_for(self, store: RedisStore) -> None:
        """Too many stamps for one script: those that are not beside their companions wait."""
        many = [b"%b/%x" % (TABLE, number) for number in range(MOST_KEYS + 1)]
        found = store.settle(many)
        assert [protocol.is_settled(stamp) for stamp in found] == [True] * (MOST_KEYS - 1) + [
            False
        ] * 2


class TestWriters:
    def test_begin(self, store: RedisStore) -> None:
        store.begin([TABLE, ROWS], ONE)
        assert kinds(store, TABLE, ROWS) == ["1", "1"]
        store.end([TABLE, ROWS], ONE)
        assert kinds(store, TABLE, ROWS) == ["", ""]

    def test_begin_beside_a_writer_whose_lease_was_lost(
        self, store: RedisStore, server: RedisServer
    ) -> None:
        store.begin([TABLE, ROWS], ONE)
        lose(server, ROWS)
        store.begin([TABLE, ROWS], TWO)
        store.end([TABLE, ROWS], TWO)
        assert kinds(store, TABLE, ROWS) == ["1", "q"]

    def test_renewal(self, store: RedisStore, server: RedisServer) -> None:
        store.begin([TABLE, ROWS], ONE)
        lose(server, ROWS)
        store.begin([TABLE, ROWS], ONE)
        assert kinds(store, TABLE, ROWS) == ["1", "1"]

    def test_end(self, store: RedisStore, server: RedisServer) -> None:
        store.begin([TABLE, ROWS], ONE)
        lose(server, ROWS)
        store.end([TABLE, ROWS], ONE)
        assert kinds(store, TABLE, ROWS) == ["", ""]

    def test_end_beside_a_writer_whose_lease_was_lost(
        self, store: RedisStore, server: RedisServer
    ) -> None:
        store.begin([TABLE, ROWS], ONE)
        store.begin([TABLE, ROWS], TWO)
        lose(server, ROWS)
        store.end([TABLE, ROWS], TWO)
        assert kinds(store, TABLE, ROWS) == ["1", "q"]

    def test_touch(self, store: RedisStore, server: RedisServer) -> None:
        store.touch([TABLE, ROWS])
        assert kinds(store, TABLE, ROWS) == ["", ""]
        store.begin([TABLE, ROWS], ONE)
        lose(server, ROWS)
        store.touch([TABLE, ROWS])
        assert kinds(store, TABLE, ROWS) == ["1", "q"]

    @pytest.mark.parametrize("step", ["begin", "touch"])
    def test_quarantine_is_over(self, store: RedisStore, step: str) -> None:
        store.begin([TABLE], ONE)
        store.settle([ROWS])
        store.end([TABLE], ONE)
        if step == "begin":
            store.begin([TABLE, ROWS], TWO)
            assert kinds(store, TABLE, ROWS) == ["2", "2"]
        else:
            store.touch([TABLE, ROWS])
            assert kinds(store, TABLE, ROWS) == ["", ""]

    def test_quarantine_beside_another_writer(self, store: RedisStore) -> None:
        store.begin([TABLE], ONE)
        store.settle([ROWS])
        store.begin([TABLE, ROWS], TWO)
        assert kinds(store, TABLE, ROWS) == ["12", "2q"]
        store.end([TABLE, ROWS], TWO)
        assert kinds(store, TABLE, ROWS) == ["1", "q"]

    def test_without_the_companion(self, store: RedisStore) -> None:
        """Nobody of ours does that; the script cannot know."""
        store.begin([ROWS], ONE)
        assert kinds(store, ROWS) == ["1q"]

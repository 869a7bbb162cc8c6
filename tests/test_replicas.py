"""Replicas of the database: they share the entries of their primary and add no old ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connections, transaction

import querycache
from querycache import install
from querycache import stamps as protocol
from querycache.state import transaction_of
from querycache.stores.base import Store
from tests.catalogue.triggers import Trigger
from tests.environment import Environment, add_database, elsewhere, remove_database
from tests.explaining import explained, missed
from tests.library.models import Genre
from tests.servers import PostgresReplica
from tests.snapshots.helpers import another_query, level_of, runs, write_without_the_store
from tests.stages import Register, plant, put, staged

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

stores = pytest.mark.parametrize(
    "store_url", ["memory", "lmdb", "redis", "memcached"], indirect=True
)

#: Longer than any test: what a test writes was written a moment ago.
MAX_LAG = 3600


class Pair:
    """A register on a primary, and the same row on a replica.

    Args:
        register: of the primary.
        alias: of the replica.
        server: that the replica is on; None where it is the primary's own.
    """

    def __init__(self, register: Register, alias: str, server: PostgresReplica | None) -> None:
        self.primary = register
        self.alias = alias
        self.server = server
        self.store: Store = register.stage.store
        self.replica = object.__new__(Register)
        self.replica.stage, self.replica.alias = register.stage, alias

    def let_pass(self) -> None:
        """Make the last write of everything one that was twice as long ago as the rule asks."""
        plant(self.store, self.primary.keys)
        for key, stamp in zip(self.primary.keys, self.store.stamps(self.primary.keys), strict=True):
            settled = protocol.parse_settled(stamp)
            assert settled is not None
            wall = settled.wall - 2 * MAX_LAG * 1000
            put(self.store, key, protocol.settled(settled.sequence, wall, settled.nonce))


@contextmanager
def pair_of(
    database: str,
    server: PostgresReplica | None,
    store_url: str = "memory://",
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Iterator[Pair]:
    """A primary and a replica that has everything, in a cache that knows which is which."""
    alias = "following"
    here = dict(connections.settings[database])
    there = {**here, "OPTIONS": {**here["OPTIONS"], **(options or {})}}
    if server is not None:
        there["PORT"] = str(server.port)
    with ExitStack() as stack:
        add_database(alias, there)
        stack.callback(remove_database, alias)
        replicas = {alias: {"of": database, "max_lag": MAX_LAG}}
        stage = stack.enter_context(staged(database, STORE=store_url, REPLICAS=replicas, **changes))
        pair = Pair(Register(stage), alias, server)
        pair.let_pass()
        if server is not None:
            server.catch_up()
            stack.callback(server.catch_up)
        yield pair


@pytest.fixture
def server(database: str, environment: Environment) -> PostgresReplica:
    return environment.replica


@stores
def test_entries_are_shared(database: str, server: PostgresReplica, store_url: str) -> None:
    with pair_of(database, server, store_url) as pair:
        assert pair.primary.read() == "old"
        assert runs(pair.alias, pair.replica.read) == []
        assert another_query(pair.alias) == ["old"]
        query = pair.replica.rows().order_by("pk")
        assert list(query) == ["old"]
        assert runs(database, lambda: list(query.using(database))) == []


@stores
def test_what_a_replica_gives_is_not_stored_soon_after_a_write(
    database: str, server: PostgresReplica, store_url: str
) -> None:
    with pair_of(database, server, store_url) as pair:
        server.lag()
        pair.primary.write()
        # As old as without the cache, and nobody else's.
        for _ in range(2):
            assert pair.replica.read() == pair.replica.fresh() == "old"
        assert pair.primary.read() == "new"
        assert pair.primary.hit
        # What the primary gave is served to all.
        assert pair.replica.read() == "new"
        assert pair.replica.fresh() == "old"


def test_a_write_in_flight(database: str, server: PostgresReplica) -> None:
    with pair_of(database, server) as pair:
        server.lag()
        writer = pair.primary.stage.actor(pair.primary.write_atomically).run_to("before end")
        assert pair.replica.read() == "old"
        writer.finish()
        assert pair.replica.read() == "old"
        assert pair.primary.read() == "new"


def test_the_time_is_asked_before_the_query_runs(database: str, server: PostgresReplica) -> None:
    """The answer of a query is of the time when it ran, not of the time when it came."""
    with pair_of(database, server) as pair:
        reader = pair.primary.stage.actor(pair.replica.read)
        reader._alias = pair.alias
        assert reader.finish() == "old"
        assert reader.trace.index("after clock") < reader.trace.index("before query")
        assert pair.primary.hit


def test_a_clock_that_tells_whole_seconds(database: str, server: PostgresReplica) -> None:
    """A write may have been over at the end of the tick that its stamp tells."""
    with pair_of(database, server) as pair:
        vars(pair.store)["tick"] = 2 * MAX_LAG * 1000
        pair.replica.read()
        assert not pair.primary.hit
        vars(pair.store)["tick"] = 1
        pair.replica.read()
        assert pair.primary.hit


def test_transactions_that_see_the_latest(database: str, server: PostgresReplica) -> None:
    with pair_of(database, server) as pair:
        server.lag()
        pair.primary.write()
        with transaction.atomic(pair.alias):
            assert pair.replica.read() == "old"
        assert pair.primary.read() == "new"
        with transaction.atomic(pair.alias):
            assert pair.replica.read() == "new"


def test_transactions_that_see_one_state(database: str, server: PostgresReplica) -> None:
    """The store's clock is of the primary's writes; the state of a replica is older by its lag."""
    options = {"isolation_level": level_of(database, "repeatable read")}
    with pair_of(database, server, options=options) as pair:
        with transaction.atomic(pair.alias):
            pair.replica.read()
        server.lag()
        pair.primary.write()
        with transaction.atomic(pair.alias):
            assert another_query(pair.alias) == ["old"]
            assert pair.replica.read() == pair.replica.fresh() == "old"
            assert "has its own view" in missed(pair.replica.rows().order_by("pk"))
        # The session differs, so these are the replica's own entries.
        elsewhere(pair.replica.read)
        server.catch_up()
        assert pair.replica.read() == "new"


def test_the_journal_is_the_primarys(
    database: str, server: PostgresReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica may lag behind with the journal as with any other table."""
    with pair_of(database, server) as pair:
        pair.primary.read()
        server.lag()
        write_without_the_store(pair.primary, monkeypatch)
        assert pair.replica.read() == "old"
        assert pair.primary.read() == "new"
        assert pair.replica.read() == "new"


def test_the_catalogue_is_the_primarys(database: str, server: PostgresReplica) -> None:
    """A replica may not have a trigger yet that the primary's writes have fired."""
    rename = "UPDATE library_publisher SET name = 'by a trigger';"
    with pair_of(database, server) as pair:
        server.lag()
        with Trigger("library_genre", "INSERT", rename).on(database):
            # The first to ask for the catalogue since it has changed.
            assert pair.replica.read() == "old"
            assert pair.primary.read() == "old"
            Genre.objects.using(database).create(name="crime")
            assert pair.primary.read() == pair.primary.fresh() == "by a trigger"


def test_writes_through_an_alias_that_mirrors(database: str) -> None:
    with pair_of(database, None) as pair:
        assert pair.primary.read() == "old"
        pair.replica.write("mirrored")
        assert pair.primary.read() == pair.replica.read() == "mirrored"
        with transaction.atomic(pair.alias):
            pair.replica.write("own")
            assert pair.replica.read() == "own"
            assert elsewhere(pair.primary.read) == "mirrored"
        assert pair.primary.read() == "own"


def test_hits_are_not_compared_with_a_replica_that_may_lag(
    database: str, server: PostgresReplica
) -> None:
    with pair_of(database, server, VERIFY=1.0, VERIFY_RAISES=True) as pair:
        server.lag()
        pair.primary.write()
        assert pair.primary.read() == pair.replica.read() == "new"
        assert querycache.stats().stale == 0
        # A difference that no lag explains is one.
        pair.let_pass()
        assert pair.primary.read() == "new"
        with pytest.raises(querycache.StaleHit):
            pair.replica.read()


def test_shadow_mode_serves_nothing(database: str, server: PostgresReplica) -> None:
    with pair_of(database, server, MODE="shadow") as pair:
        server.lag()
        pair.primary.write()
        assert pair.primary.read() == "new"
        assert pair.replica.read() == "old"
        assert querycache.stats().stale == 0


def test_explain(database: str, server: PostgresReplica) -> None:
    soon = "; what a replica gives is stored when the last write is longer ago than its max_lag"
    with pair_of(database, server) as pair:
        assert missed(pair.replica.rows()) == "the store has no entry for it"
        pair.replica.read()
        assert explained(pair.replica.rows()).hit
        pair.primary.write()
        assert missed(pair.replica.rows()) == (
            f"a table was written since the entry was stored{soon}"
        )
        assert missed(pair.primary.rows()) == "a table was written since the entry was stored"
        assert missed(pair.replica.rows().order_by("pk")) == f"the store has no entry for it{soon}"


def test_settings_that_change_under_an_open_connection(database: str) -> None:
    with pair_of(database, None) as pair:
        shared = transaction_of(connections[pair.alias]).database
        assert shared is transaction_of(connections[database]).database
        settings.QUERYCACHE = {"STORE": "memory://", "KEY_PREFIX": f"other{os.getpid()}"}
        install.install()
        # The same database under its own name: here that is the same.
        assert transaction_of(connections[pair.alias]).replica is None

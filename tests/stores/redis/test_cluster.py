"""The store on a real Redis Cluster: slots that move, nodes that fail over or are down."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores.base import Store, StoreError, StoreOptions
from querycache.stores.redis_cluster import ClusterStore
from querycache.testing import NewStore, StoreContract
from tests.servers import RedisCluster, RedisServer, cut_replication, required
from tests.servers.redis_groups import client, in_step, until
from tests.stores.calls import LONG, STAMP, answers, every_call
from tests.stores.redis.helpers import announced, fenced

TAGGED = b"{qc}:s:stamp"


def started(**options: Any) -> RedisCluster:
    with required():
        return RedisCluster(**options).start()


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisCluster]:
    """A cluster that no test changes."""
    with started(replicas=0) as cluster:
        yield cluster


@pytest.fixture
def own() -> Iterator[RedisCluster]:
    """A cluster of one test alone."""
    with started(password="s3same") as cluster:
        yield cluster


@pytest.fixture
def opened() -> Iterator[list[ClusterStore]]:
    stores: list[ClusterStore] = []
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def store(own: RedisCluster, opened: list[ClusterStore]) -> ClusterStore:
    return another(own, opened)


def another(cluster: RedisCluster, opened: list[ClusterStore]) -> ClusterStore:
    opened.append(ClusterStore.from_url(cluster.url, StoreOptions(lease=LONG, timeout=5.0)))
    return opened[-1]


def plant(cluster: RedisCluster, key: bytes, value: bytes | None) -> None:
    with client(cluster.owner_of(key)) as admin:
        if value is None:
            admin.delete(key)
        else:
            admin.set(key, value)


def settled(store: ClusterStore, cluster: RedisCluster, stamp: bytes = STAMP) -> bytes:
    store.info()
    plant(cluster, b"{qc}" + stamp[2:], protocol.settled(0, 0, secrets.token_bytes(16)))
    (found,) = store.settle([stamp])
    assert protocol.is_settled(found)
    return found


def entries_everywhere(cluster: RedisCluster) -> list[bytes]:
    """Return keys of entries on every node, as many on each."""
    found: dict[int, list[bytes]] = {}
    number = 0
    while len(found) < 3 or min(map(len, found.values())) < 3:
        entry = b"qc:e:%d" % number
        found.setdefault(cluster.owner_of(entry).port, []).append(entry)
        number += 1
    return [entry for entries in found.values() for entry in entries[:3]]


class TestClusterStore(StoreContract):
    largest = 8 * 1024 * 1024

    @pytest.fixture
    def new_store(self, shared: RedisCluster) -> NewStore:
        self.cluster = shared

        def new_store(options: StoreOptions) -> ClusterStore:
            store = ClusterStore.from_url(shared.url, options)
            # The first connection removes stamps of unknown origin, such as those that are planted.
            store.settle([f"{options.prefix}:s:first".encode()])
            return store

        return new_store

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        prefix = store.options.prefix.encode()
        plant(self.cluster, b"{%b}%b" % (prefix, stamp[len(prefix) :]), value)


def test_entries_are_spread_and_stamps_are_not(own: RedisCluster, store: ClusterStore) -> None:
    stamps = [b"qc:s:%d" % number for number in range(30)]
    store.settle(stamps)
    entries = entries_everywhere(own)
    for entry in entries:
        store.write(entry, entry, None)
        assert store.read(entry, stamps[:2])[0] == entry
    homes = {own.owner_of(b"{qc}" + stamp[2:]).port for stamp in stamps}
    homes |= {own.owner_of(b"{qc}:sequence").port, own.owner_of(b"{qc}:epoch").port}
    assert len(homes) == 1
    for node in own.primaries:
        with client(node) as admin:
            assert sum(admin.exists(e) for e in entries if own.owner_of(e) is node) == 3
    store.clear()
    for entry in entries:
        found = store.read(entry, stamps[:1])
        assert found[0] is None
        assert found[1] is not None


def test_one_seed_is_enough_and_it_may_be_a_replica(own: RedisCluster) -> None:
    (replica,) = own.replicas_of(own.primaries[0])
    url = f"redis+cluster://:s3same@127.0.0.1:1,127.0.0.1:{replica.port}"
    store = open_store(url, StoreOptions(timeout=5.0))
    for entry in entries_everywhere(own):
        store.write(entry, b"v", None)
        assert store.read(entry, [STAMP])[0] == b"v"
    assert "s3same" not in repr(store.info())
    store.close()


def test_slots_that_move_while_they_are_used(
    own: RedisCluster, store: ClusterStore, opened: list[ClusterStore]
) -> None:
    """No stamp comes back, none is settled during a write, and no call fails."""
    stamps = [b"qc:s:%d" % number for number in range(40)]
    for stamp in stamps:
        settled(store, own, stamp)
    entries = entries_everywhere(own)
    done = threading.Event()
    faults: list[str] = []
    retired: list[bytes | None] = []

    def write() -> None:
        writer = another(own, opened)
        try:
            while not done.is_set():
                for stamp in stamps:
                    token = secrets.token_bytes(16)
                    (old,) = writer.settle([stamp])
                    writer.begin([stamp], token)
                    retired.append(old)
                    if protocol.is_settled(writer.stamps([stamp])[0]):
                        faults.append("a stamp is settled during a write")
                    writer.end([stamp], token)
        except StoreError as error:
            faults.append(str(error))

    def read() -> None:
        reader = another(own, opened)
        try:
            while not done.is_set():
                for entry in entries:
                    reader.write(entry, entry, None)
                    over = set(retired)
                    value, *found = reader.read(entry, stamps)
                    if value != entry or len(found) != len(stamps):
                        faults.append("an entry was lost")
                    if any(protocol.is_settled(one) and one in over for one in found):
                        faults.append("a stamp came back")
        except StoreError as error:
            faults.append(str(error))

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        for key in (entries[0], entries[4], b"{qc}:s:0", entries[0], b"{qc}:s:0"):
            source = own.owner_of(key)
            target = next(node for node in own.primaries if node is not source)
            before = len(retired)
            until(lambda before=before: faults or len(retired) > before + 5, "no writes")  # type: ignore[misc]
            # Some keys are here and some are there for a while.
            own.move(key, target, keys=1)
            own.move(key, target)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert faults == []


def test_slot_that_stays_between_two_nodes(own: RedisCluster, store: ClusterStore) -> None:
    """One stamp has moved and another has not: each is found, both together are not."""
    settled(store, own)
    settled(store, own, b"qc:s:other")
    source = own.owner_of(TAGGED)
    target = next(node for node in own.primaries if node is not source)
    own.move(TAGGED, target, keys=1)
    impatient = ClusterStore.from_url(own.url, StoreOptions(lease=LONG, timeout=0.2))
    with pytest.raises(StoreError, match="under way"):
        impatient.stamps([STAMP, b"qc:s:other"])
    own.move(TAGGED, target)
    assert len(impatient.stamps([STAMP, b"qc:s:other"])) == 2
    impatient.close()


def test_failover_to_a_replica_that_lags(
    own: RedisCluster, store: ClusterStore, opened: list[ClusterStore]
) -> None:
    """What the new primary has is older than a write that was acknowledged."""
    home = own.owner_of(TAGGED)
    (heir,) = own.replicas_of(home)
    entry = next(e for e in entries_everywhere(own) if own.owner_of(e) is not home)
    old = settled(store, own)
    store.write(entry, b"of the old stamp", None)
    with client(heir) as admin:
        until(
            lambda: admin.dbsize() and TAGGED in set(admin.scan_iter()), "the replica does not copy"
        )
    cut_replication(home)
    token = secrets.token_bytes(16)
    store.begin([STAMP], token)
    store.end([STAMP], token)
    (new,) = store.stamps([STAMP])
    assert new != old
    with client(heir) as admin:
        # It is a replica: it tells nobody but this client.
        admin.execute_command("READONLY")
        assert admin.get(TAGGED) == old
    home.kill()
    own.fail_over(heir)
    late = another(own, opened)
    for one in (store, late):
        until(lambda one=one: answers(one), "the new primary is never used")  # type: ignore[misc]
        value, stamp = one.read(entry, [STAMP])
        assert value == b"of the old stamp"
        assert stamp is None or not protocol.is_settled(stamp)


def test_primary_that_was_replaced_while_it_did_not_answer(
    own: RedisCluster, opened: list[ClusterStore]
) -> None:
    """It does not know of its successor yet, and links to it are still open."""
    reader, writer = another(own, opened), another(own, opened)
    old = settled(reader, own)
    home = own.owner_of(TAGGED)
    (heir,) = own.replicas_of(home)
    home.pause()
    own.fail_over(heir)
    until(lambda: own.owner_of(TAGGED) is heir, "nobody knows the new primary")
    token = secrets.token_bytes(16)
    until(lambda: announced(writer, token), "the new primary is never used")
    fenced(heir, b"{qc}:epoch")
    home.resume()
    assert reader.stamps([STAMP]) != [old]
    assert token in protocol.leases(reader.stamps([STAMP])[0])


def test_another_node_than_theirs_is_asked_who_has_the_stamps(
    own: RedisCluster, store: ClusterStore
) -> None:
    """A node that was paused would not know that it has been replaced."""
    settled(store, own)
    home = own.owner_of(TAGGED)
    for node in own.primaries:
        with client(node) as admin:
            admin.config_resetstat()

    def asked(node: RedisServer) -> int:
        with client(node) as admin:
            found = admin.info("commandstats").get("cmdstat_cluster|slots", {"calls": 0})
            return int(found["calls"])

    def twice() -> bool:
        store.stamps([STAMP])
        return sum(map(asked, own.primaries)) >= 2

    until(twice, "nobody is asked")
    assert asked(home) == 0


def test_node_that_is_down(own: RedisCluster, store: ClusterStore) -> None:
    """An outage of the whole store, whichever node it is; and it is over when the node is back."""
    settled(store, own)
    home = own.owner_of(TAGGED)
    impatient = ClusterStore.from_url(own.url, StoreOptions(lease=LONG, timeout=0.1))
    home.pause()
    for call in (
        lambda: impatient.read(b"qc:e:x", [STAMP]),
        lambda: impatient.stamps([STAMP]),
        lambda: impatient.begin([STAMP], secrets.token_bytes(16)),
        lambda: impatient.settle([STAMP]),
        lambda: impatient.touch([STAMP]),
        impatient.clear,
        impatient.info,
    ):
        with pytest.raises(StoreError):
            call()
    home.resume()
    until(lambda: answers(impatient), "the store stays down")
    impatient.close()


def test_no_node_at_all(own: RedisCluster, store: ClusterStore) -> None:
    store.stamps([STAMP])
    for node in own.servers:
        node.kill()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()


def test_server_that_is_no_cluster() -> None:
    with required():
        server = RedisServer().start()
    with server:
        store = ClusterStore.from_url(
            server.url.replace("redis:", "redis+cluster:"), StoreOptions(timeout=5.0)
        )
        with pytest.raises(StoreError, match="cluster support disabled"):
            store.stamps([STAMP])
        store.close()


def test_two_failovers_with_links_from_before(
    own: RedisCluster, opened: list[ClusterStore]
) -> None:
    """The first primary comes back with what it had; the link to it was open all the time."""
    reader = another(own, opened)
    home = own.owner_of(TAGGED)
    (heir,) = own.replicas_of(home)
    settled(reader, own)
    until(lambda: in_step(heir), "the replica does not copy")
    own.fail_over(heir)
    until(lambda: in_step(home), "the old primary does not copy")
    writer = another(own, opened)
    until(lambda: answers(writer), "the new primary is never used")
    old = settled(writer, own)
    with client(home) as admin:
        until(lambda: admin.dbsize() and old in _values(admin), "the old primary lags")
    cut_replication(heir)
    token = secrets.token_bytes(16)
    writer.begin([STAMP], token)
    own.fail_over(home)
    until(lambda: own.owner_of(TAGGED) is home, "nobody knows the new primary")
    until(lambda: answers(reader), "the new primary is never used")
    assert reader.stamps([STAMP]) != [old]


def _values(admin: Any) -> list[bytes]:
    admin.execute_command("READONLY")
    return [admin.get(TAGGED)]

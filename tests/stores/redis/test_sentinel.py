"""The store behind real sentinels: failovers, and who is believed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from querycache import stamps as protocol
from querycache.stores import open_store
from querycache.stores.base import Store, StoreError, StoreOptions, StoreUnusable
from querycache.stores.redis_sentinel import SentinelStore
from querycache.testing import NewStore, StoreContract
from tests.servers import RedisSentinels, RedisServer, cut_replication, required
from tests.servers.redis_groups import client, role_of, until
from tests.stores.calls import ENTRY, LONG, STAMP, answers, every_call
from tests.stores.redis.helpers import announced, fenced


def started(**options: Any) -> RedisSentinels:
    with required():
        return RedisSentinels(**options).start()


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisSentinels]:
    """A group that no test changes."""
    with started(replicas=0) as group:
        yield group


@pytest.fixture
def own() -> Iterator[RedisSentinels]:
    """A group of one test alone."""
    with started(password="s3same", sentinel_password="w4tch") as group:
        yield group


@pytest.fixture
def another(own: RedisSentinels) -> Iterator[Callable[[], SentinelStore]]:
    """Open stores, each with connections of its own."""
    opened: list[SentinelStore] = []

    def another(**options: Any) -> SentinelStore:
        options = {"lease": LONG, "timeout": 5.0, **options}
        opened.append(SentinelStore.from_url(own.url, StoreOptions(**options)))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


def settled(store: Store, primary: RedisServer) -> bytes:
    until(lambda: answers(store), "the store is down")
    with client(primary) as admin:
        admin.set(STAMP, protocol.settled(0, 0, secrets.token_bytes(16)))
    (found,) = store.settle([STAMP])
    assert protocol.is_settled(found)
    return found


def copied(replica: RedisServer, stamp: bytes) -> None:
    with client(replica) as admin:
        until(lambda: admin.get(STAMP) == stamp, "the replica does not copy")


class TestSentinelStore(StoreContract):
    largest = 8 * 1024 * 1024

    @pytest.fixture
    def new_store(self, shared: RedisSentinels) -> NewStore:
        self.group = shared

        def new_store(options: StoreOptions) -> SentinelStore:
            store = SentinelStore.from_url(shared.url, options, defer=False)
            # The first connection removes stamps of unknown origin, such as those that are planted.
            store.info()
            return store

        return new_store

    def plant(self, store: Store, stamp: bytes, value: bytes | None) -> None:
        with client(self.group.primary) as admin:
            if value is None:
                admin.delete(stamp)
            else:
                admin.set(stamp, value)


@pytest.mark.parametrize("scheme", ["redis+sentinel", "valkey+sentinel"])
def test_schemes_and_databases(own: RedisSentinels, scheme: str) -> None:
    url = own.url.replace("redis+sentinel", scheme).replace("/cache/0", "/cache/3")
    store = open_store(url, StoreOptions(timeout=5.0))
    store.write(ENTRY, b"v", None)
    with redis.Redis(port=own.primary.port, password="s3same", db=3) as admin:
        assert admin.get(ENTRY) == b"v"
    told = store.info()
    assert told.name.startswith("redis cache@127.0.0.1:")
    assert told.name.endswith("/3")
    assert "s3same" not in repr(told)
    assert "w4tch" not in repr(told)
    store.close()


def test_failover_to_a_replica_that_lags(
    own: RedisSentinels, another: Callable[..., SentinelStore]
) -> None:
    """What the new primary has is older than a write that was acknowledged."""
    store, (replica,) = another(), own.replicas
    old = settled(store, own.primary)
    store.write(ENTRY, b"of the old stamp", None)
    copied(replica, old)
    with client(replica) as admin:
        until(lambda: admin.get(ENTRY), "the replica does not copy")
    cut_replication(own.primary)
    token = secrets.token_bytes(16)
    store.begin([STAMP], token)
    store.end([STAMP], token)
    own.primary.kill()
    own.wait_for_primary(replica)
    copied(replica, old)
    for one in (store, another()):
        until(lambda one=one: answers(one), "the new primary is never used")  # type: ignore[misc]
        value, stamp = one.read(ENTRY, [STAMP])
        assert value == b"of the old stamp"
        assert stamp is None or not protocol.is_settled(stamp)


def test_former_primary_that_is_still_there(
    own: RedisSentinels, another: Callable[..., SentinelStore]
) -> None:
    """After a failover by command it goes on as a primary for some seconds."""
    reader, writer, (replica,) = another(), another(), own.replicas
    old = settled(reader, own.primary)
    copied(replica, old)
    own.fail_over()
    own.wait_for_primary(replica)
    token = secrets.token_bytes(16)
    until(lambda: announced(writer, token), "the new primary is never used")
    fenced(replica, b"qc:epoch")
    if role_of(own.primary) == "master":
        with client(own.primary) as admin:
            assert admin.get(STAMP) == old
    assert token in protocol.leases(reader.stamps([STAMP])[0])


def test_former_primary_that_wakes_up(
    own: RedisSentinels, another: Callable[..., SentinelStore]
) -> None:
    """It was paused while it was replaced, and links to it are still open."""
    reader, writer, (replica,) = another(), another(), own.replicas
    old = settled(reader, own.primary)
    copied(replica, old)
    own.primary.pause()
    own.wait_for_primary(replica)
    token = secrets.token_bytes(16)
    until(lambda: announced(writer, token), "the new primary is never used")
    own.primary.resume()
    assert token in protocol.leases(reader.stamps([STAMP])[0])


def test_split_brain(own: RedisSentinels, another: Callable[..., SentinelStore]) -> None:
    """Who reaches the former primary and one sentinel alone is not served by them."""
    minority, (replica,) = another(timeout=0.1), own.replicas
    old = settled(minority, own.primary)
    copied(replica, old)
    first, *others = own.sentinels
    for sentinel in others:
        sentinel.pause()

    def refused() -> bool:
        try:
            minority.stamps([STAMP])
        except StoreError as error:
            return "1 of 3 sentinels" in str(error)
        return False

    until(refused, "the former primary is still believed")
    with client(first) as admin:
        assert admin.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", own.service)
    for sentinel in others:
        sentinel.resume()
    until(lambda: answers(minority), "the store stays down")


def test_sentinel_that_knows_more_is_believed(
    own: RedisSentinels, another: Callable[..., SentinelStore]
) -> None:
    store, (replica,) = another(timeout=0.1), own.replicas
    settled(store, own.primary)
    own.sentinels[0].pause()
    own.primary.kill()
    with client(own.sentinels[1]) as admin:
        until(
            lambda: admin.sentinel_master(own.service)["port"] == replica.port, "nobody takes over"
        )
    until(lambda: answers(store), "the new primary is never used")
    own.sentinels[0].resume()
    assert store.info().details["role"] == "master"


def test_no_sentinel(own: RedisSentinels, another: Callable[..., SentinelStore]) -> None:
    store = another()
    for sentinel in own.sentinels:
        sentinel.kill()
    for call in every_call(store):
        with pytest.raises(StoreError, match="0 of 3 sentinels"):
            call()


def test_service_that_sentinels_do_not_know(own: RedisSentinels) -> None:
    store = open_store(own.url.replace("/cache/", "/cash/"), StoreOptions(timeout=5.0))
    with pytest.raises(StoreError, match=r"'cash'.*No such master"):
        store.stamps([STAMP])
    store.close()


def test_wrong_password_of_the_sentinels(own: RedisSentinels) -> None:
    store = open_store(own.url.replace("w4tch", "guess"), StoreOptions(timeout=5.0))
    with pytest.raises(StoreError) as caught:
        store.stamps([STAMP])
    assert "guess" not in str(caught.value)
    store.close()


def test_client_of_the_project(own: RedisSentinels) -> None:
    """Also one that reads from replicas: stamps are read from the primary."""
    places = [("127.0.0.1", one.port) for one in own.sentinels]
    manager = redis.Sentinel(places, sentinel_kwargs={"password": "w4tch"}, password="s3same")
    for native in (manager.master_for(own.service, db=3), manager.slave_for(own.service, db=3)):
        store = SentinelStore.from_client(native, StoreOptions(timeout=5.0))
        store.write(ENTRY, b"v", None)
        assert store.read(ENTRY, []) == [b"v"]
        assert store.info().details["role"] == "master"
        with redis.Redis(port=own.primary.port, password="s3same", db=3) as admin:
            assert admin.getdel(ENTRY.decode()) == b"v"
        store.close()
        native.close()
    with redis.Redis() as plain, pytest.raises(StoreUnusable, match="asks no sentinels"):
        SentinelStore.from_client(plain, StoreOptions())

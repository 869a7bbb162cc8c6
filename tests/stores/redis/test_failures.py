"""Servers that die, hang, restart, forget or change their role."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

import pytest

from querycache import stamps as protocol
from querycache.stores.base import StoreError, StoreOptions
from querycache.stores.redis import RedisStore
from querycache.stores.redis_replies import Replies
from tests.servers import RedisServer
from tests.stores.calls import ENTRY, OTHER, STAMP, answers, every_call, until
from tests.stores.redis.helpers import open_, plain, settled


def test_dead_server(own: RedisServer) -> None:
    store = open_(own)
    store.info()
    own.kill()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()


def test_server_that_never_was() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
        for call in every_call(RedisStore.from_url(url, StoreOptions())):
            with pytest.raises(StoreError):
                call()


@pytest.mark.parametrize("connected", [True, False])
def test_server_that_hangs(own: RedisServer, connected: bool) -> None:
    store = open_(own, timeout=0.05)
    token = secrets.token_bytes(16)
    if connected:
        store.read(ENTRY, [STAMP])
    own.pause()
    for call in every_call(store):
        with pytest.raises(StoreError):
            call()
    own.resume()
    # Late replies of the calls above must not be taken for those of later calls.
    until(lambda: answers(store))
    store.begin([STAMP], token)
    store.write(ENTRY, b"new", None)
    value, stamp = store.read(ENTRY, [STAMP])
    assert value == b"new"
    assert token in protocol.leases(stamp)


def test_restart_with_nothing(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    store.write(ENTRY, b"v", None)
    store.begin([STAMP], token)
    own.restart()
    # The connection that rested is gone: no outage.
    assert list(store.read(ENTRY, [STAMP])) == [None, None]
    store.end([STAMP], token)
    assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


def test_restart_with_old_data(start: Callable[..., RedisServer]) -> None:
    """A dump brings stamps back under which entries of its time would be served."""
    own = start(options={"dbfilename": "dump.rdb", "save": "900 1"})
    store, token = open_(own), secrets.token_bytes(16)
    (old,) = settled(store, own, STAMP)
    store.write(ENTRY, b"of the old stamp", None)
    with plain(own) as client:
        client.save()
    store.begin([STAMP], token)
    store.end([STAMP], token)
    (new,) = store.stamps([STAMP])
    assert new != old
    own.kill()
    own.start()
    with plain(own) as client:
        assert client.get(STAMP) == old
        client.set("other:s:stamp", "kept")
        client.set("qc:e:stamp", "kept")
    late = open_(own)
    assert late.stamps([STAMP]) == [None]
    assert store.stamps([STAMP]) == [None]
    with plain(own) as client:
        assert client.mget("other:s:stamp", "qc:e:stamp") == [b"kept", b"kept"]
    # Only once: other connections to the same server leave the stamps alone.
    (now,) = settled(store, own, STAMP)
    assert open_(own).stamps([STAMP]) == [now]


def test_promoted_replica(start: Callable[..., RedisServer]) -> None:
    primary, replica = start(options={"repl-diskless-sync-delay": "0"}), start()
    store = open_(primary)
    (old,) = settled(store, primary, STAMP)
    with plain(replica) as client:
        client.replicaof("127.0.0.1", str(primary.port))
        until(lambda: client.get(STAMP) == old)
        with pytest.raises(StoreError, match="replica"):
            open_(replica).stamps([STAMP])
        client.replicaof("NO", "ONE")
        promoted = open_(replica)
        until(lambda: answers(promoted))
        assert promoted.stamps([STAMP]) == [None]


def test_primary_that_became_a_replica(start: Callable[..., RedisServer]) -> None:
    """Writers notice at once, since the server refuses them; then nobody reads from it either."""
    first, second = start(), start()
    store = open_(first)
    settled(store, first, STAMP)
    with plain(first) as client:
        client.replicaof("127.0.0.1", str(second.port))
    with pytest.raises(StoreError):
        store.begin([STAMP], secrets.token_bytes(16))
    with pytest.raises(StoreError, match="replica"):
        store.stamps([STAMP])


def test_primary_that_was_a_replica_for_a_while(start: Callable[..., RedisServer]) -> None:
    """It has another's old data now, and a link to it was open all the time."""
    first, second = start(), start()
    reader, writer = open_(first), open_(second)
    settled(reader, first, STAMP)
    (old,) = settled(writer, second, STAMP)
    with plain(first) as client:
        client.replicaof("127.0.0.1", str(second.port))
        until(lambda: client.get(STAMP) == old)
        client.replicaof("NO", "ONE")
    writer.touch([STAMP])
    until(lambda: looked_again(reader) != [old])
    assert looked_again(open_(first)) != [old]


def looked_again(store: RedisStore) -> list[bytes | None]:
    try:
        return list(store.stamps([STAMP]))
    except StoreError:
        return []


def test_link_that_stays_open_to_a_replica(start: Callable[..., RedisServer]) -> None:
    """A read alone is not refused by a replica; it is not asked for longer than a second."""
    first, second = start(), start()
    reader = open_(first)
    settled(reader, first, STAMP)
    with plain(first) as client:
        client.replicaof("127.0.0.1", str(second.port))

    def refused() -> bool:
        try:
            reader.stamps([STAMP])
        except StoreError as error:
            return "is a replica" in str(error)
        return False

    until(refused)


def test_flushall(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    (first,) = settled(store, own, STAMP)
    store.begin([STAMP], token)
    with plain(own) as client:
        client.flushall()
    assert list(store.read(ENTRY, [STAMP])) == [None, None]
    store.end([STAMP], token)
    (state,) = store.stamps([STAMP])
    assert set(protocol.leases(state)) == {protocol.QUARANTINE}
    # The counter went with everything else and does not go back.
    (again,) = settled(store, own, OTHER)
    store.touch([OTHER])
    old, new = protocol.parse_settled(first), protocol.parse_settled(store.stamps([OTHER])[0])
    assert old is not None
    assert new is not None
    assert new.sequence > old.sequence
    assert again != first


def test_eviction(start: Callable[..., RedisServer]) -> None:
    """Entries and stamps that the server threw out are absent, nothing else happens."""
    own = start(options={"maxmemory": "3mb", "maxmemory-policy": "allkeys-lru"})
    store, token = open_(own), secrets.token_bytes(16)
    stamps = [b"qc:s:%d" % number for number in range(50)]
    settled(store, own, *stamps)
    store.begin(stamps, token)
    with plain(own) as client:
        number = 0
        while not client.info("stats")["evicted_keys"] > 200:
            store.write(b"qc:e:%d" % number, os.urandom(2000), None)
            number += 1
    assert None in store.stamps(stamps)
    store.end(stamps, token)
    quarantine, states = {protocol.QUARANTINE}, store.stamps(stamps)
    for state in states:
        # Absent again where the step itself made the server evict.
        if state is not None:
            assert protocol.is_settled(state) or set(protocol.leases(state)) == quarantine
    assert any(states)


def test_no_memory_left(start: Callable[..., RedisServer]) -> None:
    own = start(options={"maxmemory": "3mb", "maxmemory-policy": "noeviction"})
    store = open_(own)
    for number in range(3000):
        # Never an exception: an entry may be dropped at once.
        store.write(b"qc:e:%d" % number, bytes(2000), None)
    assert store.read(b"qc:e:0", []) == [bytes(2000)]
    assert store.read(b"qc:e:2999", []) == [None]
    with pytest.raises(StoreError):
        store.begin([STAMP], secrets.token_bytes(16))
    store.clear()
    store.begin([STAMP], secrets.token_bytes(16))


def test_idle_connection_that_the_server_closed(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP)
    for call in every_call(store):
        with plain(own) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        call()
    with plain(own) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    store.begin([STAMP], token)
    assert token in protocol.leases(store.stamps([STAMP])[0])


def test_reply_that_was_not_read_is_not_taken_for_another(
    own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception between sending and reading, such as a request's time limit."""
    store = open_(own)
    store.write(ENTRY, b"v", None)

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Replies, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.stamps([STAMP])
    assert store.read(ENTRY, []) == [b"v"]

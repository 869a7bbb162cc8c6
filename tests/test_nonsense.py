"""Answers of a store that are damaged, forged or of another program: misses, never errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from django.db import transaction

import querycache
from querycache import install
from querycache.stores import redis_identity
from tests.environment import Environment, configure
from tests.hooks import eventually
from tests.library.models import Publisher
from tests.outages import errors, outages
from tests.stages import Register, put, staged

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])

NONSENSE = {
    "empty": lambda entry: b"",
    "short": lambda entry: entry[:10],
    "cut": lambda entry: entry[:-1],
    "longer": lambda entry: entry + b"x",
    "other bytes": lambda entry: bytes(reversed(entry)),
    "first byte": lambda entry: bytes([entry[0] ^ 1]) + entry[1:],
    "last byte": lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
}


@pytest.mark.parametrize("store_url", ["memory", "redis", "memcached"], indirect=True)
@pytest.mark.parametrize("damage", NONSENSE.values(), ids=NONSENSE)
def test_damaged_entry_is_a_miss(
    database: str,
    store_url: str,
    damage: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with staged(database, STORE=store_url) as stage:
        register = Register(stage)
        register.warm()
        key = (querycache.explain(register.rows()).key or "").encode()
        entry = stage.store.inner.read(key, [])[0]
        assert entry is not None
        for _ in range(2):
            stage.store.inner.write(key, damage(entry), None)
            assert not register.hit
            assert register.read() == "old"
            assert register.hit
        assert len(errors(caplog)) == (stage.cache.counters.damaged > 0)
        assert not stage.cache.breaker.down


@pytest.mark.parametrize("store_url", ["memory", "redis", "memcached"], indirect=True)
@pytest.mark.parametrize(
    "stamp",
    [b"", b"x", b"S", b"W", b"S" * 48, b"W" * 33, b"\xff" * 100, b"W" + b"\0" * 31],
    ids=map(str, range(8)),
)
def test_damaged_stamp_is_a_miss_and_mended(database: str, store_url: str, stamp: bytes) -> None:
    with staged(database, STORE=store_url, LEASE=0.1) as stage:
        register = Register(stage)
        register.warm()
        register.write("newer")
        for key in register.keys:
            put(stage.store, key, stamp)
        assert not register.hit
        assert register.read() == "newer"
        register.write()
        assert register.read() == "new"
        eventually(lambda: register.read() == "new" and register.hit, "it is cached again")


def test_server_of_another_protocol_is_an_outage(
    database: str, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://127.0.0.1:{environment.memcached.port}/0"
    with staged(database, STORE=url, TIMEOUT=0.1) as stage:
        register = Register(stage)
        for _ in range(3):
            assert register.read() == "old"
        register.write()
        assert register.read() == "new"
        assert len(outages(caplog)) == 1


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
def test_server_that_is_too_old_is_an_outage_that_says_so(
    database: str,
    store_url: str,
    atomic: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_identity, "_OLDEST", (99, 0))
    with staged(database, STORE=store_url) as stage:
        register = Register(stage)
        for value in ("old", "newer", "new"):
            if atomic:
                with transaction.atomic(database):
                    register.write(value)
                    assert register.read() == value
            else:
                register.write(value)
            assert register.read() == value
        assert len(outages(caplog)) == 1
        assert "6.0 or newer is needed" in outages(caplog)[0]


@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "atomic"])
def test_store_that_cannot_be_opened_is_an_outage_that_says_so(
    database: str, atomic: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = configure(STORE="redis://localhost:port").cache
    publishers = Publisher.objects.using(database)
    for name in ("old", "new"):
        with transaction.atomic(database) if atomic else nullcontext():
            publishers.update_or_create(pk=1, defaults={"name": name})
            assert [found.name for found in publishers.all()] == [name]
            assert [found.name for found in publishers.all()] == [name]
        assert publishers.get(pk=1).name == name
        assert not querycache.explain(publishers.all()).hit
    assert querycache.last_write(Publisher, using=database) is None
    querycache.invalidate(Publisher, using=database)
    assert cache.breaker.down
    assert len(outages(caplog)) == 1
    assert "a Redis URL that cannot be read" in outages(caplog)[0]
    install.uninstall()

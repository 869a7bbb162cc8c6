"""The scripts do what the pure functions do, in as few commands as there can be."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querycache import stamps as protocol
from querycache.stores import redis_scripts as scripts
from tests.servers import RedisServer
from tests.stores.calls import ENTRY, OTHER, STAMP
from tests.stores.redis.helpers import open_, plain, settled

NOW = 1_795_307_888_123
TOKENS = [bytes(16), b"A" * 16, b"\xff\0" * 8]
DEADLINES = [b"%016d" % number for number in (0, NOW - 1, NOW, NOW + 1, NOW + 5000)]
DEADLINES += [b"%016d" % protocol.MAX_NUMBER, b"0000001795307x88", b" " * 16, b"-000000000000001"]
leases = st.tuples(st.sampled_from(TOKENS), st.sampled_from(DEADLINES)).map(b"".join)
stamps = st.one_of(
    st.none(),
    st.binary(max_size=100),
    st.binary(min_size=16, max_size=16).map(lambda nonce: protocol.settled(7, NOW, nonce)),
    st.lists(leases, max_size=5).map(lambda parts: b"W" + b"".join(parts)),
    st.tuples(st.lists(leases, max_size=3), st.binary(max_size=33)).map(
        lambda parts: b"W" + b"".join(parts[0]) + parts[1]
    ),
    st.binary(min_size=48, max_size=48).map(lambda rest: b"S" + rest),
)
#: For each stamp its companion: none, the first stamp, or one that is not there.
places = st.sampled_from(["", "lua:s:0", "lua:s:none"])
counters = st.sampled_from([None, 0, 5, NOW * 1000 + 455, NOW * 1000 + 456, NOW * 1000 + 10**9])


class TestScripts:
    """The scripts with a clock that the test sets, against `querycache.stamps`."""

    @pytest.mark.parametrize("name", ["begin", "end", "touch", "settle"])
    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        data=st.lists(st.tuples(stamps, places), min_size=1, max_size=4),
        token=st.sampled_from(TOKENS[1:]),
        counter=counters,
        era=st.binary(min_size=8, max_size=8),
        lease=st.sampled_from([1, 5000, 10**9]),
        nonce=st.binary(min_size=16, max_size=16),
    )
    def test_equal_the_pure_functions(
        self,
        server: RedisServer,
        name: str,
        data: list[tuple[bytes | None, str]],
        token: bytes,
        counter: int | None,
        era: bytes,
        lease: int,
        nonce: bytes,
    ) -> None:
        script = getattr(scripts, name.upper())
        text = script.text.replace(b"redis.call('TIME')", b"{ARGV[4], ARGV[5]}")
        assert text != script.text
        keys = [
            (f"{companion}/{number:x}" if companion and number else f"lua:s:{number}").encode()
            for number, (_, companion) in enumerate(data)
        ]
        micros = NOW * 1000 + 456
        with plain(server) as client:
            pipe = client.pipeline()
            pipe.delete(*keys, "lua:sequence")
            for key, (value, _) in zip(keys, data, strict=True):
                if value is not None:
                    pipe.set(key, value)
            if counter is not None:
                pipe.set("lua:sequence", b"%016d%b" % (counter, era))
            writer = b"" if name in ("touch", "settle") else token
            given = (lease, writer, nonce, *divmod(micros, 10**6))
            pipe.eval(text.decode(), len(keys) + 2, *keys, "lua:sequence", "lua:epoch", *given)
            pipe.mget(keys)
            pipe.get("lua:sequence")
            *_, answer, found, left = pipe.execute()
        if counter is None:
            # A counter that begins anew begins an era.
            era = nonce[: protocol.ERA_BYTES]
        step = protocol.Step(
            now=NOW,
            wall=NOW,
            lease=lease,
            sequence=max(micros, (counter or 0) + 1),
            nonce=era + nonce[protocol.ERA_BYTES :],
            durable=False,
        )
        if name in ("touch", "settle"):
            token = b""
        expected = []
        for key, (value, _) in zip(keys, data, strict=True):
            alone = protocol.companion_of(key) == keys[0]
            alone = alone and protocol.quiet(data[0][0], token, step)
            arguments = ([token] if token else []) + [replace(step, durable=alone)]
            expected.append(getattr(protocol, name)(value, *arguments))
        assert found == expected
        if name == "settle":
            assert answer == expected
        before = None if counter is None else b"%016d%b" % (counter, era)
        fresh = any(
            protocol.is_settled(new) and new != old
            for (old, _), new in zip(data, expected, strict=True)
        )
        assert left == (b"%016d%b" % (step.sequence, era) if fresh else before)

    def test_counter_that_is_damaged(self, server: RedisServer) -> None:
        store = open_(server)
        (first,) = settled(store, server, STAMP)
        for damage in ("", "x", "-1", "1e300", "9" * 30, "nan", "0x10", "\0", "9" * 15 + "x" * 9):
            with plain(server) as client:
                client.set("qc:sequence", damage)
            assert store.clock().era == b""
            store.touch([STAMP])
            (second,) = store.settle([STAMP])
            old, new = protocol.parse_settled(first), protocol.parse_settled(second)
            assert old is not None
            assert new is not None
            assert old.sequence < new.sequence < protocol.MAX_NUMBER
            first = second

    @pytest.mark.parametrize("loss", ["eviction", "failover"])
    def test_a_counter_that_went_back_says_so(self, server: RedisServer, loss: str) -> None:
        """It was ahead of the clock that it begins anew from: one set back, or another's."""
        store = open_(server)
        settled(store, server, STAMP)
        ahead = b"%016d" % (protocol.MAX_NUMBER // 2)
        with plain(server) as client:
            client.set("qc:sequence", ahead + b"past era")
            before = store.clock()
            assert (before.sequence, before.era) == (int(ahead), b"past era")
            if loss == "eviction":
                client.delete("qc:sequence")
            else:
                client.set("qc:epoch", "another server")
                store = open_(server)
                settled(store, server, STAMP)
        store.touch([STAMP])
        (now,) = store.stamps([STAMP])
        assert now is not None
        parsed = protocol.parse_settled(now)
        assert parsed is not None
        assert parsed.sequence < before.sequence
        assert not protocol.unchanged_since(now, before)
        assert protocol.unchanged_since(now, store.clock())

    def test_more_stamps_than_one_call_takes(self, server: RedisServer) -> None:
        store, token = open_(server), secrets.token_bytes(16)
        many = [b"qc:s:many%d" % number for number in range(2 * scripts.MOST_KEYS + 3)]
        store.begin(many, token)
        assert all(token in protocol.leases(value) for value in store.stamps(many))
        store.end(many, token)
        assert not any(token in protocol.leases(value) for value in store.stamps(many))
        assert list(store.settle(many)) == list(store.stamps(many))
        store.touch(many)

    def test_unknown_script_is_sent_whole(self, own: RedisServer) -> None:
        store, token = open_(own), secrets.token_bytes(16)
        settled(store, own, STAMP)
        for _ in range(2):
            with plain(own) as client:
                client.script_flush()
            store.begin([STAMP], token)
            assert token in protocol.leases(store.stamps([STAMP])[0])
            store.end([STAMP], token)
            assert protocol.is_settled(store.stamps([STAMP])[0])
        with plain(own) as client:
            assert client.script_exists(
                *(getattr(scripts, name).digest.decode() for name in ("BEGIN", "END"))
            ) == [True, True]

    def test_foreign_value_under_a_stamp_is_mended(self, own: RedisServer) -> None:
        store = open_(own)
        store.info()
        with plain(own) as client:
            client.rpush(STAMP.decode(), "x")
        assert list(store.stamps([STAMP])) == [None]
        store.settle([STAMP])
        assert set(protocol.leases(store.stamps([STAMP])[0])) == {protocol.QUARANTINE}


# -- commands on the wire --------------------------------------------------------------------------


def commands_of(server: RedisServer, work: Callable[[], Any]) -> list[str]:
    """Return the names of the commands that clients send while `work` runs."""
    with plain(server) as client:
        client.config_resetstat()
        work()
        stats = client.info("commandstats")
    return sorted(
        name.removeprefix("cmdstat_")
        for name, figures in stats.items()
        for _ in range(figures["calls"])
        if name not in ("cmdstat_info", "cmdstat_config|resetstat")
    )


def test_read_is_one_plain_mget(own: RedisServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    assert commands_of(own, lambda: store.read(ENTRY, [STAMP, OTHER])) == ["mget"]
    assert commands_of(own, lambda: store.stamps([STAMP, OTHER])) == ["mget"]


def test_a_step_is_one_call(own: RedisServer) -> None:
    store, token = open_(own), secrets.token_bytes(16)
    settled(store, own, STAMP, OTHER)
    store.begin([STAMP], token)
    sent = commands_of(own, lambda: store.begin([STAMP, OTHER], token))
    assert sent.count("evalsha") == 1
    assert set(sent) <= {"evalsha", "time", "mget", "mset"}


def test_settling_what_is_settled_writes_nothing(own: RedisServer) -> None:
    store = open_(own)
    settled(store, own, STAMP)
    assert commands_of(own, lambda: store.settle([STAMP])) == ["evalsha", "mget", "time"]

"""What is fuzzed, and what must hold for each input: a class for each reader of foreign bytes."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from querycache import codec, stamps
from querycache.codec_values import dump_value
from querycache.entries import Forged, Sealer
from querycache.rawsql import UNKNOWN, Kind, analyse
from tests.codecs import BERLIN, UTC_NOW, VALUES, same
from tests.fuzz.mutate import Mutator
from tests.test_rawsql import ALL, QUERIES


class Target(ABC):
    """Something that reads bytes which anybody may have made."""

    name: ClassVar[str]
    #: Its part of all inputs, in percent.
    share: ClassVar[int]
    corpus: Sequence[bytes]

    def make(self, mutator: Mutator) -> bytes:
        """Return an input."""
        return mutator.pick(self.corpus)

    @abstractmethod
    def check(self, data: bytes) -> bool:
        """Read an input and tell whether it was accepted; AssertionError where a promise fails."""


class Rows(Target):
    """The codec: rows, or `Damaged` and nothing else; what it accepts it writes and reads again."""

    name = "codec"
    share = 40

    def __init__(self) -> None:
        values = [value for value in VALUES if len(codec.encode([(value,)])) < 300]
        tables: list[list[tuple[Any, ...]]] = [
            [(1, "a", None, 2.5, True)] * 3,
            [(1, 2), (3, 4)],
            [tuple(values)],
            [(UTC_NOW, memoryview(b"abc"), None)] * 2,
            [(UTC_NOW.replace(tzinfo=BERLIN), bytearray(b"d"))] * 2,
            *[[(value, 1)] for value in values],
        ]
        self.corpus = [codec.encode(table) for table in tables]
        self.corpus += [codec.encode(table * 20, compress_above=0) for table in tables[:5]]
        #: JSON of general values, changed within its length prefix.
        self._texts = [dump_value(value) for value in values]

    def make(self, mutator: Mutator) -> bytes:
        kind = mutator.random.randrange(4)
        if kind == 0:
            text = mutator.pick(self._texts)
            return b'[["g",false]]\n\x91\x91\xc6' + len(text).to_bytes(4, "big") + text
        data = mutator.pick(self.corpus)
        if kind == 1:
            # Behind a length and a checksum that are right, so that they hide nothing.
            return b"Z" + len(data).to_bytes(8, "big") + zlib.compress(data, 1)
        return data

    def check(self, data: bytes) -> bool:
        try:
            rows = codec.decode(data)
        except codec.Damaged:
            return False
        assert type(rows) is list
        assert {type(row) for row in rows} <= {tuple}
        try:
            again = codec.encode(rows)
        except codec.Unencodable:
            # Deeper, or with more columns, than is ever written.
            return True
        assert same(codec.decode(again), rows)
        return True


class Entries(Target):
    """The MAC: nothing opens but what was sealed, for its own query and under its own stamps."""

    name = "entries"
    share = 15

    def __init__(self) -> None:
        self._sealer = Sealer("a secret")
        self._stamps = stamps.settled(1, 2, bytes(16)) * 2
        other = stamps.settled(2, 2, bytes(16)) * 2
        body = codec.encode([(1, "a", None)])
        sealer = self._sealer
        self._right = [_sealed(sealer, b"query", self._stamps, body * n) for n in range(1, 4)]
        self.corpus = [
            *self._right,
            _sealed(sealer, b"another query", self._stamps, body),
            _sealed(sealer, b"query", other, body),
            _sealed(Sealer("another secret"), b"query", self._stamps, body),
        ]

    def check(self, data: bytes) -> bool:
        try:
            body = self._sealer.open(b"query", self._stamps, data)
        except Forged:
            return False
        if body is None:
            return False
        assert data in self._right, "it was never sealed"
        return True


def _sealed(sealer: Sealer, fingerprint: bytes, joined: bytes, body: bytes) -> bytes:
    # At a moment that is the same in every run.
    rest = joined + bytes(8) + body
    return sealer._mac(fingerprint, rest) + rest


class Stamps(Target):
    """The protocol: whatever is found, each step leaves a stamp that is settled or writing."""

    name = "stamps"
    share = 15

    def __init__(self) -> None:
        tokens = [bytes([number]) * 16 for number in range(5)]
        self.corpus = [
            stamps.settled(1, 2, bytes(16)),
            stamps.settled(stamps.MAX_NUMBER, stamps.MAX_NUMBER, b"\xff" * 16),
            stamps.writing({tokens[1]: 5_000}),
            stamps.writing(dict.fromkeys(tokens, 9_000)),
            stamps.writing({stamps.QUARANTINE: 1, tokens[1]: stamps.MAX_NUMBER}),
            b"",
        ]

    def check(self, data: bytes) -> bool:
        token = bytes([1]) * 16
        settled, writing = stamps.is_settled(data), stamps.is_writing(data)
        assert not (settled and writing)
        parsed = stamps.parse_settled(data)
        assert parsed is None or (settled and stamps.settled(*_fields(parsed)) == data)
        for durable in (False, True):
            step = stamps.Step(6_000, 7, 1_000, 3, bytes(16), durable)
            begun = stamps.begin(data, token, step)
            assert stamps.leases(begun)[token] == 7_000
            assert len(begun) <= len(data) + 65
            for after in (
                stamps.end(data, token, step),
                stamps.touch(data, step),
                stamps.settle(data, step),
            ):
                assert stamps.is_settled(after) or stamps.is_writing(after)
                assert after != data or writing or settled
        return settled or writing


def _fields(parsed: stamps.Settled) -> tuple[int, int, bytes]:
    return parsed.sequence, parsed.wall, parsed.nonce


class Statements(Target):
    """The analysis of SQL: never an error, never a writing statement taken for a reading one."""

    name = "sql"
    share = 15

    def __init__(self) -> None:
        self.corpus = [sql.encode() for _, sql, _ in QUERIES]

    def make(self, mutator: Mutator) -> bytes:
        return mutator.pick(self.corpus)[:2000]

    def check(self, data: bytes) -> bool:
        text = data.decode("utf-8", "surrogateescape")
        known = False
        for vendor in ALL:
            for statement in analyse(text, vendor):
                assert statement.deletes | statement.updates | statement.temporary <= (
                    statement.writes
                )
                assert (statement.setting is not None) == (statement.kind is Kind.SESSION)
                assert statement.kind is not Kind.UNKNOWN or statement == UNKNOWN
                assert statement.kind is not Kind.READ or not (
                    statement.writes or statement.everything
                )
                known = known or statement.kind is not Kind.UNKNOWN
        return known

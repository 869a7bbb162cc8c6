"""Compares the steps of a store with the pure functions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from querycache import stamps as protocol
from querycache.stores.base import Store


class Judge:
    """Compare what a store made of stamps with what the pure functions make of them.

    The store's clock, its counter and its random bytes are its own, so they are taken from its
    result: clock and counter must grow, nonces must be new, all else must be equal.
    """

    def __init__(self, store: Store) -> None:
        self.durable = store.durable
        self.lease = store.options.lease
        self.clock = 0
        self.sequence = 0
        self.nonces: set[bytes] = set()

    def check(
        self,
        name: str,
        token: bytes,
        before: Sequence[bytes | None],
        after: Sequence[bytes | None],
    ) -> None:
        """Assert that the step made `after` of `before`, stamp by stamp."""
        # Stamps changed by one step may share its sequence and nonce.
        sequences, nonces = [self.sequence], set(self.nonces)
        for old, new in zip(before, after, strict=True):
            sample = protocol.Step(
                # Planted deadlines are long past or far ahead, so any time between them will do.
                now=_BETWEEN,
                wall=0,
                lease=self.lease,
                sequence=1,
                nonce=bytes(protocol.NONCE_BYTES),
                durable=self.durable,
            )
            if name == "begin":
                expected = protocol.begin(old, token, sample)
            elif name == "end":
                expected = protocol.end(old, token, sample)
            elif name == "touch":
                expected = protocol.touch(old, sample)
            else:
                expected = protocol.settle(old, sample)
            if expected == old:
                assert new == old, f"{name} changed {old!r} to {new!r}"
            elif protocol.is_settled(expected):
                parsed = protocol.parse_settled(new)
                assert parsed is not None, f"{name} made {new!r} of {old!r}"
                assert parsed.sequence > self.sequence, "the sequence did not grow"
                assert parsed.nonce not in self.nonces, "a nonce came back"
                nonces.add(parsed.nonce)
                sequences.append(parsed.sequence)
            else:
                self._same_leases(name, old, new, protocol.leases(expected))
        self.sequence, self.nonces = max(sequences), nonces

    def _same_leases(
        self, name: str, old: bytes | None, new: bytes | None, expected: dict[bytes, int]
    ) -> None:
        assert protocol.is_writing(new), f"{name} made {new!r} of {old!r}"
        held = protocol.leases(new)
        assert set(held) == set(expected), f"{name} made {new!r} of {old!r}"
        for token, deadline in expected.items():
            if deadline == _BETWEEN + self.lease:
                # A lease made by this step; a clock that goes back would end leases late, at best.
                assert held[token] >= self.clock + self.lease
                self.clock = held[token] - self.lease
            else:
                assert held[token] == deadline, f"{name} changed another writer's deadline"


#: A time after every lease that is planted as run out, and before all others: a store's own
#: deadlines are never met by it, since a test is over long before a LONG lease.
_BETWEEN = 2


def oddities(choose: random.Random, tokens: Sequence[bytes]) -> list[bytes | None]:
    """Stamps as a store may find them: lost, damaged, with leases run out or alive."""
    past, ahead = 1, protocol.MAX_NUMBER - 1
    stranger = choose.randbytes(16)
    return [
        None,
        protocol.settled(0, 0, choose.randbytes(16)),
        protocol.writing({stranger: past}),
        protocol.writing({stranger: ahead}),
        protocol.writing({tokens[0]: past, tokens[1]: ahead}),
        protocol.writing({tokens[0]: past, stranger: past}),
        protocol.writing({protocol.QUARANTINE: past}),
        protocol.writing({protocol.QUARANTINE: ahead, tokens[2]: ahead}),
        protocol.writing({tokens[0]: ahead})[:-16] + choose.randbytes(16),
        choose.randbytes(choose.randint(1, 90)),
    ]

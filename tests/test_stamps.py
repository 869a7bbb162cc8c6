"""Properties of the pure steps, for any stamp and any interleaving that Hypothesis thinks of."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from querycache import stamps
from querycache.stamps import MAX_NUMBER, QUARANTINE, Step

if TYPE_CHECKING:
    from collections.abc import Callable

tokens = st.binary(min_size=16, max_size=16).filter(lambda token: token != QUARANTINE)
numbers = st.integers(0, MAX_NUMBER)
# Around the time of a step, so that leases have run out, run out now, and are alive.
times = st.integers(0, 40)
held_leases = st.dictionaries(tokens | st.just(QUARANTINE), times, min_size=1, max_size=4)
settled_stamps = st.builds(stamps.settled, numbers, numbers, st.binary(min_size=16, max_size=16))
writing_stamps = held_leases.map(stamps.writing)
damaged_stamps = (
    st.binary(max_size=120)
    | st.builds(lambda stamp, cut: stamp[:cut], settled_stamps | writing_stamps, st.integers(0, 60))
    | st.builds(lambda stamp, more: stamp + more, settled_stamps, st.binary(min_size=1))
)
telling_nothing = st.none() | damaged_stamps.filter(
    lambda stamp: not stamps.is_settled(stamp) and not stamps.is_writing(stamp)
)
any_stamp = st.none() | settled_stamps | writing_stamps | damaged_stamps
steps = st.builds(
    Step,
    now=st.integers(0, 30),
    wall=numbers,
    lease=st.integers(1, 20),
    sequence=numbers,
    nonce=st.binary(min_size=16, max_size=16),
    durable=st.booleans(),
)


def alive(stamp: bytes | None, step: Step) -> dict[bytes, int]:
    """Return the leases that have not run out; the quarantine waits for none that were lost."""
    return {
        token: end
        for token, end in stamps.leases(stamp).items()
        if end > step.now and not (step.durable and token == QUARANTINE)
    }


def all_steps(token: bytes) -> dict[str, Callable[[bytes | None, Step], bytes]]:
    return {
        "begin": lambda stamp, step: stamps.begin(stamp, token, step),
        "end": lambda stamp, step: stamps.end(stamp, token, step),
        "touch": stamps.touch,
        "settle": stamps.settle,
    }


class TestShape:
    @given(st.lists(settled_stamps, max_size=4), st.lists(any_stamp, max_size=2))
    def test_joined_are_those_that_are_all_settled(
        self, first: list[bytes], last: list[bytes | None]
    ) -> None:
        found = [*first, *last]
        if all(map(stamps.is_settled, found)):
            assert stamps.joined(found) == b"".join(filter(None, found))
        else:
            assert stamps.joined(found) is None

    @given(numbers, numbers, st.binary(min_size=16, max_size=16))
    def test_settled_comes_apart_as_it_was_made(
        self, sequence: int, wall: int, nonce: bytes
    ) -> None:
        stamp = stamps.settled(sequence, wall, nonce)
        assert stamps.is_settled(stamp)
        assert not stamps.is_writing(stamp)
        assert stamps.parse_settled(stamp) == stamps.Settled(sequence, wall, nonce)
        assert stamps.leases(stamp) == {}

    @given(held_leases)
    def test_writing_comes_apart_as_it_was_made(self, held: dict[bytes, int]) -> None:
        stamp = stamps.writing(held)
        assert stamps.is_writing(stamp)
        assert not stamps.is_settled(stamp)
        assert stamps.parse_settled(stamp) is None
        assert stamps.leases(stamp) == held
        assert stamps.writing(stamps.leases(stamp)) == stamp

    @given(any_stamp)
    def test_any_bytes_are_one_thing_at_most(self, stamp: bytes | None) -> None:
        assert not (stamps.is_settled(stamp) and stamps.is_writing(stamp))
        assert bool(stamps.leases(stamp)) == stamps.is_writing(stamp)
        assert stamps.parse_settled(stamp) is None or stamps.is_settled(stamp)

    @given(any_stamp, tokens, steps)
    def test_every_step_makes_a_well_formed_stamp(
        self, stamp: bytes | None, token: bytes, step: Step
    ) -> None:
        for change in all_steps(token).values():
            after = change(stamp, step)
            if stamp is not None and after == stamp:
                continue
            assert stamps.is_writing(after) or stamps.parse_settled(after) is not None

    @given(tokens, st.binary(min_size=16, max_size=16).filter(lambda b: not b.isdigit()), steps)
    def test_lease_with_a_damaged_deadline_is_kept(
        self, token: bytes, deadline: bytes, step: Step
    ) -> None:
        stamp = b"W" + token + deadline
        assert stamps.leases(stamp) == {token: MAX_NUMBER}
        assert not stamps.is_settled(stamps.settle(stamp, step))


class TestSteps:
    @given(any_stamp, tokens, steps)
    def test_live_leases_of_others_outlast_every_step(
        self, stamp: bytes | None, token: bytes, step: Step
    ) -> None:
        others = {t: end for t, end in alive(stamp, step).items() if t != token}
        for name, change in all_steps(token).items():
            after = change(stamp, step)
            left = stamps.leases(after)
            for other, deadline in others.items():
                if other == QUARANTINE:
                    assert left[other] >= min(deadline, step.now + step.lease), name
                else:
                    assert left[other] == deadline, name
            if others:
                assert not stamps.is_settled(after), name

    @given(any_stamp, tokens, steps)
    def test_leases_that_ran_out_are_dropped(
        self, stamp: bytes | None, token: bytes, step: Step
    ) -> None:
        for name, change in all_steps(token).items():
            assert all(end > step.now for end in stamps.leases(change(stamp, step)).values()), name

    @given(any_stamp, tokens, steps)
    def test_begin_puts_one_lease_of_the_full_length(
        self, stamp: bytes | None, token: bytes, step: Step
    ) -> None:
        after = stamps.begin(stamp, token, step)
        assert stamps.leases(after)[token] == step.now + step.lease
        assert after.count(token) == 1
        later = replace(step, now=step.now + 1)
        again = stamps.begin(after, token, later)
        assert stamps.leases(again)[token] == later.now + step.lease
        assert set(stamps.leases(again)) <= set(stamps.leases(after))

    @given(settled_stamps, tokens, steps, st.binary(min_size=16, max_size=16))
    def test_begin_then_end_leaves_a_fresh_stamp(
        self, stamp: bytes, token: bytes, step: Step, nonce: bytes
    ) -> None:
        held = stamps.begin(stamp, token, step)
        assert set(stamps.leases(held)) == {token}
        done = stamps.end(held, token, replace(step, nonce=nonce))
        assert done == stamps.settled(step.sequence, step.wall, nonce)

    @given(settled_stamps, st.lists(tokens, min_size=2, max_size=4, unique=True), steps)
    def test_the_last_of_many_writers_settles(
        self, stamp: bytes, writers: list[bytes], step: Step
    ) -> None:
        for token in writers:
            stamp = stamps.begin(stamp, token, step)
        for number, token in enumerate(writers):
            assert not stamps.is_settled(stamp)
            assert set(stamps.leases(stamp)) == set(writers[number:])
            stamp = stamps.end(stamp, token, step)
        assert stamps.is_settled(stamp)

    @given(any_stamp, tokens, steps)
    def test_every_step_but_settle_changes_a_settled_stamp(
        self, stamp: bytes | None, token: bytes, step: Step
    ) -> None:
        if not stamps.is_settled(stamp):
            return
        if stamp is not None and step.nonce == stamp[-16:]:
            return
        for name, change in all_steps(token).items():
            assert (change(stamp, step) == stamp) is (name == "settle")


class TestQuarantine:
    @given(telling_nothing, tokens, steps)
    def test_of_what_tells_nothing(self, stamp: bytes | None, token: bytes, step: Step) -> None:
        whole = step.now + step.lease
        for name, change in all_steps(token).items():
            expected = {} if step.durable else {QUARANTINE: whole}
            if name == "begin":
                expected |= {token: whole}
            after = change(stamp, step)
            assert stamps.leases(after) == expected
            assert stamps.is_settled(after) is (not expected)

    @given(settled_stamps | writing_stamps, tokens, steps)
    def test_of_a_lease_that_is_gone(self, stamp: bytes, token: bytes, step: Step) -> None:
        stamp_without = stamps.writing(
            {t: end for t, end in stamps.leases(stamp).items() if t != token} or {QUARANTINE: 0}
        )
        before = stamp if stamps.is_settled(stamp) else stamp_without
        after = stamps.end(before, token, step)
        if step.durable:
            assert stamps.leases(after) == alive(before, step)
        else:
            assert stamps.leases(after)[QUARANTINE] == step.now + step.lease
            assert not stamps.is_settled(after)

    @given(settled_stamps | writing_stamps, tokens, steps)
    def test_never_of_a_stamp_that_is_known(self, stamp: bytes, token: bytes, step: Step) -> None:
        for name in ("begin", "touch", "settle"):
            after = stamps.leases(all_steps(token)[name](stamp, step))
            assert (QUARANTINE in after) is (QUARANTINE in alive(stamp, step))

    @given(writing_stamps, tokens, steps)
    def test_is_over_where_no_lease_can_have_been_lost(
        self, stamp: bytes, token: bytes, step: Step
    ) -> None:
        for change in all_steps(token).values():
            after = change(stamp, step)
            assert QUARANTINE not in stamps.leases(after) or not step.durable

    @given(held_leases, st.none() | settled_stamps)
    def test_alone(self, held: dict[bytes, int], other: bytes | None) -> None:
        assert stamps.in_quarantine(stamps.writing(held)) is (held.keys() == {QUARANTINE})
        assert not stamps.in_quarantine(other)

    @given(telling_nothing, steps)
    def test_runs_out(self, stamp: bytes | None, step: Step) -> None:
        step = replace(step, durable=False)
        after = stamps.settle(stamp, step)
        over = step.now + step.lease
        assert stamps.settle(after, replace(step, now=over - 1)) == after
        assert stamps.is_settled(stamps.settle(after, replace(step, now=over)))


@dataclass
class Writer:
    """A writer in flight: its lease, and whether it has committed."""

    token: bytes
    deadline: int
    committed: bool = False


class Protocol(RuleBasedStateMachine):
    """One dependency, writers that commit within their leases, a store that may forget.

    The reader's side of the contract: an entry made from the state before a commit is never served
    after it. Entries are all that any reader could have stored so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stamp: bytes | None = None
        self.now = 0
        self.count = 0
        self.version = 0
        self.writers: list[Writer] = []
        self.entries: dict[bytes, set[int]] = {}
        self.queries: list[tuple[bytes, int]] = []
        self.settled_before: list[bytes] = []
        self.durable = False

    @initialize(durable=st.booleans())
    def open(self, durable: bool) -> None:
        self.durable = durable

    def step(self) -> Step:
        self.count += 1
        return Step(
            now=self.now,
            wall=self.count,
            lease=5,
            sequence=self.count,
            nonce=self.count.to_bytes(16, "big"),
            durable=self.durable,
        )

    @rule()
    def begin(self) -> None:
        token = (1 << 64 | self.count).to_bytes(16, "big")
        self.stamp = stamps.begin(self.stamp, token, self.step())
        self.writers.append(Writer(token, self.now + 5))

    @rule(which=st.integers(0, 5))
    def renew(self, which: int) -> None:
        for writer in self.writers[which : which + 1]:
            if not writer.committed and writer.deadline > self.now:
                self.stamp = stamps.begin(self.stamp, writer.token, self.step())
                writer.deadline = self.now + 5

    @rule(which=st.integers(0, 5))
    def commit(self, which: int) -> None:
        for writer in self.writers[which : which + 1]:
            # The one thing that the protocol asks of a writer: no lease ends before its commit.
            if not writer.committed and writer.deadline > self.now:
                writer.committed = True
                self.version += 1

    @rule(which=st.integers(0, 5))
    def end(self, which: int) -> None:
        for writer in self.writers[which : which + 1]:
            self.stamp = stamps.end(self.stamp, writer.token, self.step())
            self.writers.remove(writer)

    @rule(which=st.integers(0, 5))
    def die(self, which: int) -> None:
        del self.writers[which : which + 1]

    @rule()
    def touch(self) -> None:
        self.stamp = stamps.touch(self.stamp, self.step())

    @rule(passed=st.integers(1, 6))
    def wait(self, passed: int) -> None:
        self.now += passed

    @rule()
    def forget(self) -> None:
        if not self.durable:
            self.stamp = None

    @rule(value=st.binary(max_size=60))
    def damage(self, value: bytes) -> None:
        if not self.durable and value[:1] not in (b"S", b"W"):
            self.stamp = value

    @rule()
    def read(self) -> None:
        """A reader takes the stamp, then runs its query some time later."""
        self.stamp = stamps.settle(self.stamp, self.step())
        if stamps.is_settled(self.stamp):
            assert self.stamp is not None
            self.queries.append((self.stamp, -1))

    @rule(which=st.integers(0, 5))
    def query(self, which: int) -> None:
        for number in range(which, min(which + 1, len(self.queries))):
            stamp, version = self.queries[number]
            if version < 0:
                self.queries[number] = (stamp, self.version)

    @rule(which=st.integers(0, 5))
    def store(self, which: int) -> None:
        for stamp, version in self.queries[which : which + 1]:
            if version >= 0:
                self.entries.setdefault(stamp, set()).add(version)
                self.queries.remove((stamp, version))

    @invariant()
    def no_stale_entry_can_be_served(self) -> None:
        if stamps.is_settled(self.stamp):
            assert self.stamp is not None
            assert self.entries.get(self.stamp, set()) <= {self.version}

    @invariant()
    def never_settled_while_a_writer_may_commit(self) -> None:
        if stamps.is_settled(self.stamp):
            assert not [w for w in self.writers if not w.committed and w.deadline > self.now]

    @invariant()
    def no_stamp_comes_back(self) -> None:
        if stamps.is_settled(self.stamp):
            assert self.stamp is not None
            if self.settled_before[-1:] != [self.stamp]:
                assert self.stamp not in self.settled_before
                self.settled_before.append(self.stamp)


TestProtocol = Protocol.TestCase


def test_a_damaged_deadline_runs_out_one_lease_after_it_is_found() -> None:
    def at(now: int) -> Step:
        return Step(now, now, 100, 1, bytes(16), durable=False)

    damaged = b"W" + b"w" * 16 + b"not sixteen digi"
    found = stamps.settle(damaged, at(1000))
    assert stamps.leases(found) == {b"w" * 16: 1100}
    assert stamps.settle(found, at(1099)) == found
    assert stamps.is_settled(stamps.settle(found, at(1100)))


def test_more_leases_than_writers_are_damage() -> None:
    most = stamps.writing({os.urandom(16): 10**6 for _ in range(stamps.MOST_LEASES)})
    assert stamps.is_writing(most)
    assert not stamps.is_writing(most + most[1:33])

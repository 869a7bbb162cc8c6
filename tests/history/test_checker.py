"""The checker, on histories made by hand: what it must find, and what it must not call a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.history.checker import (
    BACKWARD,
    CHANGED,
    DIRTY,
    DISAGREES,
    OWN,
    STALE,
    TORN,
    UNWRITTEN,
    check,
)
from tests.history.records import HEAD, HIT, OWNER, Kind, Record, Recorder, load


def read(begin: int, end: int, value: int, register: int = 0) -> Record:
    return Record(Kind.READ, 0, register, HEAD | HIT, begin, end, value)


def write(
    begin: int, end: int, value: int, outcome: Kind = Kind.COMMITTED, register: int = 0
) -> list[Record]:
    begun = Record(Kind.BEGUN, 0, register, 0, begin, begin, value)
    if outcome == Kind.BEGUN:
        return [begun]
    return [begun, Record(outcome, 0, register, 0, begin, end, value)]


def faults(*records: Record) -> dict[str, int]:
    return dict(check(records).faults)


# -- writes that had ended ------------------------------------------------------------------------


def test_read_after_a_write_has_ended_must_see_it() -> None:
    history = [*write(10, 20, 1), read(21, 22, 0)]
    assert faults(*history) == {STALE: 1}


def test_read_that_began_before_the_write_had_ended_may_see_either() -> None:
    for value in (0, 1):
        assert not faults(*write(10, 20, 1), read(20, 30, value))
        assert not faults(*write(10, 20, 1), read(5, 15, value))


def test_read_may_be_newer_than_the_writes_that_had_ended() -> None:
    assert not faults(*write(10, 20, 1), *write(30, 90, 2), read(40, 50, 2))


def test_read_must_see_the_highest_of_several_writes_that_had_ended() -> None:
    history = [*write(10, 20, 1), *write(30, 40, 2), *write(50, 60, 3)]
    assert faults(*history, read(61, 62, 2)) == {STALE: 1}
    assert not faults(*history, read(61, 62, 3))


def test_stale_read_tells_how_late_it_was() -> None:
    verdict = check([*write(10, 20, 1), *write(30, 40, 2), *write(50, 60, 3), read(100, 101, 1)])
    # Since 40 a higher value than 1 had been there.
    assert verdict.worst_lag == 60
    (fault,) = verdict.examples
    assert (fault.kind, fault.value, fault.least, fault.hit) == (STALE, 1, 3, True)


def test_writer_that_misses_its_own_write_is_told_apart() -> None:
    flags = HEAD | HIT | OWNER
    history = [*write(10, 20, 1), Record(Kind.READ, 0, 0, flags, 21, 22, 0)]
    assert faults(*history) == {OWN: 1}


@pytest.mark.parametrize("outcome", [Kind.DOUBTFUL, Kind.BEGUN], ids=["doubtful", "killed"])
def test_write_whose_outcome_is_not_known_may_be_seen_or_not(outcome: Kind) -> None:
    for value in (0, 1):
        assert not faults(*write(10, 20, 1, outcome), read(30, 40, value))


@pytest.mark.parametrize("outcome", [Kind.DOUBTFUL, Kind.BEGUN], ids=["doubtful", "killed"])
def test_once_seen_such_a_write_stays(outcome: Kind) -> None:
    history = [*write(10, 20, 1, outcome), read(30, 40, 1)]
    assert faults(*history, read(41, 50, 0)) == {BACKWARD: 1}


# -- reads that had ended -------------------------------------------------------------------------


def test_no_read_goes_back_behind_one_that_had_ended() -> None:
    history = [*write(10, 99, 1), read(20, 30, 1), read(31, 40, 0)]
    assert faults(*history) == {BACKWARD: 1}


def test_reads_that_overlap_may_differ() -> None:
    assert not faults(*write(10, 99, 1), read(20, 30, 1), read(25, 40, 0))
    assert not faults(*write(10, 99, 1), read(20, 30, 1), read(30, 40, 0))


def test_one_old_read_is_found_among_many_that_are_right() -> None:
    history: list[Record] = []
    for value in range(1, 1001):
        start = value * 10
        history += [*write(start, start + 2, value), read(start + 3, start + 4, value)]
    assert not faults(*history)
    assert faults(*history, read(5006, 5007, 499)) == {STALE: 1, BACKWARD: 1}


def test_order_of_records_does_not_matter() -> None:
    history = [*write(10, 99, 1), read(20, 30, 1), read(31, 40, 0)]
    assert faults(*history[::-1]) == {BACKWARD: 1}


def test_registers_are_judged_by_themselves() -> None:
    assert not faults(*write(10, 20, 1, register=1), read(21, 22, 0, register=2))


# -- values that must not be seen -----------------------------------------------------------------


def test_value_that_nobody_has_written() -> None:
    assert faults(read(10, 20, 7)) == {UNWRITTEN: 1}


def test_value_of_a_write_that_had_not_begun() -> None:
    assert faults(read(10, 20, 1), *write(21, 30, 1)) == {UNWRITTEN: 1}
    assert not faults(read(10, 20, 1), *write(20, 30, 1))


@pytest.mark.parametrize("outcome", [Kind.ROLLED_BACK, Kind.REFUSED])
def test_value_that_was_never_committed(outcome: Kind) -> None:
    assert faults(*write(10, 20, 1, outcome), read(12, 15, 1)) == {DIRTY: 1}
    assert not faults(*write(10, 20, 1, outcome), read(30, 40, 0))


def test_value_that_was_rolled_back_and_written_again() -> None:
    history = [*write(10, 20, 1, Kind.ROLLED_BACK), *write(30, 40, 1)]
    assert not faults(*history, read(35, 36, 1))
    assert faults(*history, read(21, 22, 1)) == {DIRTY: 1}


# -- more than one value --------------------------------------------------------------------------


def pair(begin: int, end: int, value: int, other: int) -> Record:
    return Record(Kind.PAIR, 0, 0, HEAD, begin, end, value, other)


def test_values_that_are_written_together_are_seen_together() -> None:
    assert not faults(*write(10, 20, 1), pair(15, 16, 1, 1), pair(11, 12, 0, 0))
    assert faults(*write(10, 20, 1), pair(15, 16, 1, 0)) == {TORN: 1}


def test_both_values_of_a_pair_are_reads() -> None:
    assert faults(*write(10, 20, 1), pair(21, 22, 1, 0)) == {TORN: 1, STALE: 1}
    assert faults(*write(10, 20, 1), pair(21, 22, 0, 1)) == {TORN: 1, STALE: 1}


@pytest.mark.parametrize(
    ("kind", "fault"), [(Kind.OWN, OWN), (Kind.AGAIN, CHANGED), (Kind.QUIET, DISAGREES)]
)
def test_values_that_a_worker_has_compared(kind: Kind, fault: str) -> None:
    assert faults(Record(kind, 0, 0, 0, 1, 1, 5, 6)) == {fault: 1}
    assert not faults(Record(kind, 0, 0, 0, 1, 1, 6, 6))


# -- what is counted ------------------------------------------------------------------------------


def test_reads_and_hits_are_counted_once_however_much_they_see() -> None:
    records = [
        read(1, 2, 0),
        Record(Kind.READ, 0, 1, HIT, 1, 2, 0),
        Record(Kind.READ, 0, 0, HEAD, 3, 4, 0),
        Record(Kind.FAILED, 0, 0, 0, 5, 6, 0),
        Record(Kind.UNSERVED, 0, 0, 0, 0, 0, 0),
        Record(Kind.QUIET, 0, 0, HIT, 7, 7, 0, 0),
        Record(Kind.LEFT, 0, 0, 0, 0, 0, 4),
        *write(8, 20, 1),
    ]
    verdict = check(records)
    assert (verdict.reads, verdict.hits, verdict.observations, verdict.failed) == (2, 1, 3, 1)
    assert (verdict.unserved, verdict.compared, verdict.longest_write) == (1, 1, 12)
    assert verdict.store_failures == 4
    assert verdict.writes == {"committed": 1}


def test_records_come_back_from_files_as_they_were_written(tmp_path: Path) -> None:
    history = [read(begin, begin + 1, 0, begin % 9) for begin in range(120_000)]
    one, other = Recorder(tmp_path, "one"), Recorder(tmp_path, "other")
    for record in history:
        one.add(*record)
    other.add(*read(1, 2, -3))
    assert list(load(tmp_path)) == [*map(tuple, history), tuple(read(1, 2, -3))]


def test_record_that_was_cut_short_is_none(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "one")
    recorder.add(*read(1, 2, 3))
    # As a kill leaves it that comes before the last byte is written.
    recorder.add(0, 1, 1, 1, 1, 1, 1)
    assert list(load(tmp_path)) == [tuple(read(1, 2, 3))]

"""Decides whether a history is one of a linearizable cache; knows nothing of how it was made.

Each register is written by one worker at a time, with values that only ever rise. So the state of
a register at some moment is known from below without any search: it is at least every value whose
write had ended, and at least every value that a read had returned. A read that began then and
returns less is a proof of a stale cache. (A read that misses a write whose end nobody knows of yet
is no fault: the two overlap.)

All is sorting and one sweep: n log n with a small constant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.history.records import HEAD, HIT, OWNER, Kind

#: How many faults of one kind are kept with their particulars.
EXAMPLES = 5

STALE = "stale"
BACKWARD = "backward"
UNWRITTEN = "unwritten"
DIRTY = "dirty"
TORN = "torn"
OWN = "own write missed"
CHANGED = "changed in a snapshot"
DISAGREES = "disagrees when quiet"

#: Every kind of fault, with what it means.
MEANINGS = {
    STALE: "older than a write that had ended when the read began",
    BACKWARD: "older than what another read had returned when this one began",
    UNWRITTEN: "a value that nobody had begun to write when the read ended",
    DIRTY: "a value that was rolled back",
    TORN: "one of two values that are written together, without the other",
    OWN: "somebody did not see what he had written himself, or his transaction did not",
    CHANGED: "a transaction that sees one state saw two",
    DISAGREES: "the cache served something else than the database when all was quiet",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One read that no linearizable cache would have given.

    Args:
        kind: a key of `MEANINGS`.
        register: what was read.
        way: how it was read.
        begin: when the read began, in ns.
        value: what it returned.
        least: what it had to return at least, or should have returned.
        lag: for how long this had been so when the read began, in ns.
        hit: whether it was served by the cache.
    """

    kind: str
    register: int
    way: int
    begin: int
    value: int
    least: int
    lag: int
    hit: bool


@dataclass(slots=True)
class Verdict:
    """What a history shows.

    Args:
        reads: how many there were; each may look at several registers.
        hits: reads that did not reach the database.
        observations: values that were read.
        failed: reads that raised an error.
        writes: outcome → how many.
        faults: kind → observations.
        examples: the first of each kind.
        worst_lag: the longest time that a stale read lagged, in ns.
        longest_write: in ns, of those that ended.
        compared: hits that were compared with the database when all was quiet.
        unserved: reads that found no hit then.
        store_failures: how often the store failed a worker's process, as the cache counts.
    """

    reads: int = 0
    hits: int = 0
    observations: int = 0
    failed: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[Fault] = field(default_factory=list)
    worst_lag: int = 0
    longest_write: int = 0
    compared: int = 0
    unserved: int = 0
    store_failures: int = 0

    @property
    def clean(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def beyond(self, lag: float | None) -> list[str]:
        """Return the faults that a promise does not allow, in words.

        Args:
            lag: seconds that a read may be stale; None: any.
        """
        within = lag is None or self.worst_lag <= lag * 1e9
        return [
            f"{number} {kind}"
            for kind, number in self.faults.items()
            if not (within and kind in (STALE, BACKWARD))
        ]

    def note(self, fault: Fault) -> None:
        """Count a fault and keep it if it is one of the first of its kind."""
        self.faults[fault.kind] += 1
        if self.faults[fault.kind] <= EXAMPLES:
            self.examples.append(fault)
        if fault.kind in (STALE, BACKWARD):
            self.worst_lag = max(self.worst_lag, fault.lag)


class _Register:
    """What is known of one register."""

    __slots__ = ("begun", "committed", "reads", "undone")

    def __init__(self) -> None:
        #: (begin, end, value, way, flags)
        self.reads: list[tuple[int, int, int, int, int]] = []
        #: (end, value)
        self.committed: list[tuple[int, int]] = []
        #: (value, begin) of every write that was begun.
        self.begun: set[tuple[int, int]] = set()
        #: (value, begin) of those that were rolled back for certain.
        self.undone: set[tuple[int, int]] = set()


_OUTCOMES = {
    Kind.COMMITTED: "committed",
    Kind.ROLLED_BACK: "rolled back",
    Kind.DOUBTFUL: "doubtful",
    Kind.REFUSED: "refused",
}
_COMPARED = {Kind.OWN: OWN, Kind.AGAIN: CHANGED, Kind.QUIET: DISAGREES}


def check(records: Iterable[tuple[int, ...]]) -> Verdict:
    """Check a history.

    Args:
        records: in any order; plain tuples in the order of the fields of `Record`.
    """
    verdict = Verdict()
    registers: dict[int, _Register] = {}
    read, pair, begun = int(Kind.READ), int(Kind.PAIR), int(Kind.BEGUN)
    for kind, way, number, flags, begin, end, value, other in records:
        register = registers.get(number)
        if register is None:
            register = registers[number] = _Register()
        if kind == read:
            register.reads.append((begin, end, value, way, flags))
        elif kind == pair:
            register.reads.append((begin, end, value, way, flags))
            if value != other:
                register.reads.append((begin, end, other, way, flags & ~HEAD))
                verdict.note(Fault(TORN, number, way, begin, value, other, 0, bool(flags & HIT)))
        elif kind == begun:
            register.begun.add((value, begin))
        elif kind == Kind.FAILED:
            verdict.failed += 1
        elif kind == Kind.LEFT:
            verdict.store_failures += value
        elif kind == Kind.UNSERVED:
            verdict.unserved += 1
        elif kind in _COMPARED:
            verdict.compared += kind == Kind.QUIET and flags & HIT == HIT
            if value != other:
                hit = bool(flags & HIT)
                fault = Fault(_COMPARED[Kind(kind)], number, way, begin, value, other, 0, hit)
                verdict.note(fault)
        else:
            _note_outcome(verdict, register, kind, begin, end, value)
    for number, register in registers.items():
        _sweep(verdict, number, register)
    return verdict


def _note_outcome(
    verdict: Verdict, register: _Register, kind: int, begin: int, end: int, value: int
) -> None:
    verdict.writes[_OUTCOMES[Kind(kind)]] += 1
    verdict.longest_write = max(verdict.longest_write, end - begin)
    register.begun.add((value, begin))
    if kind == Kind.COMMITTED:
        register.committed.append((end, value))
    elif kind != Kind.DOUBTFUL:
        register.undone.add((value, begin))


def _sweep(verdict: Verdict, number: int, register: _Register) -> None:
    reads = register.reads
    reads.sort()
    # Value → when its write was begun at the earliest. A value of which all writes were rolled
    # back is no value at all.
    writes = sorted(register.begun - register.undone, key=lambda write: -write[1])
    begun = {0: 0} | dict(writes)
    rolled_back = {value for value, _ in register.undone}
    written = _Floor(register.committed)
    seen = _Floor([(end, value) for _, end, value, _, _ in reads])
    for begin, end, value, way, flags in reads:
        hit = flags & HIT
        if flags & HEAD:
            verdict.reads += 1
            verdict.hits += hit == HIT
        least = written.before(begin)
        if value < least:
            lag = written.lag(begin, value)
            kind = OWN if flags & OWNER else STALE
            verdict.note(Fault(kind, number, way, begin, value, least, lag, bool(hit)))
        least = seen.before(begin)
        if value < least:
            lag = seen.lag(begin, value)
            verdict.note(Fault(BACKWARD, number, way, begin, value, least, lag, bool(hit)))
        since = begun.get(value)
        if since is None or since > end:
            kind = DIRTY if value in rolled_back else UNWRITTEN
            verdict.note(Fault(kind, number, way, begin, value, 0, 0, bool(hit)))
    verdict.observations += len(reads)


class _Floor:
    """The least that a register can hold, as time goes by.

    Args:
        ends: (when it was over, the value) of each operation that shows a value.
    """

    __slots__ = ("_at", "_ends", "_highest", "_least")

    def __init__(self, ends: list[tuple[int, int]]) -> None:
        ends.sort()
        self._ends = ends
        self._at = 0
        self._least = 0
        self._highest: list[int] = []

    def before(self, moment: int) -> int:
        """Return the highest value that was over before a moment; moments must not go back."""
        ends = self._ends
        at = self._at
        while at < len(ends) and ends[at][0] < moment:
            value = ends[at][1]
            if value > self._least:
                self._least = value
            at += 1
        self._at = at
        return self._least

    def lag(self, moment: int, value: int) -> int:
        """Return for how long a higher value than this had been over, in ns."""
        if not self._highest:
            least = 0
            for _, each in self._ends:
                least = max(least, each)
                self._highest.append(least)
        return moment - self._ends[bisect_right(self._highest, value)][0]

"""How much is measured: in full, in short, and just to see that it works."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import labels

SHAPES = tuple(labels.SHAPES) + tuple(labels.ROWS)
WRITES = tuple(labels.WRITES)

#: What one run can be made of, in this order.
PARTS = (*("queries", "traffic", "pages", "load", "stale", "slow", "memory", "startup"),)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Args:
        databases: that take part unless others are asked for.
        parts: that are measured unless others are asked for.
        rounds: of each case at most.
        seconds: of one go of one contender.
        longest: seconds that all goes of one contender in one case may take.
        shapes: queries that are measured.
        writes: writes that are measured.
        warm: operations of traffic before those that are measured.
        settling: seconds in the midst of them, in which a store that has just been started gets to
            know that nobody is writing.
        measured: operations of traffic that are measured.
        batch: operations of traffic in one go.
        shares: writes in 100 operations of traffic.
        checked: operations of traffic whose reads are compared with the database.
        load_seconds: of one go of many threads or processes.
        load_rounds: goes of each number of them.
        threads: numbers of threads.
        processes: numbers of processes.
        pages: requests for each page.
        witnesses: processes that write rows, and that read them meanwhile.
        stale_seconds: how long they go on.
        delays: of the store's answers, in ms.
        slow_reads: reads at each delay.
        hangs: seconds that the store hangs.
        entries: different entries that the memory of one is measured with.
        store_writes: writes after which a store must not have grown.
        starts: fresh processes for each way to start.
    """

    databases: tuple[str, ...]
    parts: tuple[str, ...]
    rounds: int
    seconds: float
    longest: float
    shapes: tuple[str, ...]
    writes: tuple[str, ...]
    warm: int
    settling: float
    measured: int
    batch: int
    shares: tuple[int, ...]
    checked: int
    load_seconds: float
    load_rounds: int
    threads: tuple[int, ...]
    processes: tuple[int, ...]
    pages: int
    witnesses: tuple[int, int]
    stale_seconds: float
    delays: tuple[int, ...]
    slow_reads: int
    hangs: float
    entries: int
    store_writes: int
    starts: int


#: The first share comes to an empty cache, and leaves it full to the next.
SIZES = {
    "full": Size(
        databases=("sqlite", "postgresql", "mariadb"),
        parts=PARTS,
        rounds=8,
        seconds=0.01,
        longest=0.3,
        shapes=SHAPES,
        writes=WRITES,
        warm=8000,
        settling=6.0,
        measured=1000,
        batch=50,
        shares=(0, 1, 5, 20),
        checked=300,
        load_seconds=0.3,
        load_rounds=2,
        threads=(1, 2, 4, 8),
        processes=(1, 2, 4, 8),
        pages=25,
        witnesses=(2, 6),
        stale_seconds=3.0,
        delays=(0, 1, 5, 20),
        slow_reads=100,
        hangs=2.0,
        entries=10_000,
        store_writes=1_000_000,
        starts=9,
    ),
    "quick": Size(
        databases=("sqlite", "postgresql"),
        parts=("queries", "traffic"),
        rounds=3,
        seconds=0.002,
        longest=0.05,
        shapes=("get", "count", "page", "atomic", "rich"),
        writes=("save", "atomic"),
        warm=200,
        settling=6.0,
        measured=120,
        batch=10,
        shares=(0, 5),
        checked=40,
        load_seconds=0.2,
        load_rounds=1,
        threads=(1, 4),
        processes=(1, 2),
        pages=4,
        witnesses=(1, 2),
        stale_seconds=0.8,
        delays=(0, 5),
        slow_reads=40,
        hangs=0.7,
        entries=500,
        store_writes=20_000,
        starts=1,
    ),
    "smoke": Size(
        databases=("sqlite",),
        parts=PARTS,
        rounds=2,
        seconds=0.0002,
        longest=0.01,
        shapes=("get", "rows10"),
        writes=("save",),
        warm=10,
        settling=0.0,
        measured=20,
        batch=10,
        shares=(5,),
        checked=10,
        load_seconds=0.05,
        load_rounds=1,
        threads=(2,),
        processes=(2,),
        pages=2,
        witnesses=(1, 2),
        stale_seconds=0.3,
        delays=(2,),
        slow_reads=8,
        hangs=0.4,
        entries=50,
        store_writes=200,
        starts=1,
    ),
}

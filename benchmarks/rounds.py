"""Lets contenders take turns: whatever slows the machine slows all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.plan import Size
from benchmarks.processes import Failed, Process, together

LEAST_ROUNDS = 3

YARDSTICKS = ("mget", "stamps")
#: Whose process runs the yardsticks, since it knows the keys.
MEASURES = "querycache-redis"


class Found(NamedTuple):
    """What one case gave.

    Args:
        times: seconds of one turn, round by round, for each contender.
        failed: why there are none, for each contender that could not.
    """

    times: dict[str, list[float]]
    failed: dict[str, str]


class _Lane(NamedTuple):
    name: str
    process: Process
    case: str
    number: int


def measure(group: Sequence[Process], case: str, size: Size, times: int = 1) -> Found:
    """Run a case in rounds.

    Hits on Redis are joined by two yardsticks: ``"mget"``, bare MGETs of the keys that they ask
    for, and ``"stamps"``, the same without the entries.

    Args:
        group: who takes part.
        case: what runs, such as ``"hit:get"``.
        size: how much.
        times: so many times the usual number of rounds.
    """
    failed: dict[str, str] = {}
    able = list(group)
    if case.startswith("hit:"):
        # A store that has just been started keeps readers out for a lease: wait for all at once.
        for process, answer in together(group, "queries.warm", case=case).items():
            if isinstance(answer, Failed):
                failed[process.name] = str(answer)
                able.remove(process)
    wanted = [(process.name, process, case) for process in able]
    if case.startswith("hit:"):
        wanted += [
            (yardstick, one, case.replace("hit:", f"{yardstick}:"))
            for one in able
            if one.name == MEASURES
            for yardstick in YARDSTICKS
        ]
    lanes = []
    for name, process, its_case in wanted:
        try:
            answer = process.ask("queries.prepare", case=its_case, seconds=size.seconds)
            lanes.append(_Lane(name, process, its_case, answer["number"]))
        except Failed as reason:
            failed[name] = str(reason)
    spent: dict[str, list[float]] = {lane.name: [] for lane in lanes}
    rounds = size.rounds * times
    turn = 0
    while turn < rounds and lanes:
        # Not always in the same order: a neighbour may leave caches warm or cold.
        start = turn % len(lanes)
        for lane in (*lanes[start:], *lanes[:start]):
            try:
                answer = lane.process.ask("queries.run", case=lane.case, number=lane.number)
            except Failed as reason:
                failed[lane.name] = str(reason)
                del spent[lane.name]
                lanes.remove(lane)
            else:
                spent[lane.name].append(answer["seconds"])
        turn += 1
        if turn == LEAST_ROUNDS:
            rounds = min(rounds, _affordable(lanes, spent, size.longest * times))
    return Found(spent, failed)


def _affordable(lanes: Sequence[_Lane], spent: dict[str, list[float]], longest: float) -> int:
    slowest: Any = max(
        (spent[lane.name][-1] * lane.number * 9 / 8 for lane in lanes), default=longest
    )
    return max(LEAST_ROUNDS, round(longest / max(slowest, 1e-9)))

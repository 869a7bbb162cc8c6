"""What an outage of the store costs: `python -m benchmarks outage`.

A private Redis is killed and started again, or frozen and let go on, under processes that cache a
private PostgreSQL with every setting at its default. Reads are timed before and meanwhile, beside
those of a process without a cache. In outages of their own, one process writes rows that others
read, all the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks.contenders import CONTENDERS, NONE
from benchmarks.environment import Environment, open_environment
from benchmarks.figures import ratios, rounded
from benchmarks.machine import Neighbours, machine
from benchmarks.processes import Process, all_of, place_of, started, together
from benchmarks.work.witness import BYTES, ROWS
from tests.servers import RedisServer

CACHED = CONTENDERS["querycache-redis"]
DATABASE = "postgresql"
CASE = "hit:get"
#: A killed store comes back empty, a frozen one with all that it had.
WAYS = ("killed", "frozen")
#: Reads of one round.
READS = 50
#: Between two writes, in seconds.
PAUSE = 0.02
#: How long rows are written before an outage, in seconds.
BEFORE_SECONDS = 1.0
#: How long after each sort: a store that came back empty keeps readers out for a lease (5 s), and
#: what is served from then on must be right too.
AFTER_SECONDS = {"killed": 7.0, "frozen": 3.0}


class Plan(NamedTuple):
    """How much is measured.

    Args:
        outages: of each sort.
        rounds: of reads in each outage, and before it.
        seconds: that an outage with writes lasts.
        readers: processes that read what another writes.
    """

    outages: int
    rounds: int
    seconds: float
    readers: int


def measure(environment: Environment, plan: Plan) -> dict[str, Any]:
    """Return the figures of a run.

    Args:
        environment: has the servers.
        plan: how much is measured.

    Raises:
        Unavailable: a server cannot run here.
        Failed: a process could not do its part.
    """
    return {how: _measure(environment, plan, how) for how in WAYS}


def _measure(environment: Environment, plan: Plan, how: str) -> dict[str, Any]:
    costs = [_cost(environment, plan.rounds, how) for _ in range(plan.outages)]
    seen = [_witnessed(environment, plan, how) for _ in range(plan.outages)]
    found: dict[str, Any] = {"get": {}}
    for state in ("up", "down"):
        pairs = [pair for cost in costs for pair in cost.pairs[state]]
        times = {"querycache": [mine for mine, _ in pairs], "none": [other for _, other in pairs]}
        us = {name: {"us": rounded([s * 1e6 for s in own], 1)} for name, own in times.items()}
        us["querycache"] |= ratios(times)["querycache"]
        found["get"][state] = us
    again = [cost.again for cost in costs]
    return {
        **found,
        "first_ms": rounded([cost.first for cost in costs], 1),
        "serves_again_ms": {**rounded(again, 0), "longest": round(max(again))},
        "witnessed": {key: sum(one[key] for one in seen) for key in seen[0]},
    }


class Cost(NamedTuple):
    """What one outage cost.

    Args:
        pairs: seconds of a read with the cache and without, round by round, with the store up and
            down.
        first: ms of the first read when the store was gone.
        again: ms from the moment that the store answered again to the first hit.
    """

    pairs: dict[str, list[tuple[float, float]]]
    first: float
    again: float


def _cost(environment: Environment, rounds: int, how: str) -> Cost:
    with _crew(environment, 1) as (server, bare, (cached,)):
        cached.ask("queries.warm", case=CASE)
        up = _rounds(cached, bare, rounds)
        _stop(server, how)
        first = cached.ask("slow.times", case=CASE, number=1)["longest"]
        down = _rounds(cached, bare, rounds)
        cached.tell("outage.serve")
        _bring_back(server)
        answers = time.monotonic()
        again = (cached.hear()["at"] - answers) * 1e3
    return Cost({"up": up, "down": down}, first, again)


def _rounds(cached: Process, bare: Process, rounds: int) -> list[tuple[float, float]]:
    pairs = []
    for turn in range(rounds):
        order = (cached, bare) if turn % 2 else (bare, cached)
        spent = {one: one.ask("queries.run", case=CASE, number=READS)["seconds"] for one in order}
        pairs.append((spent[cached], spent[bare]))
    return pairs


def _witnessed(environment: Environment, plan: Plan, how: str) -> dict[str, int]:
    """Let rows be written and read before, in and after an outage; return what was counted."""
    board = environment.make_folder("board") / "board"
    board.write_bytes(bytes(BYTES))
    with _crew(environment, 1 + plan.readers) as (server, _, (writer, *readers)):
        _all(readers, "witness.settle")
        _all([writer, *readers], "witness.join", board=str(board))
        for process in readers:
            process.tell("witness.read", writers=3)
        counts = []
        for number, lasts in enumerate((BEFORE_SECONDS, plan.seconds, AFTER_SECONDS[how])):
            writer.tell(
                "witness.write", writer=number, rows=list(range(ROWS)), seconds=lasts, pause=PAUSE
            )
            # A write is under way when the store goes, and when it comes back.
            if number == 1:
                _stop(server, how)
            elif number == 2:
                _bring_back(server)
            counts.append(writer.hear()["done"])
        answers = [process.hear() for process in readers]
        # Whoever never served anything again would never be stale.
        _all(readers, "outage.serve")
    return {
        **{key: sum(answer[key] for answer in answers) for key in answers[0]},
        "writes": sum(counts),
        "writes_in_outage": counts[1],
    }


def _stop(server: RedisServer, how: str) -> None:
    if how == "frozen":
        server.pause()
    else:
        server.kill()


def _bring_back(server: RedisServer) -> None:
    server.resume()
    server.start()


@contextmanager
def _crew(
    environment: Environment, cached: int
) -> Iterator[tuple[RedisServer, Process, list[Process]]]:
    """Give a store, a process without a cache, and so many with one that share a database."""
    with RedisServer() as server:
        place = place_of(environment, DATABASE, CACHED, "outage")._replace(store=server.url)
        bare = place_of(environment, DATABASE, NONE, "outage")
        with started([(NONE, bare), *[(CACHED, place)] * cached]) as group:
            _all(group, "shop.open")
            yield server, group[0], group[1:]


def _all(group: Sequence[Process], do: str, **arguments: Any) -> None:
    all_of(together(group, do, **arguments))


def table(found: dict[str, Any]) -> str:
    """Return figures for people.

    Args:
        found: as `measure` returns them.
    """
    lines = [f"{'get(pk), µs':<20}{'no cache':>10}{'querycache':>12}{'over no cache':>15}"]
    for how, figures in found.items():
        for state, label in (("up", "the store is up"), ("down", f"it is {how}")):
            mine, other = (figures["get"][state][name] for name in ("querycache", "none"))
            lines.append(
                f"{label:<20}{other['us']['median']:>10.0f}{mine['us']['median']:>12.0f}"
                f"{mine['over_none']['median']:>15.2f}"
            )
    for how, figures in found.items():
        again, seen = figures["serves_again_ms"], figures["witnessed"]
        lines += [
            f"\n{how.capitalize()}: the first read takes {figures['first_ms']['median']:.0f} ms.",
            f"First hit {again['median']:.0f} ms after it answers ({again['longest']} at most).",
            f"{seen['writes']} writes, {seen['writes_in_outage']} in outages.",
            f"{seen['reads']} reads: {seen['stale']} stale, {seen['back']} went back.",
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print.

    Args:
        arguments: of the command line; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks outage", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--outages", type=int, default=3, help="outages of each sort")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of reads in each outage")
    parser.add_argument("--seconds", type=float, default=5.0, help="of an outage with writes")
    parser.add_argument("--readers", type=int, default=2, help="processes that read meanwhile")
    options = parser.parse_args(arguments)
    plan = Plan(options.outages, options.rounds, options.seconds, options.readers)
    neighbours = Neighbours()
    with open_environment() as environment:
        found = measure(environment, plan)
    if options.json:
        about = {"others": neighbours.share(), "machine": machine()}
        print(json.dumps({"found": found, **about}, indent=2))
    else:
        print(table(found))


if __name__ == "__main__":
    main()

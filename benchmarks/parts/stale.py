"""Stale reads: processes write rows that others read, and the writers are far from the store."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import Contender
from benchmarks.parts.base import Run
from benchmarks.parts.distance import behind_proxy
from benchmarks.processes import Failed, Place, Process, all_of, started, together
from benchmarks.work.witness import BYTES, ROWS

#: How far the writers are from a store with a server, in seconds.
DISTANCE = 0.01
#: Between two writes of one writer, in seconds.
PAUSE = 0.05


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Count stale reads, and reads that went back in time, of each contender.

    Args:
        run: which run.
        database: on which.
    """
    places = run.places(database, "stale", lambda contender: contender.real and contender.shared)
    found: dict[str, Any] = {}
    with behind_proxy(places) as (far, distance):
        distance.delay(DISTANCE)
        for contender, place in places.items():
            try:
                found[contender.name] = watch(run, contender, place, far[contender])
            except Failed as reason:
                found[contender.name] = {"failed": str(reason)}
            run.progress.step(contender.name)
    return found


def watch(run: Run, contender: Contender, near: Place, far: Place) -> dict[str, Any]:
    """Count stale reads of one contender.

    Args:
        run: which run.
        contender: who.
        near: where readers run.
        far: where writers run.

    Raises:
        Failed: one of its processes could not do its part.
    """
    board = near.folder / "board"
    board.write_bytes(bytes(BYTES))
    writing, reading = run.size.witnesses
    crew = [(contender, far)] * writing + [(contender, near)] * reading
    with started(crew) as group:
        for failure in run.open(group).values():
            raise Failed(failure)
        writers, readers = group[:writing], group[writing:]
        _tell_all(group, "witness.join", board=str(board))
        _tell_all(readers, "witness.settle")
        seconds = run.size.stale_seconds
        share = ROWS // writing
        for number, process in enumerate(writers):
            rows = list(range(number * share, (number + 1) * share))
            process.tell("witness.write", writer=number, rows=rows, seconds=seconds, pause=PAUSE)
        for process in readers:
            process.tell("witness.read", writers=len(writers))
        written = sum(process.hear()["done"] for process in writers)
        answers = [process.hear() for process in readers]
    total = {key: sum(answer[key] for answer in answers) for key in answers[0]}
    reads = max(1, total["reads"])
    return {
        "reads": total["reads"],
        "writes": written,
        "writers": writing,
        "readers": reading,
        "stale": total["stale"],
        "back": total["back"],
        "stale_of_1000": round(1000 * total["stale"] / reads, 2),
        "back_of_1000": round(1000 * total["back"] / reads, 2),
        "reached_of_1000": round(1000 * total["reached"] / reads),
    }


def _tell_all(group: list[Process], do: str, **arguments: Any) -> None:
    all_of(together(group, do, **arguments))

"""What every part of a run is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environment import Environment, Unavailable
from benchmarks.plan import Size
from benchmarks.processes import Failed, Place, Process, place_of, together
from benchmarks.progress import Progress


@dataclass(slots=True)
class Run:
    """One run.

    Args:
        environment: has the servers.
        size: how much is measured.
        contenders: who takes part.
        progress: is told how far it is.
        versions: of what ran, by name; filled on the way.
    """

    environment: Environment
    size: Size
    contenders: Sequence[Contender]
    progress: Progress
    versions: dict[str, str] = field(default_factory=dict)

    def places(
        self, database: str, part: str, wanted: Callable[[Contender], bool]
    ) -> dict[Contender, Place]:
        """Make a place for each contender that a part wants, and that can run on a database."""
        return {
            contender: place_of(self.environment, database, contender, part)
            for contender in self.contenders
            if wanted(contender) and database not in contender.unsupported
        }

    def open(self, group: Sequence[Process]) -> dict[str, str]:
        """Let processes connect; return why some cannot, by their names."""
        failed = {}
        for process, answer in together(group, "shop.open").items():
            if isinstance(answer, Failed):
                failed[process.name] = str(answer)
            else:
                self.versions |= answer["versions"]
        return failed


def guarded(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a part gives, or why it gives nothing: it hides nothing else."""
    try:
        return measure()
    except (Failed, Unavailable, OSError, RuntimeError) as reason:
        return {"failed": f"{type(reason).__name__}: {reason}"}

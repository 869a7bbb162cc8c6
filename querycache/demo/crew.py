"""Several worker processes, all of which get each order at the same time."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from querycache.demo.messages import Order, Tally
from querycache.demo.project import Project

#: Seconds that a process may take to end by itself.
_PATIENCE: Final = 5


class WorkerError(Exception):
    """A worker process failed; the message is its traceback, where it has sent one."""


def serve(project: Project, index: int, orders: Connection, *, cached: bool) -> None:
    """Carry out orders until the pipe ends; the target of a process.

    Args:
        project: to set up in this process.
        index: of this process among those of its kind, from 0.
        orders: gives `Order` and takes a `Tally`, or a traceback as text.
        cached: whether querycache is installed.
    """
    # Both may reach every process of a group; the parent decides what becomes of it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        project.set_up(cached=cached)
        # Models can be imported only now.
        from querycache.demo.worker import Worker

        worker = Worker(index)
        orders.send(None)
        while True:
            orders.send(worker.obey(orders.recv()))
    except (EOFError, BrokenPipeError):
        # The parent is done, or gone.
        pass
    except Exception:  # noqa: BLE001 - whatever it is, the parent is to say it
        orders.send(traceback.format_exc())
    finally:
        project.close()


class Crew:
    """Worker processes; a context manager that starts them and leaves none behind.

    Args:
        project: for them to set up.
        processes: how many.
        cached: whether querycache is installed in them.
    """

    def __init__(self, project: Project, processes: int, *, cached: bool) -> None:
        self._project = project
        self._processes = processes
        self._cached = cached
        self._members: list[tuple[SpawnProcess, Connection]] = []

    def __enter__(self) -> Crew:
        # A process made by fork would share what Django and LMDB have open in this one.
        context = multiprocessing.get_context("spawn")
        try:
            for index in range(self._processes):
                mine, theirs = context.Pipe()
                process = context.Process(
                    target=serve,
                    args=(self._project, index, theirs),
                    kwargs={"cached": self._cached},
                    daemon=True,
                )
                process.start()
                theirs.close()
                self._members.append((process, mine))
            # Nobody begins while others start up, which would spoil the times.
            for _, pipe in self._members:
                self._receive(pipe)
        except BaseException:
            self._stop(at_once=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._stop(at_once=kind is not None)

    def obey(self, orders: Iterable[Order]) -> list[Tally]:
        """Have every process carry out an order, all at the same time.

        Args:
            orders: what each of them is to do; may go on for ever.

        Returns:
            What each of them found.

        Raises:
            WorkerError: one of them failed.
        """
        for (_, pipe), order in zip(self._members, orders, strict=False):
            pipe.send(order)
        return [self._receive(pipe) for _, pipe in self._members]

    @staticmethod
    def _receive(pipe: Connection) -> Tally:
        try:
            found = pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerError("a worker process died") from error
        if isinstance(found, str):
            raise WorkerError(found)
        result: Tally = found
        return result

    def _stop(self, *, at_once: bool) -> None:
        for process, pipe in self._members:
            pipe.close()
            if at_once:
                process.kill()
        for process, _ in self._members:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        self._members = []

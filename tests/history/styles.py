"""How several workers share a process: one after another is none of the ways."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from collections.abc import Callable, Sequence

from django.db import connection

from tests.history import reads
from tests.history.records import HEAD
from tests.history.worker import Worker, now

Makers = Sequence[Callable[[], Worker]]


def _alone(makers: Makers) -> None:
    """Run one worker as the process."""
    (make,) = makers
    make().run()


def _threads(makers: Makers) -> None:
    """Run each worker as a thread, with connections of its own."""

    def work(make: Callable[[], Worker]) -> None:
        try:
            make().run()
        except BaseException:  # noqa: BLE001 - one that fails fails all
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=work, args=(make,)) for make in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _tasks(makers: Makers) -> None:
    """Run each worker as a task of one event loop; Django's asynchronous ORM has one thread."""
    workers = [make() for make in makers]

    async def work(worker: Worker) -> None:
        while worker.board.state <= worker.until:
            look = worker.choose.choice(reads.ASYNC_LOOKS)
            begin = now()
            seen = await look(worker.choose.randrange(worker.writers))
            worker.write_down(seen, 0, HEAD, begin, now())

    async def all_of_them() -> None:
        await asyncio.gather(*map(work, workers))

    asyncio.run(all_of_them())
    for worker in workers:
        worker.finish()
    connection.close()


#: How → what runs workers in that way, and returns when they are done.
STYLES: dict[str, Callable[[Makers], None]] = {
    "processes": _alone,
    "threads": _threads,
    "tasks": _tasks,
}

"""Forked children whose failures are those of the test."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable

from querycache.testing.base import PATIENCE


class Forks:
    """Runs parts of a test in forked children."""

    def _in_child(self, work: Callable[[], None]) -> None:
        self._join(self._fork(work))

    def _fork(self, work: Callable[[], None]) -> tuple[int, int]:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns of a fork beside threads: that is what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))
            failed = 1
            try:
                os.close(reading)
                work()
                failed = 0
            except BaseException:  # noqa: BLE001 - a child must never return into pytest
                os.write(writing, traceback.format_exc().encode()[-4000:])
            finally:
                os._exit(failed)
        os.close(writing)
        return pid, reading

    def _join(self, child: tuple[int, int]) -> None:
        pid, reading = child
        with os.fdopen(reading, "rb") as pipe:
            complaint = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        assert status == 0, complaint or f"the child ended with status {status}"

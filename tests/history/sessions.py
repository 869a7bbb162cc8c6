"""The database sessions of a writer and of its predecessors: what they began may still commit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

#: Seconds after which a session that was killed should be over.
_PATIENCE = 60.0

_OWN = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_OPEN = {
    "postgresql": "SELECT pid FROM pg_stat_activity",
    "mysql": "SELECT id FROM information_schema.processlist",
}


class Sessions:
    """Writes down every session of a writer before it can write anything.

    Args:
        folder: of the run.
        number: of the writer.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._path = folder / f"sessions-{number}"
        self._path.touch()
        # Of this thread; others of the process have their own.
        self._connection: Any = connections["default"]
        connection_created.connect(self._connected, weak=False)

    def _connected(self, *, connection: Any, **kwargs: Any) -> None:
        if connection is not self._connection:
            return
        if connection.vendor == "sqlite":
            # A transaction that has read cannot write once another has written.
            connection.transaction_mode = "IMMEDIATE"
        elif connection.vendor in _OWN:
            with self._path.open("a") as file:
                file.write(f"{self._ask(_OWN)[0]}\n")

    def wait_for_others(self) -> None:
        """Wait until all sessions but the open one are over."""
        self._connection.ensure_connection()
        if self._connection.vendor not in _OWN:
            # The transactions of a killed process went with it.
            return
        own = self._ask(_OWN)[0]
        known = {int(line) for line in self._path.read_text().split()} - {own}
        deadline = time.monotonic() + _PATIENCE
        while known.intersection(self._ask(_OPEN)):
            assert time.monotonic() < deadline, "an old session does not end"
            time.sleep(0.002)

    def _ask(self, questions: dict[str, str]) -> list[int]:
        with self._connection.cursor() as cursor:
            cursor.execute(questions[self._connection.vendor])
            return [row[0] for row in cursor.fetchall()]

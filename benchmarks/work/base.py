"""What every work of a contender's process knows."""

from __future__ import annotations

from itertools import count
from typing import Any

from benchmarks.contenders import Contender


class Bench:
    """A contender's process.

    Args:
        contender: who it is.
        store: URL of the server with its entries, empty where it has none.
    """

    def __init__(self, contender: Contender, store: str) -> None:
        self.contender = contender
        self.store = store
        #: Numbers of turns; never the same twice, so that a write always changes something.
        self.turns = count()
        #: Statements that this thread's connection was given.
        self.reached = 0

    def watch(self) -> None:
        """Count what reaches the database from this thread."""
        from django.db import connection

        connection.execute_wrappers.append(self._count)

    def _count(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        # What opens a transaction of SQLite asks for nothing.
        if sql != "BEGIN":
            self.reached += 1
        return execute(sql, params, many, context)


class Work:
    """A group of commands; each method without an underscore is one.

    Args:
        bench: whose.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.contender = bench.contender

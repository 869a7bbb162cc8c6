"""The process that workers are forked from: Django, one cache, and connections that are in use.

`python -m tests.history.crew` takes commands as lines of JSON on standard input and answers each
with one. It forks as a preforking server does, after it has used the database and the store itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

from tests.history import contenders
from tests.history.board import Board, Spec

if TYPE_CHECKING:
    from tests.history.worker import Worker


class Crew:
    """What the process can be told to do."""

    def __init__(self) -> None:
        self._cache = ""
        self._folder = Path()
        self._writers = 0
        self._options: dict[str, Any] = {}
        self._prefix = self._store = ""
        self._workers = 0

    def enter(
        self,
        cache: str,
        store: str,
        prefix: str,
        options: dict[str, Any],
        database: dict[str, Any],
        folder: str,
        writers: int,
        slow: float,
    ) -> dict[str, Any]:
        """Set Django up, make the tables and use them; answers with versions."""
        self._cache, self._folder, self._writers = cache, Path(folder), writers
        self._prefix, self._options, self._store = prefix, options, store
        settings.configure(**contenders.settings_for(cache, store, prefix, options, database))
        if slow:
            _slow_down(slow)
        django.setup()
        from django.db import connection

        _make_tables(writers)
        Board(self._folder)
        if store.startswith("memory:"):
            # A child has one of its own, and would wait until this one is out of use.
            from querycache import journal

            journal.forget_store(connection)
        else:
            for _ in range(2):
                self.look()
        found = {"Django": version("Django")}
        if cache == "cachalot":
            found["django-cachalot"] = version("django-cachalot")
        with connection.cursor() as cursor:
            lite = connection.vendor == "sqlite"
            cursor.execute("SELECT sqlite_version()" if lite else "SELECT version()")
            place = "SQLite" if lite else connection.display_name
            found[place] = cursor.fetchone()[0].split(" (")[0].split(" on ")[0]
        return {"versions": found}

    def look(self) -> dict[str, Any]:
        """Read in every way."""
        from tests.history import reads

        for look in reads.LOOKS.values():
            look(0)
        return {}

    def fork(self, specs: list[dict[str, Any]], style: str) -> dict[str, Any]:
        """Start a process for one worker, or for several as threads or tasks."""
        places = range(self._workers, self._workers + len(specs))
        self._workers += len(specs)
        from django.db import connections

        # A child that closed what it inherits would end its parent's session.
        connections.close_all()
        pid = os.fork()
        if not pid:
            self._child([Spec(**spec) for spec in specs], style, places)
        return {"pid": pid}

    def ended(self) -> dict[str, Any]:
        """Answer with the pid and the exit status of each child that has ended."""
        found = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            found.append([pid, os.waitstatus_to_exitcode(status)])
        return {"ended": found}

    # -- in the child --------------------------------------------------------------------------

    def _child(self, specs: list[Spec], style: str, places: range) -> None:
        status = 1
        try:
            _end_with_parent()
            from tests.history.styles import STYLES

            self._settle_in(specs[0])
            made: list[Callable[[], Worker]] = [
                self._maker(spec, place) for spec, place in zip(specs, places, strict=True)
            ]
            STYLES[style](made)
            status = 0
        except BaseException:  # noqa: BLE001 - told through standard error and the status
            traceback.print_exc()
        finally:
            os._exit(status)

    def _maker(self, spec: Spec, place: int) -> Callable[[], Worker]:
        from tests.history.worker import Worker
        from tests.history.writer import Writer

        made = Writer if spec.role == "writer" else Worker
        return lambda: made(spec, self._folder, self._cache, self._writers, place)

    def _settle_in(self, spec: Spec) -> None:
        from django.db import connections

        database = connections.settings["default"]
        if spec.isolation and connections["default"].vendor != "sqlite":
            options = database["OPTIONS"] = dict(database.get("OPTIONS") or {})
            options["isolation_level"] = _isolation(database["ENGINE"], spec.isolation)
        # The one that the crew has used keeps its settings.
        del connections["default"]
        if spec.store or self._cache == "cachalot":
            # The clients of Django's caches are not made for forks.
            store = spec.store or self._store
            changed = contenders.store_settings(self._cache, store, self._prefix, self._options)
            contenders.follow(self._cache, changed)
        if spec.mutant:
            contenders.mutate(spec.mutant)


def _end_with_parent() -> None:
    """Have the kernel kill this process when the crew ends, in whatever way."""
    death_signal = 1
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def _isolation(engine: str, level: str) -> Any:
    if not engine.endswith("postgresql"):
        return level
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    return IsolationLevel[level.upper().replace(" ", "_")]


def _make_tables(writers: int) -> None:
    from django.apps import apps
    from django.db import connection

    from tests.history.models import Account, Ledger
    from tests.history.registers import paired_row

    with connection.schema_editor() as editor:
        # The cache may have tables of its own.
        for model in apps.get_models():
            editor.create_model(model)
    rows = range(1, paired_row(writers - 1) + 1)
    Account.objects.bulk_create([Account(pk=row) for row in rows])
    Ledger.objects.bulk_create([Ledger(pk=row, account_id=row) for row in rows])


def _slow_down(seconds: float) -> None:
    """Let commits, and statements in autocommit, take longer before and after they commit.

    This goes in before the cache does, so that it is what the cache calls.
    """
    import random

    from django.db.backends import utils
    from django.db.backends.base import base

    wrapper: Any = base.BaseDatabaseWrapper
    cursor: Any = utils.CursorWrapper
    commit, execute = wrapper._commit, cursor._execute

    def slow_commit(self: Any) -> Any:
        time.sleep(random.uniform(0, seconds))
        result = commit(self)
        time.sleep(random.uniform(0, seconds))
        return result

    def slow_execute(self: Any, sql: Any, *args: Any) -> Any:
        waits = self.db.get_autocommit() and str(sql).startswith(("UPDATE", "INSERT"))
        if waits:
            time.sleep(random.uniform(0, seconds))
        result = execute(self, sql, *args)
        if waits:
            time.sleep(random.uniform(0, seconds))
        return result

    wrapper._commit, cursor._execute = slow_commit, slow_execute


def main() -> None:
    """Follow commands until standard input ends."""
    # Whatever else writes to standard output must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    crew = Crew()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(crew, command.pop("do"))(**command)
        except Exception as error:  # noqa: BLE001 - told to the parent, which decides
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

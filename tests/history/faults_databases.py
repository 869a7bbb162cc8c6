"""Faults of the database: connections that are lost before, during and after COMMIT."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.history.fault import Fault, Steps, pause
from tests.servers import PostgresServer

if TYPE_CHECKING:
    from tests.history.scenario import Run

SERVERS = ("postgresql", "mariadb")


def connections_ended(where: dict[str, str]) -> Callable[[Run], Steps]:
    """Have the server end connections of workers.

    Args:
        where: kind of the database → which of its sessions, in SQL.
    """

    def make(run: Run) -> Steps:
        with _administrator(run) as cursor:
            while True:
                yield from pause(random.uniform(0.02, 0.2))
                run.tried += _end_one(cursor, run, where[run.scenario.database])

    return make


def trapped(text: str, *, mute: bool) -> Callable[[Run], Steps]:
    """Cut connections that say something: it arrives and the answer does not, or it does not.

    Args:
        text: what they say.
        mute: whether it arrives.
    """

    def make(run: Run) -> Steps:
        before = 0
        try:
            while True:
                yield from pause(random.uniform(0.05, 0.3))
                sprung = run.lanes.trap("database", text, mute=mute)
                run.tried += sprung - before
                before = sprung
        finally:
            run.lanes.trap("database", "", mute=False)

    return make


@contextlib.contextmanager
def _administrator(run: Run) -> Any:
    server = run.database_server
    assert server is not None
    if isinstance(server, PostgresServer):
        from django.db.backends.postgresql.base import (  # type: ignore[attr-defined]
            Database,
        )

        where = f"host=127.0.0.1 port={server.port} user=postgres dbname={run.name}"
        with contextlib.closing(Database.connect(where)) as connection:
            connection.autocommit = True
            yield connection.cursor()
    else:
        import MySQLdb

        with contextlib.closing(
            MySQLdb.connect(host="127.0.0.1", port=server.port, user="root")
        ) as connection:
            yield connection.cursor()


def _end_one(cursor: Any, run: Run, where: str) -> int:
    if run.scenario.database == "postgresql":
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
            f" AND {where} ORDER BY random() LIMIT 1) AS t",
            [run.name],
        )
        return int(cursor.fetchone()[0])
    cursor.execute(
        "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()"
        f" AND {where} ORDER BY RAND() LIMIT 1",
        [run.name],
    )
    found = cursor.fetchall()
    for (session,) in found:
        # It may have ended by itself.
        with contextlib.suppress(Exception):
            cursor.execute(f"KILL {session}")
    return len(found)


_NOTHING_STALE = "the database's errors reach the code, nothing is stale"
#: Room for something to happen between the last statement and the COMMIT, and after it.
_SLOW = {"slow": 0.01}
_IN_TRANSACTION = {
    "postgresql": "state = 'idle in transaction'",
    "mariadb": "id IN (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx)",
}
_ANY = {"postgresql": "true", "mariadb": "true"}

FAULTS = (
    Fault("connection ended by the server, at random", _NOTHING_STALE, connections_ended(_ANY),
          databases=SERVERS, reads_may_fail=True),
    Fault("connection ended by the server, before COMMIT", _NOTHING_STALE,
          connections_ended(_IN_TRANSACTION), databases=SERVERS, reads_may_fail=True,
          changes=_SLOW),
    *(
        Fault(f"connection lost with {text} ({how})", _NOTHING_STALE, trapped(text, mute=mute),
              databases=SERVERS, database_lane=True, reads_may_fail=True)
        for text in ("COMMIT", "UPDATE")
        for how, mute in (("it is not run", False), ("it is run, the answer is lost", True))
    ),
)  # fmt: skip

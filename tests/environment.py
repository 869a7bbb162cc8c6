"""The databases and stores that tests run on: private, started when the first test wants them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections

import querycache
from querycache import install, journal
from querycache.cache import QueryCache
from querycache.runtime import runtime
from querycache.state import Installed
from tests.servers import (
    MariaDBServer,
    MemcachedServer,
    PostgresReplica,
    PostgresServer,
    RedisServer,
)

#: What a test can be parametrised with.
DATABASES = ("sqlite", "sqlite_wal", "postgresql", "mariadb")
#: Whether every hit is compared with the database as well (`nox -s verify`).
VERIFYING = os.environ.get("QUERYCACHE_VERIFY") == "1"

STORES = ("memory", "lmdb", "redis", "memcached")


class Environment:
    """Servers and folders of one test run."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._ready: set[str] = set()

    # -- servers -------------------------------------------------------------------------------

    @cached_property
    def redis(self) -> RedisServer:
        return self._stack.enter_context(RedisServer())

    @cached_property
    def memcached(self) -> MemcachedServer:
        return self._stack.enter_context(MemcachedServer())

    @cached_property
    def postgres(self) -> PostgresServer:
        server = self._stack.enter_context(PostgresServer())
        server.create_database("library")
        return server

    @cached_property
    def replica(self) -> PostgresReplica:
        """A standby of `postgres` with the tables of that time: call `database` before."""
        return self._stack.enter_context(PostgresReplica(self.postgres))

    @cached_property
    def mariadb(self) -> MariaDBServer:
        server = self._stack.enter_context(MariaDBServer())
        server.create_database("library")
        return server

    def close(self) -> None:
        connections.close_all()
        install.uninstall()
        self._stack.close()

    # -- databases -----------------------------------------------------------------------------

    def database(self, kind: str) -> str:
        """Make a database of a kind usable under an alias of the same name, with all tables."""
        if kind not in self._ready:
            add_database(kind, self._settings(kind))
            with querycache.disabled():
                make_tables(kind)
            self._ready.add(kind)
        return kind

    def _settings(self, kind: str) -> dict[str, Any]:
        if kind == "postgresql":
            return self.postgres.django_database("library")
        if kind == "mariadb":
            return self.mariadb.django_database("library")
        # Nobody pulls the plug.
        pragmas = ["synchronous=off"]
        if kind == "sqlite_wal":
            pragmas.append("journal_mode=wal")
        options: dict[str, Any] = {
            "timeout": 30,
            "init_command": ";".join(f"PRAGMA {pragma}" for pragma in pragmas),
        }
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self.folder / f"{kind}.db"),
            "OPTIONS": options,
        }

    # -- stores --------------------------------------------------------------------------------

    def store_url(self, kind: str) -> str:
        """Return the URL of a store of a kind."""
        if kind == "lmdb":
            return f"lmdb://{self.folder / 'lmdb'}?size=64mb"
        if kind == "redis":
            return self.redis.url
        if kind == "memcached":
            return self.memcached.url
        return "memory://?size=64mb"


def add_database(alias: str, options: dict[str, Any]) -> None:
    """Add an alias to Django's running configuration."""
    everything = {"default": dict(settings.DATABASES["default"]), alias: options}
    connections.settings[alias] = connections.configure_settings(everything)[alias]


def remove_database(alias: str) -> None:
    """Take an alias away again."""
    connections[alias].close()
    del connections[alias]
    del connections.settings[alias]


def make_tables(alias: str) -> None:
    """Make the tables of every model."""
    connection = connections[alias]
    existing = set(connection.introspection.table_names())
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and model._meta.db_table not in existing:
                editor.create_model(model)


def empty_tables(alias: str) -> None:
    """Delete every row behind the library's back (its caller starts with an empty cache)."""
    connection = connections[alias]
    tables = [model._meta.db_table for model in apps.get_models(include_auto_created=True)]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        rows = ", ".join(f"EXISTS (SELECT 1 FROM {quote(table)})" for table in tables)
        cursor.execute(f"SELECT {rows}")
        found = zip(tables, cursor.fetchone(), strict=True)
        filled = [f"DELETE FROM {quote(table)}" for table, any_row in found if any_row]
        if connection.vendor == "postgresql":
            # Without triggers, which are what looks after foreign keys; TRUNCATE makes new files.
            role = "SET session_replication_role = {}"
            cursor.execute(";".join((role.format("replica"), *filled, role.format("origin"))))
            return
        with connection.constraint_checks_disabled():
            for delete in filled:
                cursor.execute(delete)


def forget_stores() -> None:
    """Have the databases that this thread is connected to name no store: the next one is theirs."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and not connection.in_atomic_block:
            journal.forget_store(connection)


def configure(*, named: bool = False, **querycache_settings: Any) -> Installed:
    """Install querycache with these settings, each test with keys of its own.

    Args:
        named: whether databases go on naming the store that they do.
        querycache_settings: ``QUERYCACHE``.
    """
    if not named:
        forget_stores()
    if VERIFYING:
        querycache_settings = {"VERIFY": 1.0, "VERIFY_RAISES": True, **querycache_settings}
    settings.QUERYCACHE = querycache_settings
    install.install()
    assert runtime.refusal is None, runtime.refusal
    assert runtime.current is not None
    return runtime.current


@contextlib.contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[None]:
    """Run something in another thread, and so on other connections, for the length of a block."""
    import threading

    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
        assert not thread.is_alive(), "the other thread hangs"
    if failures:
        raise failures[0]


def elsewhere(work: Callable[[], Any]) -> Any:
    """Run something in another thread, and so on other connections, and return its result."""
    results: list[Any] = []
    with in_thread(lambda: results.append(work())):
        pass
    return results[0]


__all__ = ["DATABASES", "STORES", "Environment", "QueryCache", "configure", "elsewhere"]

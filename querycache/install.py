"""Where querycache is put into Django; the only place that touches Django's classes.

Compilers are subclassed through `BaseDatabaseOperations.compiler`, which no backend overrides. All
statements, the ORM's own and raw ones, pass `CursorWrapper`; transactions end in
`BaseDatabaseWrapper`. Every replacement does nothing but call the original while nothing is
installed.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import BaseDatabaseCreation
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper

from querycache import conf
from querycache.cache import QueryCache
from querycache.compiler import cached_class, local
from querycache.dependencies import Effect
from querycache.keys import EVERYTHING, database_identity
from querycache.rawsql import text_of
from querycache.runtime import Installed, connected, connecting, runtime, transaction_of
from querycache.selection import Selection
from querycache.stores import open_store
from querycache.stores.base import Store, StoreOptions, StoreUnusable
from querycache.transactions import Transaction


def install() -> None:
    """Put the settings as they are now into use.

    Settings that are wrong do not raise here, since no system check could then tell of them; they
    are refused by the first query instead, also where nobody runs checks.
    """
    uninstall()
    runtime.refusal = None
    try:
        _install(conf.load(getattr(settings, "QUERYCACHE", None)))
    except ImproperlyConfigured as error:
        runtime.refusal = str(error)
        patch()


def _install(config: conf.Config) -> None:
    if config.mode == "off" or conf.store_kind(config, settings.CACHES) == "off":
        return
    if config.store.startswith(("memory://", "lmdb://")):
        # Cheap to open, so that a mistake shows at the start.
        try:
            store = open_from(config)
        except StoreUnusable as error:
            raise ImproperlyConfigured(f"QUERYCACHE['STORE']: {error}") from error
        cache = QueryCache(config, settings.SECRET_KEY, lambda: store)
    else:
        cache = QueryCache(config, settings.SECRET_KEY, lambda: open_from(config))
    _after_fork(cache)
    runtime.current = Installed(cache, Selection(config.exclude, config.only))
    patch()


def open_from(config: conf.Config) -> Store:
    """Open the store that the settings lead to; nothing is connected yet.

    Raises:
        StoreUnusable: it can never work as configured.
    """
    options = StoreOptions(config.key_prefix, config.lease_ms, config.timeout)
    if "://" in config.store:
        return open_store(config.store, options)
    from querycache.stores.caches import store_for_cache

    def embedded() -> Store:
        from querycache.stores.lmdb import LmdbStore, default_path

        project = str(getattr(settings, "ROOT_URLCONF", "") or settings.SETTINGS_MODULE)
        return LmdbStore(default_path(project.partition(".")[0]), options)

    store = store_for_cache(config.store, settings.CACHES, options, default_lmdb=embedded)
    assert store is not None, "a cache that stands for no store is not installed"
    return store


def uninstall() -> None:
    """Leave every query alone from now on."""
    installed, runtime.current = runtime.current, None
    if installed is not None:
        installed.cache.close()


def reinstall(*, setting: str, **kwargs: Any) -> None:
    """Follow `django.test.override_settings`; a receiver of `setting_changed`."""
    if setting in ("QUERYCACHE", "CACHES", "DATABASES", "SECRET_KEY"):
        install()


def _after_fork(cache: QueryCache) -> None:
    alive = weakref.ref(cache)

    def forget() -> None:
        found = alive()
        if found is not None:
            found.after_fork()

    os.register_at_fork(after_in_child=forget)


# -- Django's classes --------------------------------------------------------------------------


def patch() -> None:
    """Replace Django's methods, once per process."""
    if getattr(BaseDatabaseOperations.compiler, "querycache", False):
        return
    for owner, name, replacement in (
        (BaseDatabaseOperations, "compiler", _compiler),
        (CursorWrapper, "_execute", _execute),
        (CursorWrapper, "_executemany", _execute),
        (CursorWrapper, "callproc", _callproc),
        (BaseDatabaseWrapper, "_commit", _commit),
        (BaseDatabaseWrapper, "_rollback", _rollback),
        (BaseDatabaseWrapper, "connect", _connect),
        (BaseDatabaseWrapper, "close", _close),
        (BaseDatabaseWrapper, "set_autocommit", _set_autocommit),
        (BaseDatabaseCreation, "create_test_db", _create_test_db),
        (BaseDatabaseCreation, "clone_test_db", _clone_test_db),
    ):
        original = getattr(owner, name)
        patched = wraps(original)(replacement(original))
        patched.querycache = True  # type: ignore[attr-defined]
        setattr(owner, name, patched)
    # Through CursorWrapper.__getattr__ these would reach the driver unseen. A driver that has no
    # such method goes on saying so.
    CursorWrapper.close = _cursor_close  # type: ignore[attr-defined]
    CursorWrapper.copy = property(lambda self: _copier(self, "copy"))  # type: ignore[attr-defined]
    for name in ("copy_expert", "copy_from", "executescript"):
        setattr(CursorWrapper, name, property(_bulk(name)))


def _compiler(original: Callable[..., Any]) -> Callable[..., Any]:
    def compiler(self: BaseDatabaseOperations, compiler_name: str) -> Any:
        if runtime.refusal is not None:
            raise ImproperlyConfigured(runtime.refusal)
        return cached_class(original(self, compiler_name))

    return compiler


def _execute(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(self: CursorWrapper, sql: Any, params: Any, *ignored: Any) -> Any:
        if runtime.current is None:
            return original(self, sql, params, *ignored)
        if sql is local.trusted:
            return original(self, sql, params, *ignored)
        transaction = transaction_of(self.db)
        if self.db.vendor == "sqlite":
            unfinished = transaction.session.opened(self.cursor)
            if unfinished is not None:
                # Running a statement ends the one that this cursor ran before.
                try:
                    return execute(self, sql, params, *ignored)
                finally:
                    unfinished()
        effect = _effect(transaction, sql, self)
        if effect is None:
            return original(self, sql, params, *ignored)
        return transaction.run(
            effect,
            sql if isinstance(sql, str) else None,
            params,
            local.writing > 0,
            lambda: original(self, sql, params, *ignored),
            self,
        )

    return execute


def _effect(transaction: Transaction, sql: Any, cursor: CursorWrapper) -> Effect | None:
    database = transaction.database
    if type(sql) is str:
        try:
            effect = database.effects[sql]
        except KeyError:
            effect = database.effect(transaction.connection, sql)
    else:
        effect = database.effect(transaction.connection, text_of(sql, cursor))
    return effect if transaction.tracks else None


def _callproc(original: Callable[..., Any]) -> Callable[..., Any]:
    def callproc(
        self: CursorWrapper, procname: str, params: Any = None, kparams: Any = None
    ) -> Any:
        if runtime.current is None:
            return original(self, procname, params, kparams)
        transaction = transaction_of(self.db)
        effect = Effect(transaction.database.declared(procname))
        return transaction.run(
            effect, None, None, False, lambda: original(self, procname, params, kparams), self
        )

    return callproc


def _bulk(name: str) -> Callable[[CursorWrapper], Any]:
    """Make known to the cache a method of the driver's cursor that takes SQL or a table."""

    def get(self: CursorWrapper) -> Any:
        method = getattr(self.cursor, name)
        if runtime.current is None:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            transaction = transaction_of(self.db)
            effect = _bulk_effect(transaction, name, args, kwargs, self)
            if effect is None:
                return method(*args, **kwargs)
            return transaction.run(effect, None, None, False, lambda: method(*args, **kwargs), self)

        return call

    return get


def _bulk_effect(
    transaction: Transaction, name: str, args: Any, kwargs: Any, cursor: CursorWrapper
) -> Effect | None:
    if name == "copy_from":
        # copy_from(file, table, …) of psycopg2 names the table itself.
        table = kwargs.get("table", args[1] if len(args) > 1 else None)
        sql: Any = None if table is None else f"COPY {table} FROM STDIN"
    else:
        sql = args[0] if args else next(iter(kwargs.values()), None)
    return None if sql is not None and not transaction.tracks else _effect(transaction, sql, cursor)


def _copier(self: CursorWrapper, name: str) -> Any:
    """Make psycopg 3's `Cursor.copy`, a context manager, known to the cache."""
    method = getattr(self.cursor, name)
    if runtime.current is None:
        return method

    @contextmanager
    def copy(statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        transaction = transaction_of(self.db)
        effect = _effect(transaction, statement, self)
        if effect is None:
            with method(statement, *args, **kwargs) as writer:
                yield writer
            return
        if transaction.open:
            transaction.note(effect.writes)
            with method(statement, *args, **kwargs) as writer:
                yield writer
            transaction.note(effect.writes)
        else:
            with (
                transaction.writing(effect.writes),
                method(statement, *args, **kwargs) as writer,
            ):
                yield writer

    return copy


def _cursor_close(self: CursorWrapper) -> None:
    self.cursor.close()
    state = self.db.__dict__.get("_querycache")
    if state is not None:
        state.session.closed(self.cursor)


def _commit(original: Callable[..., Any]) -> Callable[..., Any]:
    def _commit(self: BaseDatabaseWrapper) -> Any:
        if runtime.current is None:
            return original(self)
        return transaction_of(self).commit(lambda: original(self))

    return _commit


def _rollback(original: Callable[..., Any]) -> Callable[..., Any]:
    def _rollback(self: BaseDatabaseWrapper) -> Any:
        try:
            return original(self)
        finally:
            if runtime.current is not None:
                transaction_of(self).over()

    return _rollback


def _connect(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: BaseDatabaseWrapper) -> Any:
        connecting(self)
        result = original(self)
        connected(self)
        return result

    return connect


def _close(original: Callable[..., Any]) -> Callable[..., Any]:
    def close(self: BaseDatabaseWrapper) -> Any:
        had = self.connection
        try:
            return original(self)
        finally:
            if self.connection is None:
                # The settings may name another database by the time of the next query.
                connecting(self)
            elif self.closed_in_transaction and had is not None and runtime.current is not None:
                transaction_of(self).over()

    return close


def _set_autocommit(original: Callable[..., Any]) -> Callable[..., Any]:
    def set_autocommit(
        self: BaseDatabaseWrapper, autocommit: bool, *args: Any, **kwargs: Any
    ) -> Any:
        if runtime.current is None or not autocommit:
            return original(self, autocommit, *args, **kwargs)
        transaction = transaction_of(self)
        if not transaction.written:
            return original(self, autocommit, *args, **kwargs)
        # Several drivers commit what is open when autocommit is turned on.
        return transaction.commit(lambda: original(self, autocommit, *args, **kwargs))

    return set_autocommit


def _create_test_db(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_test_db(self: BaseDatabaseCreation, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        _made_anew(self.connection, self.connection.settings_dict)
        return result

    return create_test_db


def _clone_test_db(original: Callable[..., Any]) -> Callable[..., Any]:
    def clone_test_db(self: BaseDatabaseCreation, suffix: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, suffix, *args, **kwargs)
        _made_anew(self.connection, self.get_test_db_clone_settings(suffix))
        return result

    return clone_test_db


def _made_anew(connection: BaseDatabaseWrapper, settings_dict: dict[str, Any]) -> None:
    """Forget what another database of the same name may have left in the store."""
    installed = runtime.current
    if installed is not None and settings_dict.get("NAME"):
        identity = database_identity(connection.vendor, settings_dict)
        key = installed.database(connection, identity).stamp_key(EVERYTHING)
        installed.cache.end([key], None)

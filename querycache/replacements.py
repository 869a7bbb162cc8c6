"""What stands in place of methods of Django's: it calls them alone while nothing is installed.

`seams` puts it there, by the first use of a database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import BaseDatabaseCreation
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper

from querycache import cursors, journal
from querycache.compiler import cached_class, local, recording_class
from querycache.keys import EVERYTHING, database_identity
from querycache.runtime import runtime
from querycache.state import connected, connecting, transaction_of
from querycache.writes import send

#: The attribute of a connection whose test database is being created.
_CREATED = "_querycache_created"

logger = logging.getLogger("querycache.journal")


def _compiler(original: Callable[..., Any]) -> Callable[..., Any]:
    def compiler(self: BaseDatabaseOperations, compiler_name: str) -> Any:
        if runtime.refusal is not None:
            raise ImproperlyConfigured(runtime.refusal)
        found: Any = cached_class(original(self, compiler_name))
        return found if local.tables is None else recording_class(found)

    return compiler


def _commit(original: Callable[..., Any]) -> Callable[..., Any]:
    def _commit(self: BaseDatabaseWrapper) -> Any:
        if runtime.current is None:
            return original(self)
        transaction = transaction_of(self)
        return transaction.commit(lambda: transaction.session.committing(lambda: original(self)))

    return _commit


def _rollback(original: Callable[..., Any]) -> Callable[..., Any]:
    def _rollback(self: BaseDatabaseWrapper) -> Any:
        if runtime.current is None:
            return original(self)
        transaction = transaction_of(self)
        try:
            return transaction.session.rolling_back(lambda: original(self))
        finally:
            transaction.over()

    return _rollback


def _connect(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: BaseDatabaseWrapper) -> Any:
        connecting(self)
        result = original(self)
        connected(self)
        if self.__dict__.pop(_CREATED, False):
            _made_anew(self, self.settings_dict)
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
        self: BaseDatabaseWrapper,
        autocommit: bool,
        force_begin_transaction_with_broken_autocommit: bool = False,
    ) -> Any:
        force_begin = force_begin_transaction_with_broken_autocommit
        if runtime.current is None:
            return original(self, autocommit, force_begin)
        if not autocommit:
            if not transaction_of(self).open:
                # Before: SQLite's BEGIN says itself what is known of it.
                transaction_of(self).begun()
            result = original(self, autocommit, force_begin)
            transaction_of(self).atomic = force_begin
            return result
        # Several drivers commit what is open when autocommit is turned on.
        transaction = transaction_of(self)
        # What the hooks of the commit write is no part of it: they run when it is over.
        hooks = self.run_commit_hooks_on_set_autocommit_on
        self.run_commit_hooks_on_set_autocommit_on = False
        try:
            result = transaction.commit(lambda: original(self, autocommit, force_begin))
        finally:
            self.run_commit_hooks_on_set_autocommit_on = hooks
            # Those of a commit that failed as well.
            send(transaction)
        transaction.session.autocommit_off = False
        if hooks:
            self.run_and_clear_commit_hooks()
            self.run_commit_hooks_on_set_autocommit_on = False
        return result

    return set_autocommit


def _execute_sql_flush(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute_sql_flush(self: BaseDatabaseOperations, *args: Any, **kwargs: Any) -> Any:
        # Django's own writes, though it sends them as texts.
        local.writing += 1
        try:
            return original(self, *args, **kwargs)
        finally:
            local.writing -= 1

    return execute_sql_flush


class _Creating:
    """Stands for `create_test_db`, after which the connection leads to a database made anew.

    Not a function around it, since a warning of Django's would then name this file in place of its
    caller's. What happens with the database is over when the connection is made again.

    Args:
        original: Django's own.
    """

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original

    def __get__(self, creation: BaseDatabaseCreation | None, owner: Any = None) -> Any:
        if creation is None:
            return self._original
        creation.connection.__dict__[_CREATED] = True
        return self._original.__get__(creation, owner)


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
        database = installed.database(connection, identity)
        installed.cache.end([database.stamp_key(EVERYTHING)], None)
        database.schema_changed()
        forget_store(connection, settings_dict)
        database.watch.expire()


def forget_store(connection: BaseDatabaseWrapper, settings_dict: dict[str, Any]) -> None:
    """Have a database name no store, which it may have from a template or an earlier run."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
        return
    try:
        with journal.apart(connection, settings_dict["NAME"]) as other:
            journal.forget_store(other)
    except journal.errors(connection) as error:
        logger.debug("%s may name another store: %s", settings_dict["NAME"], error)


def _method(replace: Callable[[Callable[..., Any]], Any]) -> Callable[[Callable[..., Any]], Any]:
    def replaced(original: Callable[..., Any]) -> Any:
        method: Any = wraps(original)(replace(original))
        # Says that Django's classes need nothing more.
        method.querycache = True
        return method

    return replaced


#: A class of Django's and its method → what makes, of Django's own, what takes its place.
METHODS: Mapping[tuple[type, str], Callable[[Callable[..., Any]], Any]] = MappingProxyType(
    {
        place: _method(replace)
        for place, replace in {
            (BaseDatabaseOperations, "compiler"): _compiler,
            (BaseDatabaseOperations, "execute_sql_flush"): _execute_sql_flush,
            (CursorWrapper, "_execute"): cursors.executing,
            (CursorWrapper, "_executemany"): cursors.executing,
            (CursorWrapper, "callproc"): cursors.calling,
            (BaseDatabaseWrapper, "_commit"): _commit,
            (BaseDatabaseWrapper, "_rollback"): _rollback,
            (BaseDatabaseWrapper, "connect"): _connect,
            (BaseDatabaseWrapper, "close"): _close,
            (BaseDatabaseWrapper, "set_autocommit"): _set_autocommit,
            (BaseDatabaseCreation, "create_test_db"): _Creating,
            (BaseDatabaseCreation, "clone_test_db"): _clone_test_db,
        }.items()
    }
)

#: What Django's cursors get beside their own methods. A driver that has no such method goes on
#: saying so.
ADDED: Mapping[str, Any] = MappingProxyType(
    {
        "close": cursors.closing,
        "copy": property(lambda self: cursors.copier(self, "copy")),
        **{
            name: property(cursors.bulk(name))
            for name in ("copy_expert", "copy_from", "executescript")
        },
    }
)

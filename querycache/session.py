"""What a connection's session has of its own: settings, isolation level, open cursors."""

from __future__ import annotations

import enum
import logging
import os
import re
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from querycache.keys import Unkeyable, dump_parameters
from querycache.open_cursors import Cursors
from querycache.questions import connect
from querycache.rawsql import Kind, Setting, Statement

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from querycache.plans import Effect

logger = logging.getLogger("querycache.session")

Result = TypeVar("Result")

# Where a driver connection keeps what its sessions changed; it dies with it.
_KEPT = "_querycache_session"

# Of libpq, as psycopg 2 and 3 hand them on.
_INTRANS, _INERROR = 2, 3

# Every one that the text names: one that does not say what it sets leaves all of them untold.
_SET_CONFIG = re.compile(r"set_config(?:\(\s*(?:'([\w.]+)'|(%s))\s*,)?", re.IGNORECASE)


# Stands for settings that cannot be told: each such change counts for itself and is never undone.
_UNKNOWN = "?"

#: Stands for one that may set anything and does not say what. As the isolation may be among it,
#: nothing is served or stored in the transaction that it runs in, at whose end some of it may go.
SETS_ANYTHING = Statement(Kind.SESSION, setting=Setting("session", _UNKNOWN, ""), isolation=True)

# Settings that are told apart on one connection. Names may be made up by programs that keep data in
# settings of their own.
_MOST_CHANGES = 200


class Isolation(enum.Enum):
    """What a transaction sees of others' commits, as far as the cache is concerned."""

    READ_COMMITTED = "each statement sees what has been committed"
    SNAPSHOT = "the transaction sees one state"
    SERIALIZABLE = "the database must see every read"
    OTHER = "uncommitted rows, or not known"


_LEVELS = {
    "read committed": Isolation.READ_COMMITTED,
    "repeatable read": Isolation.SNAPSHOT,
    "serializable": Isolation.SERIALIZABLE,
}


#: Settings that are the isolation level and nothing else.
_ISOLATION = frozenset(
    {
        "default_transaction_isolation",
        "transaction isolation",
        "transaction_isolation",
        "tx_isolation",
    }
)


class Session:
    """One driver connection's session; replaced whenever Django connects anew.

    Args:
        connection: Django's wrapper; its driver connection may not be open yet.
    """

    __slots__ = (
        "_before",
        "_changes",
        "_connection",
        "_deviated",
        "_isolation",
        "_lasting",
        "_local",
        "autocommit_off",
        "context",
        "cursors",
        "dirty_reads",
        "made_inside",
        "surely_temporary",
        "temporary",
        "unknown_isolation",
    )

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._changes: dict[str, bytes] = {}
        self._isolation: Isolation | None = None
        #: Those of SQLite, which keep statements open.
        self.cursors = Cursors()
        #: Whether rows may be read that no stamp speaks of: uncommitted ones of others (a PRAGMA of
        #: SQLite), or those of an attached database.
        self.dirty_reads = False
        #: SET autocommit = 0 was run: every statement is in a transaction.
        self.autocommit_off = False
        #: The isolation of the open transaction was chosen by a statement.
        self.unknown_isolation = False
        # The settings as they were before the open transaction changed any; and whether some of the
        # changes outlive a commit, as those of SET LOCAL do not.
        self._before: dict[str, bytes] | None = None
        self._lasting = False
        # Settings that may have had another value meanwhile; and whether some were for it alone.
        self._deviated: set[str] = set()
        self._local = False
        #: Names that mean a temporary table on this connection, or did.
        self.temporary: set[str] = set()
        #: Those that surely do, and among them those that may be gone with the open transaction.
        self.surely_temporary: set[str] = set()
        self.made_inside: set[str] = set()
        #: Everything of the session that a result depends on; part of every fingerprint.
        self.context = self._digest()
        self.bind()

    def bind(self) -> None:
        """Go on with what the driver connection went through: a pool hands out used ones."""
        driver = self._connection.connection
        if driver is None:
            return
        kept = getattr(driver, _KEPT, None)
        if kept is None:
            # The connections of some drivers take no attributes; Django pools none of those.
            with suppress(AttributeError):
                setattr(driver, _KEPT, (self._changes, self.temporary))
        elif kept[0] is not self._changes:
            for name, digest in self._changes.items():
                _put_last(kept[0], name, digest)
            kept[1].update(self.temporary)
            self._changes, self.temporary = kept
            self.context = self._digest()

    def renew(self) -> None:
        """Take note that Django's settings of the connection have changed."""
        self.context = self._digest()

    # -- settings ------------------------------------------------------------------------------

    def changed(self, statement: Statement, sql: str, params: Any, *, in_transaction: bool) -> None:
        """Take note of a statement that changes the session."""
        self.bind()
        setting = statement.setting
        name = _set_config_name(sql, params) if setting is None else setting.name
        unknown = name == _UNKNOWN
        if statement.isolation or (
            setting is None and (unknown or "isolation" in name or " " in name)
        ):
            self._isolation = None
            if self._connection.vendor == "sqlite":
                self.dirty_reads = True
            elif in_transaction or (setting is not None and setting.scope == "transaction"):
                # What the open transaction has and what the next one will have may differ.
                self.unknown_isolation = True
        if name == "attach":
            # Others write to the attached database under its own name.
            self.dirty_reads = True
        if name in _ISOLATION or (setting is not None and setting.scope == "transaction"):
            # It says when a statement looks, not what it finds; Django sets it on each connection.
            return
        if unknown or (len(self._changes) >= _MOST_CHANGES and name not in self._changes):
            name = _UNKNOWN
        text = sql if setting is None else setting.text
        try:
            value = text.encode() + dump_parameters(() if params is None else params)
        except (Unkeyable, TypeError, ValueError):
            value = b""
        if not value or name == _UNKNOWN:
            # Only this session's own entries fit a setting that cannot be told.
            value = os.urandom(16)
        if in_transaction:
            if self._before is None:
                self._before = dict(self._changes)
            self._lasting = self._lasting or setting is None or setting.scope != "local"
        digest = blake2b(value, digest_size=16).digest()
        if self._before is not None:
            local = setting is None or setting.scope != "session"
            self._local = self._local or local
            last = next(reversed(self._changes), None) == name
            if local or self._before.get(name) != digest or not last:
                self._deviated.add(name)
        _put_last(self._changes, name, digest)
        self.context = self._digest()

    def made_temporary(self, effect: Effect, *, inside: bool) -> None:
        """Note which names mean temporary tables now that a statement has run.

        Args:
            effect: what it did.
            inside: whether it ran in a transaction, with which what it made may be gone.
        """
        if not effect.drops.isdisjoint(self.temporary):
            # It may have been given one of the other names.
            self.temporary |= effect.drops
        self.temporary |= effect.temporary
        self.surely_temporary |= effect.temporary
        if inside:
            self.made_inside |= effect.temporary
        self.surely_temporary -= effect.drops

    def transaction_over(self) -> None:
        """Forget what held for one transaction only."""
        self._forget_made_inside()
        if self.unknown_isolation:
            self.unknown_isolation = False
            self._isolation = None
        if self._before is None:
            return
        if self._lasting:
            self.rolled_back()
            self._forget_transaction()
        else:
            # SET LOCAL ends with the transaction, however it ends.
            self._restore()

    def rolled_back(self) -> None:
        """Note that settings of the transaction may have been taken back, and temporary tables."""
        self._forget_made_inside()
        if self._before is not None and self._deviated:
            # A rollback takes SET back: which values hold now, only the server knows, until each is
            # set again. Not one mark for all: beside it, SET would give the value that is already
            # believed, and so no other name to what holds from then on.
            for name in self._deviated:
                _put_last(self._changes, name, os.urandom(16))
            self.context = self._digest()

    def _forget_made_inside(self) -> None:
        if self.made_inside:
            self.surely_temporary -= self.made_inside
            self.made_inside = set()

    def committing(self, commit: Callable[[], Result]) -> Result:
        """Commit, which lets stand what was set; raises what the commit raises."""
        # The COMMIT of a transaction that has failed is a rollback, and no error.
        stands = self._before is not None and not self._local and self._status() == _INTRANS
        result = commit()
        if stands:
            self._forget_transaction()
        return result

    def rolling_back(self, roll_back: Callable[[], Result]) -> Result:
        """Roll the whole transaction back, settings and all; raises what that raises."""
        whole = self._before is not None and self._status() in (_INTRANS, _INERROR)
        result = roll_back()
        if whole:
            self._restore()
        return result

    def _status(self) -> int | None:
        driver = self._connection.connection
        if driver is None or self._connection.vendor != "postgresql":
            return None
        status: int = driver.info.transaction_status
        return status

    def _restore(self) -> None:
        assert self._before is not None
        self._changes.clear()
        self._changes.update(self._before)
        self.context = self._digest()
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self._before = None
        self._lasting = self._local = False
        self._deviated.clear()

    def _digest(self) -> bytes:
        connection = self._connection
        settings = connection.settings_dict
        state = blake2b(digest_size=16)
        for part in (
            connection.Database.__name__,  # type: ignore[attr-defined]
            settings.get("USER"),
            _plain(settings.get("OPTIONS")),
            connection.timezone_name,
            # Says whether drivers hand out times with a zone.
            connection.timezone,
            # In the order in which they were made: RESET ALL and SET SESSION AUTHORIZATION change
            # what other statements have set, SET SCHEMA is another word for SET search_path.
            list(self._changes.items()),
        ):
            state.update(repr(part).encode() + b"\0")
        return state.digest()

    # -- isolation -----------------------------------------------------------------------------

    @property
    def isolation(self) -> Isolation:
        """The isolation of the open transaction; the server is asked once per connection."""
        connection = self._connection
        if connection.vendor == "sqlite":
            # Without a real BEGIN, SQLite is in autocommit, whatever Django's flags say.
            driver = connection.connection
            real = driver is not None and driver.in_transaction and not self.dirty_reads
            return Isolation.SNAPSHOT if real else Isolation.OTHER
        if self.unknown_isolation:
            return Isolation.OTHER
        if self._isolation is None:
            self._isolation = self._ask_isolation()
        return self._isolation or Isolation.OTHER

    @property
    def driver_sets_isolation(self) -> bool:
        """Whether psycopg begins transactions at a level that a raw BEGIN does not have."""
        driver = self._connection.connection
        return (
            self._connection.vendor == "postgresql"
            and driver is not None
            and driver.isolation_level is not None
        )

    @property
    def knows_isolation(self) -> bool:
        """Whether `isolation` asks the server nothing."""
        return self._isolation is not None or self._connection.vendor == "sqlite"

    def _ask_isolation(self) -> Isolation | None:
        connection = self._connection
        if connection.vendor == "postgresql":
            sql, column = "SHOW transaction_isolation", 0
        elif connection.vendor == "mysql":
            sql = "SHOW VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')"
            column = 1
        else:
            return Isolation.OTHER
        try:
            connect(connection)
            # SHOW is no question: no database takes the state of a transaction with it.
            with closing(connection.create_cursor()) as cursor:
                cursor.execute(sql)
                row = cursor.fetchone()
        except connection.Database.Error as error:  # type: ignore[attr-defined]
            logger.warning("the isolation level of %s is not known: %s", connection.alias, error)
            return None
        level = str(row[column]).casefold().replace("-", " ") if row else ""
        if level == "read uncommitted" and connection.vendor == "postgresql":
            # PostgreSQL treats it as READ COMMITTED: transaction-iso in its manual.
            return Isolation.READ_COMMITTED
        return _LEVELS.get(level, Isolation.OTHER)

    def may_store(self) -> bool:
        """Tell whether a query run now, in autocommit, reads the latest committed rows."""
        vendor = self._connection.vendor
        if vendor == "sqlite":
            # In WAL mode a cursor that is still being read keeps the whole connection in the state
            # of its first row: https://www.sqlite.org/isolation.html
            return not self.dirty_reads and not self.cursors.reading()
        if vendor == "mysql":
            return self.isolation is not Isolation.OTHER
        return True


def _put_last(changes: dict[str, bytes], name: str, digest: bytes) -> None:
    changes.pop(name, None)
    changes[name] = digest


def _plain(option: object) -> str:
    """Write an option of a connection in a way that is the same in every process."""
    if isinstance(option, dict):
        return repr(sorted((str(name), _plain(value)) for name, value in option.items()))
    if isinstance(option, list | tuple):
        return repr([_plain(value) for value in option])
    if option is None or isinstance(option, str | bytes | int | float):
        return repr(option)
    kind = type(option)
    return f"{kind.__module__}.{kind.__qualname__}"


def _set_config_name(sql: str, params: Any) -> str:
    """Return what `set_config()` sets, joined by commas as those of one SET are."""
    names = []
    for found in _SET_CONFIG.finditer(sql):
        name, placeholder = found.groups()
        if placeholder is not None and isinstance(params, list | tuple):
            index = sql[: found.start(2)].replace("%%", "").count("%s")
            name = str(params[index])
        if not name:
            return _UNKNOWN
        names.append(name.casefold())
    return ",".join(names) or _UNKNOWN

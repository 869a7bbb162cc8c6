"""Statements about the session and the transaction rather than about tables."""

from __future__ import annotations

from collections.abc import Callable

from querycache.rawsql.model import UNKNOWN, Kind, Scope, Setting, Statement
from querycache.rawsql.reader import Reader
from querycache.rawsql.scan import Scanner
from querycache.rawsql.split import begins
from querycache.rawsql.words import words
from querycache.sqltokens import (
    OPERATOR,
    QUOTED,
    STRING,
    VARIABLE,
    table_name,
)

_HARMLESS = Statement(Kind.HARMLESS)
_TRANSACTION = frozenset(("work", "transaction", "tran"))

#: PRAGMAs that change neither what a query returns nor what a statement writes.
_HARMLESS_PRAGMAS = words(
    "analysis_limit application_id auto_vacuum automatic_index busy_timeout"
    " cache_size cache_spill cell_size_check checkpoint_fullfsync collation_list"
    " compile_options data_version database_list defer_foreign_keys foreign_key_check"
    " foreign_key_list foreign_keys freelist_count fullfsync function_list"
    " hard_heap_limit ignore_check_constraints incremental_vacuum index_info"
    " index_list index_xinfo integrity_check journal_mode journal_size_limit"
    " legacy_alter_table locking_mode max_page_count mmap_size module_list optimize"
    " page_count page_size pragma_list quick_check secure_delete shrink_memory"
    " soft_heap_limit stats synchronous table_info table_list table_xinfo"
    " temp_store_directory threads user_version wal_autocheckpoint wal_checkpoint"
)
#: Settings of PostgreSQL and MySQL that change how long something takes or what is logged.
_HARMLESS_SETTINGS = words(
    "application_name client_min_messages deadlock_timeout"
    " idle_in_transaction_session_timeout idle_session_timeout lock_timeout"
    " log_min_messages log_min_duration_statement log_statement maintenance_work_mem"
    " statement_timeout synchronous_commit temp_buffers transaction_timeout work_mem"
    " foreign_key_checks innodb_lock_wait_timeout interactive_timeout"
    " lock_wait_timeout long_query_time max_execution_time max_statement_time"
    " net_read_timeout net_write_timeout profiling sql_log_bin sql_notes sql_warnings"
    " unique_checks wait_timeout"
)
_ISOLATION_SETTINGS = frozenset(("tx_isolation", "read_uncommitted", "all"))


def begin(r: Reader, i: int) -> Statement:
    """BEGIN, START TRANSACTION."""
    if r.word(r.start) == "start":
        if r.word(i) not in _TRANSACTION:
            return UNKNOWN
    elif i < r.end and not begins([r.word(i) or "?", r.word(i + 1)], r.family):
        return UNKNOWN
    commits = r.family == "mysql"
    return Statement(Kind.BEGIN, isolation=_says_isolation(r), commits=commits)


def commit(r: Reader, i: int) -> Statement:
    """COMMIT, END."""
    if r.word(i) == "prepared":
        return Statement(Kind.WRITE, everything=True)
    i = _behind_transaction(r, i)
    if i < r.end and r.word(i) not in ("and", "no", "release", "write"):
        return UNKNOWN
    return Statement(Kind.COMMIT, chain=_chains(r, i))


def rollback(r: Reader, i: int) -> Statement:
    """ROLLBACK, ABORT."""
    if r.word(i) == "prepared":
        return Statement(Kind.WRITE, everything=True)
    i = _behind_transaction(r, i)
    if r.word(i) == "to":
        return _named(Kind.ROLLBACK_TO, r, i + 2 if r.word(i + 1) == "savepoint" else i + 1)
    if i < r.end and r.word(i) not in ("and", "no", "release"):
        return UNKNOWN
    return Statement(Kind.ROLLBACK, chain=_chains(r, i))


def savepoint(r: Reader, i: int) -> Statement:
    """SAVEPOINT; SAVE TRANSACTION elsewhere."""
    if r.word(r.start) == "save":
        i += 1
    return _named(Kind.SAVEPOINT, r, i)


def release(r: Reader, i: int) -> Statement:
    """RELEASE [SAVEPOINT]."""
    if r.word(i) == "savepoint" and i + 1 < r.end:
        i += 1
    return _named(Kind.RELEASE, r, i)


def pragma(r: Reader, i: int) -> Statement:
    """SQLite's PRAGMA."""
    name, qualifiers, _ = r.path(i)
    if r.odd:
        return UNKNOWN
    if name == "writable_schema":
        return UNKNOWN
    spaces = frozenset(qualifiers)
    if name in _HARMLESS_PRAGMAS:
        return Statement(Kind.HARMLESS, qualifiers=spaces)
    return Statement(
        Kind.SESSION,
        setting=Setting("session", name, text_of(r)),
        isolation=name in _ISOLATION_SETTINGS,
        qualifiers=spaces,
    )


def attach(r: Reader, i: int) -> Statement:
    """SQLite's ATTACH and DETACH: names may mean other tables from now on."""
    setting = Setting("session", r.word(r.start), text_of(r))
    return Statement(Kind.SESSION, everything=True, setting=setting)


def use(r: Reader, i: int) -> Statement:
    """USE, DISCARD, ALTER SESSION: all about the session itself."""
    return Statement(
        Kind.SESSION,
        setting=Setting("session", r.word(r.start), text_of(r)),
        isolation=r.word(r.start) == "discard" or _says_isolation(r),
    )


def reset(r: Reader, i: int) -> Statement:
    """PostgreSQL's RESET."""
    if r.family == "mysql":
        return UNKNOWN
    if r.word(i) == "session" and r.word(i + 1) == "authorization":
        name = "session authorization"
    elif r.word(i) == "time" and r.word(i + 1) == "zone":
        name = "timezone"
    else:
        name = _name(r, i)
    return _setting(r, "session", [name])


def set_(r: Reader, i: int) -> Statement:
    """SET in all its forms."""
    if r.word(i) == "statement" and r.family == "mysql":
        return UNKNOWN  # MariaDB: SET STATEMENT … FOR a whole statement
    scope: Scope = "session"
    scoped = r.word(i) in ("local", "session", "global", "persist", "persist_only")
    scoped = scoped and r.word(i + 1) != "authorization"
    if scoped:
        if r.word(i) == "local" and r.family != "mysql":
            scope = "local"
        i += 1
    first, second = r.word(i), r.word(i + 1)
    if first == "transaction":
        return _setting(r, scope if scoped else "transaction", ["transaction isolation"])
    if first == "characteristics":
        return _setting(r, scope, ["transaction isolation"])
    if (first, second) == ("time", "zone"):
        return _setting(r, scope, ["timezone"])
    if (first, second) == ("session", "authorization"):
        return _setting(r, scope, ["session authorization"])
    if (first, second) == ("character", "set"):
        return _setting(r, scope, ["names"])
    if r.family == "mysql":
        return _assignments(r, i - scoped)
    return _setting(r, scope, [_name(r, i)])


def _assignments(r: Reader, start: int) -> Statement:
    """MySQL's list of assignments: `[scope] name = value, …`."""
    names: list[str] = []
    scope: Scope = "session"
    autocommit: bool | None = None
    depth = 0
    expecting = True
    i = start
    while i < r.end:
        if expecting:
            expecting = False
            while r.word(i) in ("global", "session", "local", "persist") and i + 1 < r.end:
                i += 1
            name = _name(r, i)
            names.append(name)
            if name in ("transaction_isolation", "tx_isolation") and r.texts[i][:2] == "@@":
                scope = "session" if "." in r.texts[i] else "transaction"
            if name == "autocommit":
                autocommit = _switch(r, i + 1)
                if autocommit is None:
                    return UNKNOWN
        elif r.kinds[i] == OPERATOR:
            text = r.texts[i]
            depth += (text == "(") - (text == ")")
            expecting = text == "," and depth == 0
        i += 1
    values = Scanner(r.tokens, start, r.end, r.dialect).run()
    if values.odd:
        return UNKNOWN
    called = values.functions - {f"@@{name}" for name in names} - set(names)
    return _setting(r, scope, names, autocommit, frozenset(values.reads), frozenset(called))


def _setting(
    r: Reader,
    scope: Scope,
    names: list[str],
    autocommit: bool | None = None,
    reads: frozenset[str] = frozenset(),
    functions: frozenset[str] = frozenset(),
) -> Statement:
    if r.odd or not all(names):
        return UNKNOWN
    if names == ["constraints"]:
        return Statement(Kind.CONSTRAINTS)
    if _HARMLESS_SETTINGS.issuperset(names):
        return Statement(Kind.HARMLESS, reads=reads, functions=functions)
    isolation = any("isolation" in name or name in _ISOLATION_SETTINGS for name in names)
    return Statement(
        Kind.SESSION,
        reads=reads,
        functions=functions,
        setting=Setting(scope, ",".join(names), text_of(r)),
        isolation=isolation,
        autocommit=autocommit,
        commits=autocommit is True,
    )


def _switch(r: Reader, i: int) -> bool | None:
    while i < r.end and r.kinds[i] == OPERATOR and r.texts[i] in (":", "=", ":="):
        i += 1
    if i + 1 < r.end and not r.is_op(i + 1, ","):
        return None
    value = r.texts[i].strip("'\"").casefold() if i < r.end else ""
    if value in ("1", "on", "true"):
        return True
    return False if value in ("0", "off", "false") else None


def _name(r: Reader, i: int) -> str:
    if i >= r.end:
        return ""
    if r.kinds[i] == VARIABLE:
        text = r.texts[i]
        sigil = "" if text.startswith("@@") else "@"
        return sigil + table_name(text.lstrip("@").strip("'"))
    if not r.is_name(i):
        return ""
    # `app.tenant` of PostgreSQL is a name of its own.
    name = table_name(r.texts[i])
    if r.family != "mysql" and r.is_op(i + 1, ".") and r.is_name(i + 2):
        return f"{name}.{table_name(r.texts[i + 2])}"
    return name


def _named(kind: Kind, r: Reader, i: int) -> Statement:
    if i >= r.end or not (r.is_name(i) or r.kinds[i] == STRING) or i + 1 != r.end:
        return UNKNOWN
    return Statement(kind, savepoint=r.texts[i].strip("'").casefold())


def _behind_transaction(r: Reader, i: int) -> int:
    return i + 1 if r.word(i) in _TRANSACTION else i


def _chains(r: Reader, i: int) -> bool:
    return r.word(i) == "and" and r.word(i + 1) == "chain"


def _says_isolation(r: Reader) -> bool:
    return any("isolation" in r.word(i) for i in range(r.start + 1, r.end))


def text_of(r: Reader) -> str:
    """Return the statement with white space and the case of its words made equal."""
    return " ".join(
        f'"{r.texts[i]}"' if r.kinds[i] == QUOTED else r.texts[i] for i in range(r.start, r.end)
    )


#: By first word.
STATEMENTS: dict[str, Callable[[Reader, int], Statement]] = {
    "begin": begin,
    "start": begin,
    "commit": commit,
    "end": commit,
    "rollback": rollback,
    "abort": rollback,
    "savepoint": savepoint,
    "save": savepoint,
    "release": release,
    "pragma": pragma,
    "attach": attach,
    "detach": attach,
    "use": use,
    "discard": use,
    "reset": reset,
    "set": set_,
}

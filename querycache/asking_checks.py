"""System checks that ask a database, when Django names it, or the store, with ``--deploy``.

| id | what it finds |
| --- | --- |
| W020 | a database without the tables of this app: the journal cannot be kept |
| W021 | a database that is served by another store than the one that ``STORE`` leads to |
| W012 | with ``--deploy``: a server that may evict stamps (``maxmemory-policy`` is ``allkeys-…``) |
| W013 | with ``--deploy``: a server that refuses writes when its memory is full |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from querycache import journal
from querycache.cache import FAILURES
from querycache.checks import OBJ, AppConfigs, kind_of, usable_settings
from querycache.eviction import concern
from querycache.opening import open_from
from querycache.runtime import runtime
from querycache.serving import Serving, trouble
from querycache.state import transaction_of


def check_tables(
    app_configs: AppConfigs, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Report databases that have no journal, where there is to be one."""
    config = usable_settings()
    if config is None or config.on_store_failure != "journal":
        return []
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if config.databases is not None and alias not in config.databases:
            continue
        try:
            missing = journal.supported(connection) and not journal.exists(connection)
        except journal.errors(connection):
            # What else is wrong with it, others say.
            continue
        if missing:
            found.append(
                checks.Warning(
                    f"The database {alias} has no table {journal.JOURNAL}.",
                    "Run manage.py migrate (and let routers allow the app querycache in it). "
                    "Until then writes that the store cannot be told of are remembered by their "
                    "process alone.",
                    obj=OBJ,
                    id="querycache.W020",
                )
            )
    return found


def check_eviction(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a server that drops stamps or refuses writes when its memory is full.

    It is asked, and waited for no longer than `TIMEOUT`; one that does not answer is no concern.
    """
    config = usable_settings()
    if config is None or kind_of(config) != "redis":
        return []
    try:
        store = open_from(config)
        try:
            found = concern(store.info(), config.ttl)
        finally:
            store.close()
    except (*FAILURES, ImproperlyConfigured):
        # `check_store` reports what can never work.
        return []
    if found is None:
        return []
    number = "querycache.W013" if found.refuses else "querycache.W012"
    return [checks.Warning(found.text, found.hint, obj=OBJ, id=number)]


def check_serving(
    app_configs: AppConfigs, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Report databases that name another store than this process's."""
    installed = runtime.current
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if installed is None or not installed.serves(connection):
            continue
        watch = transaction_of(connection).database.watch
        try:
            named, serving = (None, None) if watch.private else watch.served.ask(connection)
        except trouble(connection):
            # Others say what is wrong.
            continue
        if named is not None and serving is Serving.OTHER:
            found.append(
                checks.Warning(
                    f"The database {alias} is served by another store: {named.label}.",
                    f"This process uses {installed.cache.claim.label}, serves nothing, and cannot "
                    "announce its writes. Give it the same STORE, KEY_PREFIX and release of "
                    "querycache, or run manage.py querycache adopt.",
                    obj=OBJ,
                    id="querycache.W021",
                )
            )
    return found

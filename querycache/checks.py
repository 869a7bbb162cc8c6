"""System checks of the settings.

Those of databases connect to one, when Django asks for it; with ``--deploy`` one asks the store.

Those that ask a database are in `catalogue_checks`.

| id | what it finds |
| --- | --- |
| E001 | a key that ``QUERYCACHE`` does not have |
| E002 | a value that is not allowed |
| E003 | an empty ``SECRET_KEY``, which the MAC of entries needs |
| E004 | a store's URL with an unknown scheme |
| E005 | a store that cannot work as configured, such as one whose client is not installed |
| E006 | a ``CONTEXT`` that cannot be imported or called |
| W001 | a name in ``EXCLUDE`` or ``ONLY`` that matches no app, model or table |
| W002 | a name in ``DEPENDS`` or ``TRIGGERS`` that is the table of no model |
| W003 | a ``LEASE`` no longer than the ``TIMEOUT`` |
| W004 | ``NEAR`` is ``"push"`` and the store is no Redis that stands alone |
| W020 | a database without the tables of this app: the journal cannot be kept |
| W021 | a database that is served by another store than the one that ``STORE`` leads to |
| W010 | with ``--deploy``: a store that serves the processes of one machine only |
| W011 | with ``--deploy``: a store that serves one process only |
| W012 | with ``--deploy``: a server that may evict stamps (``maxmemory-policy`` is ``allkeys-…``) |
| W013 | with ``--deploy``: a server that refuses writes when its memory is full |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from querycache import conf, journal
from querycache.cache import FAILURES
from querycache.catalogue_checks import check_catalogue
from querycache.eviction import concern
from querycache.install import open_from
from querycache.stores import open_store
from querycache.stores.base import StoreUnusable

TAG = "querycache"
_OBJ = "QUERYCACHE"

AppConfigs = Sequence[AppConfig] | None


def register() -> None:
    """Register the checks; doing so again changes nothing."""
    for check in (
        *(check_settings, check_secret_key, check_context, check_names, check_store),
        check_near,
    ):
        checks.register(check, TAG, checks.Tags.caches)
    for check in (check_reach, check_eviction):
        checks.register(check, TAG, checks.Tags.caches, deploy=True)
    checks.register(check_tables, TAG, checks.Tags.database)
    checks.register(check_catalogue, TAG, checks.Tags.database)
    checks.register(check_serving, TAG, checks.Tags.database)


def check_settings(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report unknown keys, values that are not allowed, and ones that do not go together."""
    found: list[checks.CheckMessage] = [
        checks.Error(str(problem), problem.hint, obj=_OBJ, id=f"querycache.{problem.id}")
        for problem in conf.problems(_raw())
    ]
    config = _config()
    if config is not None and config.lease_ms <= config.timeout * 1000:
        found.append(
            checks.Warning(
                f"LEASE ({config.lease_ms / 1000:g} s) is not longer than TIMEOUT "
                f"({config.timeout:g} s).",
                "A lease must outlast the call that takes it, else it protects no write. "
                "Make LEASE several times TIMEOUT.",
                obj=_OBJ,
                id="querycache.W003",
            )
        )
    return found


def check_secret_key(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a missing SECRET_KEY: without one anybody could forge entries."""
    if _config() is None:
        return []
    try:
        missing = not settings.SECRET_KEY
    except ImproperlyConfigured:
        # Django's own answer to an empty one.
        missing = True
    if not missing:
        return []
    return [
        checks.Error(
            "SECRET_KEY is empty, and it is what makes cached entries unforgeable.",
            "Give all processes of the project the same SECRET_KEY.",
            obj=_OBJ,
            id="querycache.E003",
        )
    ]


def check_context(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a CONTEXT that cannot be imported or called."""
    config = _config()
    try:
        if config is not None:
            config.context_function()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), obj=_OBJ, id="querycache.E006")]
    return []


def check_names(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report names that match no app, model or table of the project."""
    config = _config()
    if config is None:
        return []
    models = apps.get_models(include_auto_created=True, include_swapped=True)
    tables = {model._meta.db_table for model in models}
    labels = {model._meta.label_lower: model._meta.db_table for model in models}
    known = (
        {app.label for app in apps.get_app_configs()}
        | {model._meta.label for model in models}
        | tables
    )
    found: list[checks.CheckMessage] = []
    for key, names in (("EXCLUDE", config.exclude), ("ONLY", config.only)):
        found += [
            _unknown(key, name, "app, model or table", _near(name, known), "querycache.W001")
            for name in sorted(names)
            if name not in known and name.lower() not in labels
        ]
    for key, name in _table_names(config):
        if name not in tables:
            # A model's name says plainly which table is meant.
            table = labels.get(name.lower())
            near = [table] if table else _near(name, tables)
            found.append(_unknown(key, name, "table of a model", near, "querycache.W002"))
    return found


def check_store(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a store that can never work as configured."""
    config = _config()
    if config is None:
        return []
    try:
        conf.store_kind(config, settings.CACHES)
        if "://" in config.store:
            # Opening reads the URL and imports the client; the first call would connect.
            open_store(config.store, config.store_options()).close()
    except (ImproperlyConfigured, ImportError, StoreUnusable) as error:
        return [checks.Error(str(error), obj=_OBJ, id="querycache.E005")]
    return []


def check_near(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a near cache that nobody can tell of changes."""
    config = _config()
    if config is None or config.near != "push" or _kind(config) is None:
        return []
    if _kind(config) == "redis" and "+" not in config.store.partition("://")[0]:
        return []
    return [
        checks.Warning(
            'NEAR is "push", and the store does not tell of changes: only Redis does, '
            "standing alone.",
            'With this store it does what "checked" does; write that, or let STORE name a Redis.',
            obj=_OBJ,
            id="querycache.W004",
        )
    ]


def check_reach(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a store that does not reach every process that a deployment may have."""
    config = _config()
    kind = None if config is None else _kind(config)
    if kind == "lmdb":
        return [
            checks.Warning(
                "The LMDB store serves the processes of one machine only.",
                "When web servers or workers on several machines write to the same databases, "
                "let STORE name a Redis or Memcached server. Otherwise silence this check.",
                obj=_OBJ,
                id="querycache.W010",
            )
        ]
    if kind == "memory":
        return [
            checks.Warning(
                "The memory store serves one process only.",
                "When more than one process writes to the same databases, let STORE name LMDB, "
                "Redis or Memcached. Otherwise silence this check.",
                obj=_OBJ,
                id="querycache.W011",
            )
        ]
    return []


def check_tables(
    app_configs: AppConfigs, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Report databases that have no journal, where there is to be one."""
    config = _config()
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
                    obj=_OBJ,
                    id="querycache.W020",
                )
            )
    return found


def check_eviction(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a server that drops stamps or refuses writes when its memory is full.

    It is asked, and waited for no longer than `TIMEOUT`; one that does not answer is no concern.
    """
    config = _config()
    if config is None or _kind(config) != "redis":
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
    return [checks.Warning(found.text, found.hint, obj=_OBJ, id=number)]


def check_serving(
    app_configs: AppConfigs, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Report databases that name another store than this process's."""
    from querycache.runtime import runtime, transaction_of
    from querycache.serving import Serving, trouble

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
                    "announce its writes. Give it the same STORE and KEY_PREFIX, or run "
                    "manage.py querycache adopt.",
                    obj=_OBJ,
                    id="querycache.W021",
                )
            )
    return found


def _raw() -> object:
    return getattr(settings, "QUERYCACHE", None)


def _config() -> conf.Config | None:
    """Return the settings, or None where they are wrong (reported once) or turn the library off."""
    raw: Any = _raw()
    if conf.problems(raw):
        return None
    config = conf.load(raw)
    return None if config.mode == "off" else config


def _kind(config: conf.Config) -> conf.StoreKind | None:
    """Return the kind of store, None where it cannot be told, which `check_store` reports."""
    try:
        return conf.store_kind(config, settings.CACHES)
    except ImproperlyConfigured:
        return None


def _table_names(config: conf.Config) -> Iterator[tuple[str, str]]:
    for tables in config.depends.values():
        yield from (("DEPENDS", table) for table in tables)
    for table, written in config.triggers.items():
        yield from (("TRIGGERS", name) for name in (table, *written))


def _near(name: str, known: Iterable[str]) -> list[str]:
    folded = {one.lower(): one for one in sorted(known)}
    return [folded[one] for one in difflib.get_close_matches(name.lower(), folded)]


def _unknown(key: str, name: str, what: str, near: Sequence[str], id: str) -> checks.Warning:  # noqa: A002
    silence = f"If it is a table without a model, silence {id}."
    hint = f"Did you mean {' or '.join(map(repr, near))}? {silence}" if near else silence
    return checks.Warning(f"{key}: {name!r} is no {what}.", hint, obj=_OBJ, id=id)

"""System checks of the settings.

These look at nothing but the settings. Those that ask a database or the store are in
`asking_checks` and `catalogue_checks`.

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
| W010 | with ``--deploy``: a store that serves the processes of one machine only |
| W011 | with ``--deploy``: a store that serves one process only |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from querycache import conf
from querycache.stores import open_store
from querycache.stores.base import StoreUnusable

OBJ = "QUERYCACHE"

AppConfigs = Sequence[AppConfig] | None


def check_settings(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report unknown keys, values that are not allowed, and ones that do not go together."""
    found: list[checks.CheckMessage] = [
        checks.Error(str(problem), problem.hint, obj=OBJ, id=f"querycache.{problem.id}")
        for problem in conf.problems(_raw())
    ]
    config = usable_settings()
    if config is not None and config.lease_ms <= config.timeout * 1000:
        found.append(
            checks.Warning(
                f"LEASE ({config.lease_ms / 1000:g} s) is not longer than TIMEOUT "
                f"({config.timeout:g} s).",
                "A lease must outlast the call that takes it, else it protects no write. "
                "Make LEASE several times TIMEOUT.",
                obj=OBJ,
                id="querycache.W003",
            )
        )
    return found


def check_secret_key(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a missing SECRET_KEY: without one anybody could forge entries."""
    if usable_settings() is None:
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
            obj=OBJ,
            id="querycache.E003",
        )
    ]


def check_context(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a CONTEXT that cannot be imported or called."""
    config = usable_settings()
    try:
        if config is not None:
            config.context_function()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), obj=OBJ, id="querycache.E006")]
    return []


def check_names(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report names that match no app, model or table of the project."""
    config = usable_settings()
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
    config = usable_settings()
    if config is None:
        return []
    try:
        conf.store_kind(config, settings.CACHES)
        if "://" in config.store:
            # Opening reads the URL and imports the client; the first call would connect.
            open_store(config.store, config.store_options()).close()
    except (ImproperlyConfigured, ImportError, StoreUnusable) as error:
        return [checks.Error(str(error), obj=OBJ, id="querycache.E005")]
    return []


def check_near(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a near cache that nobody can tell of changes."""
    config = usable_settings()
    if config is None or config.near != "push" or kind_of(config) is None:
        return []
    if kind_of(config) == "redis" and "+" not in config.store.partition("://")[0]:
        return []
    return [
        checks.Warning(
            'NEAR is "push", and the store does not tell of changes: only Redis does, '
            "standing alone.",
            'With this store it does what "checked" does; write that, or let STORE name a Redis.',
            obj=OBJ,
            id="querycache.W004",
        )
    ]


def check_reach(app_configs: AppConfigs, **kwargs: Any) -> list[checks.CheckMessage]:
    """Report a store that does not reach every process that a deployment may have."""
    config = usable_settings()
    kind = None if config is None else kind_of(config)
    if kind == "lmdb":
        return [
            checks.Warning(
                "The LMDB store serves the processes of one machine only.",
                "When web servers or workers on several machines write to the same databases, "
                "let STORE name a Redis or Memcached server. Otherwise silence this check.",
                obj=OBJ,
                id="querycache.W010",
            )
        ]
    if kind == "memory":
        return [
            checks.Warning(
                "The memory store serves one process only.",
                "When more than one process writes to the same databases, let STORE name LMDB, "
                "Redis or Memcached. Otherwise silence this check.",
                obj=OBJ,
                id="querycache.W011",
            )
        ]
    return []


def _raw() -> object:
    return getattr(settings, "QUERYCACHE", None)


def usable_settings() -> conf.Config | None:
    """Return the settings, or None where they are wrong (reported once) or turn the library off."""
    raw: Any = _raw()
    if conf.problems(raw):
        return None
    config = conf.load(raw)
    return None if config.mode == "off" else config


def kind_of(config: conf.Config) -> conf.StoreKind | None:
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
    return checks.Warning(f"{key}: {name!r} is no {what}.", hint, obj=OBJ, id=id)

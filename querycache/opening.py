"""What is installed: made of the settings when the first query needs it."""

from __future__ import annotations

import os
import weakref

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished

from querycache.cache import QueryCache
from querycache.conf import Config
from querycache.reads import read
from querycache.runtime import runtime
from querycache.selection import Selection
from querycache.state import Installed, forked
from querycache.stores import open_store
from querycache.stores.base import Store, StoreUnusable


def make(config: Config) -> Installed:
    """Make what the settings describe; no server is connected to.

    Raises:
        ImproperlyConfigured: the store can never work, or `SECRET_KEY` is missing.
    """
    if config.store.startswith(("memory://", "lmdb://")):
        # Cheap to open, so that a mistake shows at once.
        try:
            store = open_from(config)
        except StoreUnusable as error:
            raise ImproperlyConfigured(f"QUERYCACHE['STORE']: {error}") from error
        cache = QueryCache(config, settings.SECRET_KEY, lambda: store)
    else:
        cache = QueryCache(config, settings.SECRET_KEY, lambda: open_from(config))
    _after_fork(cache)
    installed = Installed(cache, Selection(config.exclude, config.only), read)
    request_finished.connect(installed.request_over)
    return installed


def open_from(config: Config) -> Store:
    """Open the store that the settings lead to; nothing is connected yet.

    Raises:
        StoreUnusable: it can never work as configured.
    """
    options = config.store_options()
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


def _after_fork(cache: QueryCache) -> None:
    alive = weakref.ref(cache)

    def forget() -> None:
        found = alive()
        if found is not None:
            found.after_fork()
            if runtime.current is not None and runtime.current.cache is found:
                forked()

    os.register_at_fork(after_in_child=forget)

"""The caches that are checked: querycache, django-cachalot in its place, and none at all."""

from __future__ import annotations

import contextlib
import functools
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

CONTENDERS = ("querycache", "cachalot", "none")


def settings_for(
    cache: str, store: str, prefix: str, options: dict[str, Any], database: dict[str, Any]
) -> dict[str, Any]:
    """Return the Django settings of a crew.

    Args:
        cache: one of `CONTENDERS`.
        store: URL of the store.
        prefix: of all keys in the store, its own for each run.
        options: of ``QUERYCACHE``.
        database: what ``DATABASES["default"]`` is.
    """
    settings: dict[str, Any] = {
        "SECRET_KEY": "history",
        "USE_TZ": True,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "DATABASES": {"default": database},
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "INSTALLED_APPS": ["tests.history"],
        # What it says of outages is what the faults are about.
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"none": {"class": "logging.NullHandler"}},
            "loggers": {"querycache": {"handlers": ["none"], "propagate": False}},
        },
    }
    if cache != "none":
        settings["INSTALLED_APPS"].insert(0, cache)
    return settings | store_settings(cache, store, prefix, options)


def store_settings(cache: str, store: str, prefix: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that lead a cache to its store."""
    if cache == "querycache":
        return {"QUERYCACHE": {"STORE": store, "KEY_PREFIX": prefix, **options}}
    if cache == "cachalot":
        backends = {
            "redis": "django.core.cache.backends.redis.RedisCache",
            "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
            "memory": "django.core.cache.backends.locmem.LocMemCache",
        }
        kind = store.partition("://")[0]
        place = store if kind == "redis" else store.partition("://")[2]
        return {
            "CACHES": {
                "default": {"BACKEND": backends[kind], "LOCATION": place, "KEY_PREFIX": prefix}
            },
            "CACHALOT_TIMEOUT": None,
        }
    return {}


def follow(cache: str, changed: dict[str, Any]) -> None:
    """Have a running process use other `store_settings`."""
    from django.conf import settings

    for name, value in changed.items():
        setattr(settings, name, value)
    if cache == "querycache":
        from querycache import install

        install.install()
    elif cache == "cachalot":
        from django.core.cache import caches

        caches.settings = caches.configure_settings(changed["CACHES"])
        with contextlib.suppress(AttributeError):
            del caches["default"]


def direct(cache: str) -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes reads go to the database for the length of a block."""
    if cache == "querycache":
        import querycache

        return querycache.disabled
    if cache == "cachalot":
        from cachalot.api import cachalot_disabled

        return functools.partial(cachalot_disabled, True)
    return contextlib.nullcontext


def refusal(cache: str) -> type[Exception]:
    """Return the error that promises that nothing was written."""
    if cache == "querycache":
        import querycache

        return querycache.StoreUnavailable
    # None of its own.
    return type("NeverRaised", (Exception,), {})


def store_failures(cache: str) -> int:
    """Return how often the store has failed this process, where the cache counts that."""
    if cache != "querycache":
        return 0
    from querycache.runtime import runtime

    assert runtime.current is not None
    return runtime.current.cache.counters.failures


# -- querycache without one of its mechanisms ----------------------------------------------------


def _without_begin(store: Any, cache: Any) -> None:
    store.begin = store.begin_ahead = lambda stamps, token: None


def _without_end(store: Any, cache: Any) -> None:
    store.begin = store.begin_ahead = store.end = lambda stamps, token: None


def _stamps_read_late(store: Any, cache: Any) -> None:
    from querycache import reads
    from querycache.reading import kept_under

    run_and_keep = reads._run_and_keep

    def late(transaction: Any, query: Any, fingerprint: bytes, under: Any, noted: int) -> Any:
        # As `exists()` is run, where that is another text.
        run = query.witness or query.run

        def run_before() -> Any:
            result = run()
            # Long enough for a writer to come and go, slow commits included.
            time.sleep(random.uniform(0, 0.03))
            again = kept_under(cache, query, store.stamps(query.keys))
            under.some, under.whole = (again.some, again.whole) if again else (None, None)
            return result

        query.run = run_before
        query.witness = query.witness and run_before
        return run_and_keep(transaction, query, fingerprint, under, noted)

    patched: Any = reads
    patched._run_and_keep = late


def _without_journal(store: Any, cache: Any) -> None:
    from querycache.watch import Watch

    watch: Any = Watch
    watch.clear = lambda *args, **more: True


#: Mechanism that is taken out → how.
MUTANTS: dict[str, Callable[[Any, Any], None]] = {
    "begin": _without_begin,
    "end": _without_end,
    "stamps before the query": _stamps_read_late,
    "looks at the journal": _without_journal,
}


def mutate(mutant: str) -> None:
    """Take one of querycache's mechanisms out of this process."""
    from querycache.runtime import runtime

    assert runtime.current is not None
    cache = runtime.current.cache
    MUTANTS[mutant](cache.store, cache)

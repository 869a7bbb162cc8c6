"""The settings: the store, the client and the function that they lead to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from querycache import conf, stamps
from querycache.stores import SCHEMES
from querycache.stores.base import StoreOptions
from tests.configs import load, tenant


def test_context_is_imported_late() -> None:
    config = load(CONTEXT="tests.configs.tenant")
    function = config.context_function()
    assert function is tenant
    assert function(SimpleNamespace(alias="default")) == "tenant of default"
    assert load(CONTEXT=tenant).context_function() is tenant
    assert load().context_function() is None


@pytest.mark.parametrize(
    "path", ["nowhere.at.all", f"{__name__}.missing", "tests.configs.AROUND", f"{__name__}.LOCMEM"]
)
def test_context_that_leads_nowhere(path: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="CONTEXT"):
        load(CONTEXT=path).context_function()


LOCMEM = "django.core.cache.backends.locmem.LocMemCache"


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        (LOCMEM, "lmdb"),
        ("django.core.cache.backends.filebased.FileBasedCache", "lmdb"),
        ("django.core.cache.backends.db.DatabaseCache", "lmdb"),
        ("django.core.cache.backends.dummy.DummyCache", "off"),
        ("django.core.cache.backends.redis.RedisCache", "redis"),
        ("django.core.cache.backends.memcached.PyMemcacheCache", "memcached"),
        ("django.core.cache.backends.memcached.PyLibMCCache", "memcached"),
        (f"{__name__}.OwnRedis", "redis"),
    ],
)
def test_the_store_that_a_cache_leads_to(backend: str, kind: str) -> None:
    assert conf.store_kind(load(), {"default": {"BACKEND": backend}}) == kind


@pytest.mark.parametrize("scheme", [*SCHEMES, "REDIS"])
def test_the_store_that_a_url_leads_to(scheme: str) -> None:
    kind = conf.store_kind(load(STORE=f"{scheme}://place"), {})
    assert kind == (scheme if scheme in {"memory", "lmdb", "memcached"} else "redis")


def test_store_options() -> None:
    config = load(KEY_PREFIX="shop", LEASE=2, TIMEOUT=0.5)
    prefix = f"shop:{stamps.PROTOCOL}"
    assert config.store_options() == StoreOptions(prefix=prefix, lease=2000, timeout=0.5)


@pytest.mark.parametrize("options", [{}, {"BACKEND": "nowhere.Cache"}])
def test_a_cache_without_backend(options: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"CACHES\['default'\]"):
        conf.store_kind(load(), {"default": options})


@pytest.mark.parametrize(
    ("store", "client"), [("redis://h", "redis"), ("memcached://h:11211", "pymemcache")]
)
def test_a_client_that_is_not_installed(
    store: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "find_spec", lambda name: None if name == client else object())
    with pytest.raises(ImproperlyConfigured, match=rf"needs {client}.*pip install 'querycache\["):
        conf.store_kind(load(STORE=store), {})


def __getattr__(name: str) -> Any:
    # A project's own backend, made when it is asked for: it needs the project's settings.
    if name == "OwnRedis":
        from django.core.cache.backends.redis import RedisCache

        return type("OwnRedis", (RedisCache,), {})
    raise AttributeError(name)

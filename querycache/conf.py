"""The settings: the dict ``QUERYCACHE`` becomes one frozen `Config`.

Every key is one line of `KEYS`: its default, what is allowed, and how it is read. `problems` finds
what is wrong for the system checks, `load` refuses it.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from querycache import stamps, values
from querycache.stores import SCHEMES
from querycache.stores.base import StoreOptions
from querycache.values import Around

UNKNOWN_KEY: Final = "E001"

#: What keeps the entries; "off" is no store at all, and every query is left alone.
StoreKind = Literal["memory", "lmdb", "redis", "memcached", "off"]


@dataclass(frozen=True, slots=True)
class Config:
    """The settings as the rest of the code uses them.

    Args:
        store: alias of ``CACHES``, or a URL.
        mode: serve (on), only compare (shadow), or leave every query alone (off).
        verify: share of hits that are also run against the database, 0 to 1.
        verify_raises: whether a difference raises `querycache.StaleHit`.
        exclude: app labels, ``app.Model`` and table names that are never cached; beats `only`.
        only: the same kinds of names; when there are any, nothing else is cached.
        ttl: seconds that an unused entry may stay in the store; None for ever.
        max_rows: rows of the largest result that is stored.
        max_bytes: bytes of the largest result that is stored.
        key_prefix: what all keys in the store begin with, before the version of the protocol.
        databases: aliases of the cached databases; None for all.
        replicas: alias of a replica → what it follows, and how far behind it may be.
        consistency: the contract between readers and writers.
        on_store_failure: what a write does when the store does not answer.
        lease_ms: how long a writer's lease lasts, in ms.
        timeout: connect and read timeout of the store, in seconds.
        near: where decoded results are held besides the store.
        near_bytes: what they take at most in each process.
        admission: whether what the database answers more quickly than the store is cached too.
        depends: view or function → the tables that it reads.
        triggers: table → the tables that its triggers write.
        raw_sql: whether writes through cursors are tracked.
        context: a callable, the dotted path of one, or None; see `context_function`.
    """

    store: str
    mode: Literal["on", "shadow", "off"]
    verify: float
    verify_raises: bool
    exclude: frozenset[str]
    only: frozenset[str]
    ttl: float | None
    max_rows: int
    max_bytes: int
    key_prefix: str
    databases: frozenset[str] | None
    replicas: Mapping[str, values.Replica]
    consistency: Literal["strict", "bounded"]
    on_store_failure: Literal["journal", "proceed", "raise"]
    lease_ms: int
    timeout: float
    near: Literal["off", "checked", "push"]
    near_bytes: int
    admission: Literal["all", "cost"]
    depends: Mapping[str, tuple[str, ...]]
    triggers: Mapping[str, tuple[str, ...]]
    raw_sql: Literal["track", "ignore"]
    reuse_sql: bool
    context: Callable[[Any], object] | str | None

    @property
    def namespace(self) -> str:
        """What all keys in the store begin with, and part of what databases know the store by."""
        return f"{self.key_prefix}:{stamps.PROTOCOL}"

    def store_options(self) -> StoreOptions:
        """Return what every store is opened with."""
        return StoreOptions(self.namespace, self.lease_ms, self.timeout)

    def context_function(self) -> Callable[[Any], object] | None:
        """Return what tells the tenant of a connection, imported now where `context` is a path.

        Raises:
            ImproperlyConfigured: the path leads to nothing, or to nothing that can be called.
        """
        if not isinstance(self.context, str):
            return self.context
        try:
            found = import_string(self.context)
        except ImportError as error:
            raise ImproperlyConfigured(f"QUERYCACHE['CONTEXT']: {error}") from error
        if not callable(found):
            raise ImproperlyConfigured(f"QUERYCACHE['CONTEXT']: {self.context} is not callable.")
        function: Callable[[Any], object] = found
        return function


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings.

    Args:
        id: the number of the system check, without the app's name.
        key: the key of ``QUERYCACHE``, or what stands in its place.
        value: what was found, as text fit to be shown (never a password).
        allowed: what would be right, the end of the sentence "it must be …".
        nearest: the right name that comes nearest, None when none does.
    """

    id: str
    key: str
    value: str
    allowed: str
    nearest: str | None = None

    def __str__(self) -> str:
        if self.id == UNKNOWN_KEY:
            return f"QUERYCACHE has no key {self.key}."
        place = f"QUERYCACHE[{self.key!r}]" if self.key else "QUERYCACHE"
        return f"{place} is {self.value}; it must be {self.allowed}."

    @property
    def hint(self) -> str | None:
        """What to do about it, where more can be said than what is allowed."""
        if self.nearest is not None:
            return f"Did you mean {self.nearest!r}?"
        return f"The keys are {self.allowed}." if self.id == UNKNOWN_KEY else None


@dataclass(frozen=True, slots=True)
class Key:
    """One key of ``QUERYCACHE``.

    Args:
        default: its value where the project gives none.
        allowed: what is allowed, the end of the sentence "it must be …".
        read: turns a value into the field of `Config`; a ValueError says that it is not allowed.
        field: the field's name, where it is not the key in lower case.
    """

    default: object
    allowed: str
    read: Callable[[object, Around], object]
    field: str = ""


_NAMES = 'a list of app labels ("shop"), models ("shop.Book") and table names'

KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {
        "STORE": Key("default", "an alias of CACHES or a URL such as lmdb:///path", values.store),
        "MODE": Key("on", "one of 'on', 'shadow', 'off'", values.choice("on", "shadow", "off")),
        "VERIFY": Key(0.0, "a number from 0 to 1", values.number(0, 1)),
        "VERIFY_RAISES": Key(False, "True or False", values.flag),
        "EXCLUDE": Key((), _NAMES, values.names),
        "ONLY": Key((), _NAMES, values.names),
        "TTL": Key(
            7 * 24 * 3600,
            "a number of seconds above 0, or None",
            values.optional(values.number(0, math.inf, open_low=True)),
        ),
        "MAX_ROWS": Key(10_000, "a whole number above 0", values.count),
        "MAX_BYTES": Key(
            1_000_000,
            "a whole number of bytes above 0, or a size such as '1mb'",
            values.size,
        ),
        "KEY_PREFIX": Key("qc", "1 to 32 ASCII letters, digits, '_', '-' and '.'", values.prefix),
        "DATABASES": Key(
            None, "None or a list of aliases of DATABASES", values.optional(values.databases)
        ),
        "REPLICAS": Key(
            {},
            "a dict such as {'replica': {'of': 'default', 'max_lag': 5}}, in seconds above 0",
            values.replicas,
        ),
        "CONSISTENCY": Key("strict", "'strict' or 'bounded'", values.choice("strict", "bounded")),
        "ON_STORE_FAILURE": Key(
            "journal",
            "'journal', 'proceed' or 'raise'",
            values.choice("journal", "proceed", "raise"),
        ),
        "LEASE": Key(
            5.0,
            "a number of seconds from 0.1 to 3600",
            values.milliseconds(0.1, 3600),
            "lease_ms",
        ),
        "TIMEOUT": Key(
            0.25, "a number of seconds above 0, at most 10", values.number(0, 10, open_low=True)
        ),
        "NEAR": Key(
            "off",
            "one of 'off', 'checked', 'push'",
            values.choice("off", "checked", "push"),
        ),
        "NEAR_BYTES": Key(
            64 * 1024 * 1024,
            "a whole number of bytes above 0, or a size such as '64mb'",
            values.size,
        ),
        "ADMISSION": Key("all", "'all' or 'cost'", values.choice("all", "cost")),
        "DEPENDS": Key(
            {}, "a dict of view or function names, each with a list of tables", values.name_lists
        ),
        "TRIGGERS": Key({}, "a dict of table names, each with a list of tables", values.name_lists),
        "RAW_SQL": Key("track", "'track' or 'ignore'", values.choice("track", "ignore")),
        "REUSE_SQL": Key(True, "True or False", values.flag),
        "CONTEXT": Key(
            None, "None, a callable, or the dotted path of one", values.optional(values.context)
        ),
    }
)


def load(raw: Mapping[str, Any] | None, around: Around | None = None) -> Config:
    """Read ``QUERYCACHE``.

    Args:
        raw: the dict of the project's settings; None where it has none.
        around: names from other settings; by default those of the project.

    Raises:
        ImproperlyConfigured: something is wrong with it; the message lists everything.
    """
    fields, found = _read(raw, around or Around.settings())
    if found:
        raise ImproperlyConfigured(
            " ".join(f"{problem} {problem.hint or ''}".strip() for problem in found)
        )
    return Config(**fields)


def problems(raw: object, around: Around | None = None) -> list[Problem]:
    """List what is wrong with ``QUERYCACHE``, in the order of its keys.

    Args:
        raw: the value of the setting; None where there is none.
        around: names from other settings; by default those of the project.
    """
    return _read(raw, around or Around.settings())[1]


def shown_store(config: Config) -> str:
    """Return what leads to the store as people may see it: without the password and the query."""
    return _shown("STORE", config.store)


def store_kind(config: Config, caches: Mapping[str, Mapping[str, Any]]) -> StoreKind:
    """Return the kind of store that the settings lead to, without opening it.

    Args:
        config: the settings.
        caches: ``CACHES`` of the project.

    Raises:
        ImproperlyConfigured: a cache's backend, or the client of the store, cannot be imported.
    """
    scheme, is_url, _ = config.store.partition("://")
    # The name of the module that a scheme leads to begins with the kind.
    kind = (
        cast("StoreKind", SCHEMES[scheme.lower()][0].partition("_")[0])
        if is_url
        else _kind_of_cache(config.store, caches[config.store])
    )
    client = _CLIENTS.get(kind)
    if client is not None and find_spec(client) is None:
        raise ImproperlyConfigured(
            f"The {kind} store needs {client}, which is not installed: "
            f"pip install 'querycache[{kind}]'."
        )
    return kind


#: Cache backends (and what inherits from them) that say by themselves which store to use.
_BACKENDS: Final[Mapping[str, StoreKind]] = MappingProxyType(
    {
        "django.core.cache.backends.dummy.DummyCache": "off",
        "django.core.cache.backends.memcached.BaseMemcachedCache": "memcached",
        "django.core.cache.backends.redis.RedisCache": "redis",
        "django_redis.cache.RedisCache": "redis",
        "django_valkey.base.BaseValkeyCache": "redis",
    }
)
_CLIENTS: Final[Mapping[str, str]] = MappingProxyType({"redis": "redis", "memcached": "pymemcache"})


def _kind_of_cache(alias: str, options: Mapping[str, Any]) -> StoreKind:
    try:
        backend = import_string(options["BACKEND"])
    except (ImportError, KeyError) as error:
        raise ImproperlyConfigured(f"CACHES[{alias!r}] has no backend: {error}") from error
    for ancestor in backend.__mro__:
        kind = _BACKENDS.get(f"{ancestor.__module__}.{ancestor.__qualname__}")
        if kind is not None:
            return kind
    return "lmdb"


def _read(raw: object, around: Around) -> tuple[dict[str, Any], list[Problem]]:
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        return {}, [Problem(values.WRONG_VALUE, "", _shown("", raw), "a dict")]
    found = [
        Problem(UNKNOWN_KEY, repr(key), "", ", ".join(KEYS), values.nearest(key, KEYS))
        for key in raw
        if key not in KEYS
    ]
    fields: dict[str, Any] = {}
    for name, key in KEYS.items():
        value = raw.get(name, key.default)
        try:
            fields[key.field or name.lower()] = key.read(value, around)
        except values.WrongError as wrong:
            allowed = wrong.allowed or key.allowed
            found.append(Problem(wrong.check, name, _shown(name, value), allowed, wrong.nearest))
        except ValueError:
            found.append(Problem(values.WRONG_VALUE, name, _shown(name, value), key.allowed))
    return fields, found


def _shown(key: str, value: object) -> str:
    """Show a value in short, without the password that a store's URL may hold."""
    if key not in KEYS or (key == "STORE" and not isinstance(value, str)):
        return f"of type {type(value).__name__}"
    if key == "STORE" and isinstance(value, str):
        head, at, place = value.rpartition("@")
        shown = f"{head[: head.find(':') + 1]}…@{place}" if at else value
        return repr(shown.partition("?")[0])
    return reprlib.repr(value)

"""Names of what is kept in a store: databases, dependencies, entries and their parameters."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import json
import marshal
import os
import sys
import uuid
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from xxhash import xxh3_128_hexdigest

from querycache.stamps import COMPANION

# Versions above 2 write references and interned strings, which depend on more than the value.
_MARSHAL_VERSION = 2
_DEFAULT_PORTS = {"postgresql": "5432", "mysql": "3306", "oracle": "1521"}
_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})

#: The dependency that stands for every table of a database at once.
EVERYTHING = "*"

#: Begins the name of a table in another database of the same server, and ends that database's.
ELSEWHERE = "\0"


class Unkeyable(TypeError):
    """A parameter's value cannot be told apart from every other, so its query is not cached."""


def database_identity(vendor: str, settings: dict[str, Any]) -> str:
    """Name the database that a connection's settings lead to, whatever its alias.

    Args:
        vendor: `connection.vendor`.
        settings: `connection.settings_dict`.

    In-memory SQLite databases are not named here: they belong to a connection, not to settings.
    """
    name = str(settings.get("NAME") or "")
    if vendor == "sqlite":
        path = os.path.realpath(name.removeprefix("file:").partition("?")[0])
        try:
            # A file put in the place of another is another database.
            inode = Path(path).stat().st_ino
        except OSError:
            inode = 0
        return f"sqlite:{path}:{inode}"
    host = str(settings.get("HOST") or "").lower()
    port = str(settings.get("PORT") or _DEFAULT_PORTS.get(vendor, ""))
    service = str((settings.get("OPTIONS") or {}).get("service", ""))
    return f"{vendor}:{'localhost' if host in _LOOPBACK else host}:{port}:{service}:{name}"


def stamp_key(prefix: str, database: str, dependency: str) -> bytes:
    """Return the key of a dependency's stamp."""
    named = f"{database}\0{dependency}"
    return f"{prefix}:s:{_hashed(named, 16)}".encode()


def companion_key(companion: bytes, dependency: str) -> bytes:
    """Return the key of the stamp of a dependency whose every writer writes another as well.

    Args:
        companion: the key of that one's stamp, see `stamps.companion_of`.
        dependency: told apart from all others with this companion, as far as 8 bytes do: where two
            share a stamp, a write to one is one to both.
    """
    return companion + COMPANION + _hashed(dependency, 8).encode()


def _hashed(text: str, size: int) -> str:
    # Names of files may hold bytes that are no text.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def entry_key(prefix: str, fingerprint: bytes) -> bytes:
    """Return the key of the entry of a fingerprint; `prefix` ends in ``":"``."""
    return (prefix + xxh3_128_hexdigest(fingerprint)).encode()


def digest(*parts: str) -> bytes:
    """Return 16 bytes that stand for the parts and for nothing else (collision-resistant)."""
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


def dump_parameters(params: Iterable[Any]) -> bytes:
    """Write parameters so that other values, or equal ones of other types, are written otherwise.

    Raises:
        Unkeyable: a value is of a type that cannot be written whole.
    """
    if type(params) is not tuple:
        params = tuple(params)
    # marshal would write whatever has a buffer (an array, a number of NumPy) as its bare bytes.
    if _PLAIN.issuperset(map(type, params)):
        return b"p" + marshal.dumps(params, _MARSHAL_VERSION)
    return b"r" + marshal.dumps(tuple(map(_tagged, params)), _MARSHAL_VERSION)


# Below, every tuple begins with a tag, so that no value can pass for another's written form.


def _tagged(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    write = _WRITERS.get(kind)
    if write is not None:
        return (kind.__name__, *write(value))
    for base, plain in _BASES:
        if isinstance(value, base):
            return ("sub", f"{kind.__module__}.{kind.__qualname__}", plain(value))
    return _driver_value(value)


def _timezone(value: datetime.datetime | datetime.time) -> tuple[str, int, str]:
    zone = value.tzinfo
    return value.isoformat(), value.fold, "" if zone is None else f"{type(zone).__name__} {zone}"


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})

_WRITERS: dict[type, Callable[[Any], Iterable[Any]]] = {
    tuple: lambda v: map(_tagged, v),
    list: lambda v: map(_tagged, v),
    dict: lambda v: (x for key, item in v.items() for x in (_tagged(key), _tagged(item))),
    bytearray: lambda v: (bytes(v),),
    memoryview: lambda v: (bytes(v),),
    decimal.Decimal: lambda v: (str(v),),
    datetime.datetime: _timezone,
    datetime.time: _timezone,
    datetime.date: lambda v: (v.isoformat(),),
    datetime.timedelta: lambda v: (v.days, v.seconds, v.microseconds),
    uuid.UUID: lambda v: (v.bytes,),
    ipaddress.IPv4Address: lambda v: (str(v),),
    ipaddress.IPv6Address: lambda v: (str(v),),
    ipaddress.IPv4Interface: lambda v: (str(v),),
    ipaddress.IPv6Interface: lambda v: (str(v),),
    ipaddress.IPv4Network: lambda v: (str(v),),
    ipaddress.IPv6Network: lambda v: (str(v),),
}

# Enums, safe strings and the drivers' own numbers; the base's value, past any override.
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes.__bytes__),
)


def _driver_value(value: Any) -> Any:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    # A driver whose module nobody imported cannot have made the value.
    modules = sys.modules
    if "psycopg" in modules:
        from psycopg.types.json import Json, Jsonb
        from psycopg.types.range import Range

        if isinstance(value, Json | Jsonb):
            return (name, (value.dumps or json.dumps)(value.obj))
        if isinstance(value, Range):
            return (name, _tagged(value.lower), _tagged(value.upper), value.bounds, value.isempty)
    if "psycopg2" in modules:
        from psycopg2._json import Json as Json2
        from psycopg2._range import Range as Range2

        if isinstance(value, Json2):
            return (name, value.dumps(value.adapted))
        if isinstance(value, Range2):
            bounds = "empty" if value.isempty else f"{value.lower_inc}{value.upper_inc}"
            return (name, _tagged(value.lower), _tagged(value.upper), bounds)
    if hasattr(value, "ewkb") and hasattr(value, "srid"):
        flags = (getattr(value, "geography", None), getattr(value, "is_geometry", None))
        return (name, bytes(value.ewkb), value.srid, *flags)
    if "django.contrib.gis.db.backends.base.adapter" in modules:
        from django.contrib.gis.db.backends.base.adapter import WKTAdapter

        if isinstance(value, WKTAdapter):
            # SpatiaLite, MariaDB and Oracle are sent this text.
            return (name, str(value), value.srid)
    raise Unkeyable(f"a parameter of type {name} cannot be part of a key")

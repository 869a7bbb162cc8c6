"""Any single value as JSON text: the long way, for what MessagePack has no type of.

JSON says by itself what it says exactly: None, booleans, integers of 64 bits, finite floats, text,
lists, and dictionaries whose keys are text. Anything else becomes `{"$": [tag, ...]}`. JSON has no
length prefixes, so a damaged text can never ask for more memory than a small multiple of itself.
"""

from __future__ import annotations

import ipaddress
import math
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

#: How deep lists and dictionaries may nest; deeper ones are not cached.
MAX_DEPTH: Final = 64

_MARK: Final = "$"
_MARK_JSON: Final = b'"$"'
_MICROSECOND: Final = timedelta(microseconds=1)
#: Items of the memoryviews that are known: numbers, or (psycopg 2) bytes of length 1.
_BYTE_FORMATS: Final = ("B", "c")

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class Unencodable(TypeError):
    """A value has a type that the codec does not know; the rows cannot be cached."""

    def __init__(self, kind: type, why: str = "") -> None:
        name = f"{kind.__module__}.{kind.__qualname__}"
        super().__init__(f"{name}: {why}" if why else name)
        self.kind = kind


class Damaged(ValueError):
    """The bytes are not what `encode` made."""


def dump_value(value: Any) -> bytes:
    """Write one value as JSON text.

    Raises:
        Unencodable: the value, or one inside it, has a type that is not known.
    """
    return _encode_json(_lower(value, 0))


def load_value(text: bytes) -> Any:
    """Read what `dump_value` wrote; a damaged text raises whatever its parts raise."""
    tree = _decode_json(text)
    # Inside a JSON string the quotes would be escaped: without the mark nothing is tagged.
    return _lift(tree) if _MARK_JSON in text else tree


def dump_zone(zone: tzinfo) -> list[Any]:
    """Describe a time zone: `["o", microseconds, name?]` or `["z", key]`.

    Raises:
        Unencodable: it is neither a `datetime.timezone` nor a `ZoneInfo` that its key finds again.
    """
    kind = type(zone)
    if kind is timezone:
        offset, *names = zone.__getinitargs__()  # type: ignore[attr-defined]
        return ["o", offset // _MICROSECOND, *[_lower(name, 0) for name in names]]
    if kind is ZoneInfo:
        key = zone.key  # type: ignore[attr-defined]
        # A zone read from a file of its own may carry a key that stands for other rules.
        if key is None or not _finds(key, zone):
            raise Unencodable(kind, "not the zone that its key names")
        return ["z", key]
    raise Unencodable(kind)


def _finds(key: str, zone: tzinfo) -> bool:
    try:
        return ZoneInfo(key) is zone
    except (KeyError, ValueError, OSError):  # no such zone, no possible name of one, no such file
        return False


def load_zone(spec: list[Any]) -> tzinfo:
    """Make the time zone that `dump_zone` described; a damaged one raises whatever it raises."""
    if spec[0] == "z":
        return ZoneInfo(spec[1])
    return timezone(_MICROSECOND * spec[1], *[_lift(name) for name in spec[2:]])


def _lower(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    write = _WRITERS.get(kind) or _driver_writer(kind)
    if write is None:
        raise Unencodable(kind)
    if depth > MAX_DEPTH:
        raise Unencodable(kind, "nested too deeply")
    return write(value, depth)


def _lift(tree: Any) -> Any:
    kind = type(tree)
    if kind is list:
        return [_lift(item) for item in tree]
    if kind is dict:
        tagged = tree.get(_MARK)
        if tagged is None:
            return {key: _lift(item) for key, item in tree.items()}
        return _READERS[tagged[0]](*tagged[1:])
    return tree


def _tag(*parts: Any) -> dict[str, list[Any]]:
    return {_MARK: [*parts]}


# Writers: each gets a value of exactly its type and the depth at which it stands.


def _write_int(value: int, depth: int) -> Any:
    return value if -(1 << 63) <= value < 1 << 64 else _tag("int", f"{value:x}")


def _write_float(value: float, depth: int) -> Any:
    return value if math.isfinite(value) else _tag("float", struct.pack(">d", value).hex())


def _write_str(value: str, depth: int) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates
        return _tag("str", _base64(value.encode("utf-8", "surrogatepass")))
    return value


def _write_list(value: list[Any], depth: int) -> Any:
    # Arrays of numbers are the common case, and one look at all of them is much cheaper.
    kinds = {type(item) for item in value}
    if kinds == {int} and min(value) >= -(1 << 63) and max(value) < 1 << 64:
        return value
    if kinds == {float} and all(map(math.isfinite, value)):
        return value
    return _lower_all(value, depth)


def _write_dict(value: dict[Any, Any], depth: int) -> Any:
    if {type(key) for key in value} <= {str} and _MARK not in value:
        try:
            "".join(value).encode()
        except UnicodeEncodeError:
            pass  # as pairs below
        else:
            return {key: _lower(item, depth + 1) for key, item in value.items()}
    return _tag("dict", [_lower_all(pair, depth + 1) for pair in value.items()])


def _lower_all(values: Iterable[Any], depth: int) -> list[Any]:
    return [_lower(value, depth + 1) for value in values]


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode("ascii")


def _write_memoryview(value: memoryview, depth: int) -> Any:
    return _tag("memoryview", _base64(plain_bytes(value)), value.format)


def plain_bytes(value: memoryview) -> bytes:
    """Copy the bytes of a memoryview.

    Raises:
        Unencodable: its items are not plain bytes in one dimension.
    """
    if value.format not in _BYTE_FORMATS or value.ndim != 1:
        raise Unencodable(memoryview, "not of plain bytes")
    return value.tobytes()


def _read_memoryview(text: str, items: str) -> memoryview:
    if items not in _BYTE_FORMATS:
        raise Damaged("not of plain bytes")
    return memoryview(_read_bytes(text)).cast(items)  # type: ignore[call-overload, no-any-return]


def _write_datetime(value: datetime, depth: int) -> Any:
    zone = value.tzinfo
    naive = value.replace(tzinfo=None, fold=0).isoformat()
    return _tag("datetime", naive, value.fold, None if zone is None else dump_zone(zone))


def _write_time(value: time, depth: int) -> Any:
    zone = value.tzinfo
    naive = value.replace(tzinfo=None, fold=0).isoformat()
    return _tag("time", naive, value.fold, None if zone is None else dump_zone(zone))


def _text_writer(name: str) -> Callable[[Any, int], Any]:
    return lambda value, depth: _tag(name, str(value))


# Readers: each gets what follows the tag. Wrong numbers or types of parts raise, which is all that
# is asked of them; `decode` turns it into `Damaged`.


def _read_bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _read_datetime(text: str, fold: int, zone: list[Any] | None) -> datetime:
    naive = datetime.fromisoformat(text)
    return naive.replace(tzinfo=None if zone is None else load_zone(zone), fold=fold)


def _read_time(text: str, fold: int, zone: list[Any] | None) -> time:
    naive = time.fromisoformat(text)
    return naive.replace(tzinfo=None if zone is None else load_zone(zone), fold=fold)


_ADDRESSES: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
    )
}

_WRITERS: Final[dict[type, Callable[[Any, int], Any]]] = {
    int: _write_int,
    float: _write_float,
    str: _write_str,
    list: _write_list,
    dict: _write_dict,
    bytes: lambda value, depth: _tag("bytes", _base64(value)),
    bytearray: lambda value, depth: _tag("bytearray", _base64(value)),
    memoryview: _write_memoryview,
    tuple: lambda value, depth: _tag("tuple", _lower_all(value, depth)),
    set: lambda value, depth: _tag("set", _lower_all(value, depth)),
    frozenset: lambda value, depth: _tag("frozenset", _lower_all(value, depth)),
    datetime: _write_datetime,
    time: _write_time,
    timedelta: lambda value, depth: _tag(
        "timedelta", value.days, value.seconds, value.microseconds
    ),
    date: lambda value, depth: _tag("date", value.isoformat()),
    Decimal: _text_writer("Decimal"),
    UUID: lambda value, depth: _tag("UUID", value.hex),
    **{kind: _text_writer(name) for name, kind in _ADDRESSES.items()},
}

# The modules that hold a driver's own classes, and the base of those that are known. A module is
# never imported here: a process that has not loaded the driver has no rows with its types either.
_DRIVER_MODULES: Final = {
    "psycopg.types.range": "Range",
    "psycopg.types.multirange": "Multirange",
    "psycopg2._range": "Range",
}


def _driver_class(module: str, name: str, base: str) -> Any:
    """Find a driver's class by name; None when it is not one of those that are known."""
    if _DRIVER_MODULES.get(module) != base:
        return None
    kind = getattr(sys.modules.get(module), name, None)
    known = getattr(sys.modules.get(module), base, None)
    if isinstance(kind, type) and isinstance(known, type) and issubclass(kind, known):
        return kind
    return None


def _driver_writer(kind: type) -> Callable[[Any, int], Any] | None:
    base = _DRIVER_MODULES.get(kind.__module__)
    if base is None or _driver_class(kind.__module__, kind.__qualname__, base) is not kind:
        return None
    return _write_range if base == "Range" else _write_multirange


def _write_range(value: Any, depth: int) -> Any:
    # Both drivers compare ranges by `_bounds`, which is empty or None for the empty range; what
    # their public properties say forgets the bracket beside an infinite bound.
    parts = [value.lower, value.upper, value._bounds] if value._bounds else []
    kind = type(value)
    return _tag("range", kind.__module__, kind.__qualname__, *_lower_all(parts, depth))


def _read_range(module: str, name: str, *parts: Any) -> Any:
    kind = _driver_class(module, name, "Range")
    if kind is None:
        raise Damaged(f"no range type {module}.{name}")
    if not parts:
        return kind(empty=True)
    lower, upper, bounds = parts
    return kind(_lift(lower), _lift(upper), bounds)


def _write_multirange(value: Any, depth: int) -> Any:
    kind = type(value)
    return _tag("multirange", kind.__module__, kind.__qualname__, _lower_all(value, depth))


def _read_multirange(module: str, name: str, ranges: list[Any]) -> Any:
    kind = _driver_class(module, name, "Multirange")
    if kind is None:
        raise Damaged(f"no multirange type {module}.{name}")
    return kind(map(_lift, ranges))


def _address_reader(kind: type) -> Callable[[str], Any]:
    # Addresses can also be made from numbers and tuples; only their text is written.
    return lambda text: kind(_only_text(text))


def _only_text(text: str) -> str:
    if type(text) is not str:
        raise Damaged("not text")
    return text


_READERS: Final[dict[str, Callable[..., Any]]] = {
    # Hexadecimal is the base in which reading a number takes time linear in its length.
    "int": lambda text: int(text, 16),
    "float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "str": lambda text: _read_bytes(text).decode("utf-8", "surrogatepass"),
    "bytes": _read_bytes,
    "bytearray": lambda text: bytearray(_read_bytes(text)),
    "memoryview": _read_memoryview,
    "tuple": lambda items: tuple(map(_lift, items)),
    "set": lambda items: set(map(_lift, items)),
    "frozenset": lambda items: frozenset(map(_lift, items)),
    "dict": lambda pairs: {_lift(key): _lift(item) for key, item in pairs},
    "datetime": _read_datetime,
    "time": _read_time,
    "timedelta": timedelta,
    "date": date.fromisoformat,
    "Decimal": lambda text: Decimal(_only_text(text)),
    "UUID": lambda text: UUID(hex=text),
    "range": _read_range,
    "multirange": _read_multirange,
    **{name: _address_reader(kind) for name, kind in _ADDRESSES.items()},
}

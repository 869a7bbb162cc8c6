"""Rows to bytes and back: exact in value and type, never code, fast for rows of a database.

The first byte tells the layout apart:

- a MessagePack array (0x90 and above): the rows themselves, when every value is None, a boolean,
  an integer of 64 bits, a float or text. No header, because decoding one short row must cost less
  than reading one would.
- ``[``: a header, a line feed, the rows in MessagePack. The header is a JSON list with what must be
  known of each column; it selects a decoder that msgspec builds for exactly these types, so that
  dates, decimals and UUIDs are made in C.
- ``Z``: eight bytes for the length of one of the layouts above, and it, deflated.

Nothing in a body is trusted: a decoder never reads a type that its header does not name, no length
may exceed the data, and nothing nests but the JSON text of a general value.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from querycache.codec_values import (
    Damaged,
    Unencodable,
    dump_value,
    dump_zone,
    load_value,
    load_zone,
    plain_bytes,
)

__all__ = ["MAX_INFLATED", "Damaged", "Unencodable", "decode", "encode"]

#: No body that inflates to more bytes than this is written or read.
MAX_INFLATED: Final = 1 << 28

_FIRST_ARRAY: Final = 0x90
_COLUMNS: Final = ord("[")
_DEFLATED: Final = ord("Z")

_INFLATED_SIZE: Final = 8

# Headers are kept with their decoders. The most columns that a database can return need a quarter.
_MAX_HEADER: Final = 1 << 16

# Level 1 gives most of what text of a database yields, at a third of the time of the default.
_LEVEL: Final = 1

NoneType: Final = type(None)
_ROW: Final = frozenset((tuple,))
_FLAT: Final = frozenset((NoneType, bool, int, float, str))
_Flat = int | float | str | bool | None

_pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_unpack_flat = msgspec.msgpack.Decoder(list[tuple[_Flat, ...]]).decode
_pack_header = msgspec.json.Encoder().encode
_unpack_header = msgspec.json.Decoder(list[list[Any]]).decode

Column = Sequence[Any]


def encode(rows: Sequence[tuple[Any, ...]], *, compress_above: int | None = None) -> bytes:
    """Write rows so that `decode` gives back equal values of the same types.

    Args:
        rows: tuples of what drivers return, all of one length. A memoryview comes back as one of
            its own copy of the bytes.
        compress_above: bodies of more bytes than this are compressed where that saves something;
            None never compresses.

    Raises:
        Unencodable: a row is not exactly a tuple, or a value has a type that is not known (a
            subclass of a known type is not known); the message names the type.
    """
    if type(rows) is not list:
        rows = list(rows)
    if not {type(row) for row in rows} <= _ROW:
        raise Unencodable(next(type(row) for row in rows if type(row) is not tuple), "as a row")
    try:
        # Looking at each value takes longer than to write it, and the first row mostly tells.
        first = rows[0] if rows else ()
        if {type(value) for value in first} <= _FLAT and (
            len(rows) < 2 or {type(value) for row in rows for value in row} <= _FLAT
        ):
            data = _pack(rows)
        else:
            head = _head_of_one(rows[0]) if len(rows) == 1 else None
            data = _encode_columns(rows, careful=False) if head is None else head + _pack(rows)
    except (OverflowError, UnicodeEncodeError):
        # Large integers and lone surrogates are rare: finding them out beforehand would cost more
        # than starting again.
        data = _encode_columns(rows, careful=True)
    if compress_above is not None and len(data) > compress_above:
        return _deflate(data)
    return data


def decode(data: bytes | memoryview) -> list[tuple[Any, ...]]:
    """Read the rows that `encode` wrote, compressed or not.

    Raises:
        Damaged: the data is anything else.
    """
    try:
        if data[0] >= _FIRST_ARRAY:
            return _unpack_flat(data)
        if data[0] == _DEFLATED:
            data = _inflate(data)
            if data[0] >= _FIRST_ARRAY:
                return _unpack_flat(data)
        if data[0] == _COLUMNS:
            return _decode_columns(data)
    except Damaged:
        raise
    except Exception as error:
        # Damaged data can upset every constructor that a column may need, each in its own way
        # (zlib.error, decimal.InvalidOperation, ZoneInfoNotFoundError...), and a caller that gets
        # anything but `Damaged` would fail a page where it need only run the query.
        raise Damaged(f"{type(error).__name__}: {error}") from error
    raise Damaged(f"unknown layout {data[0]}")


# Columns: what a header says of each, as [code, optional?, ...].


class _Scalar(NamedTuple):
    """How a column of one type is written.

    Args:
        code: its name in the header.
        wire: the type that msgspec reads.
        after: makes the values of what msgspec read; None when it reads the values themselves.
    """

    code: str
    wire: Any
    after: Callable[[Any], Any] | None = None


_SCALARS: Final[dict[type, _Scalar]] = {
    bool: _Scalar("b", bool),
    int: _Scalar("i", int),
    float: _Scalar("f", float),
    str: _Scalar("s", str),
    bytes: _Scalar("y", bytes),
    bytearray: _Scalar("a", bytes, bytearray),
    memoryview: _Scalar("v", bytes, memoryview),
    date: _Scalar("d", date),
    time: _Scalar("m", time),
    timedelta: _Scalar("l", timedelta),
    UUID: _Scalar("u", UUID),
    Decimal: _Scalar("D", Decimal),
    # Naive or in UTC; other zones have the code below.
    datetime: _Scalar("t", datetime),
}
_NONE: Final = "n"
_MIXED: Final = "p"
_ZONED: Final = "z"
_CHARACTERS: Final = "c"
_GENERAL: Final = "g"

_BY_CODE: Final[dict[str, _Scalar]] = {
    **{scalar.code: scalar for scalar in _SCALARS.values()},
    _NONE: _Scalar(_NONE, None),
    _MIXED: _Scalar(_MIXED, _Flat),
    # psycopg 2: the items of its memoryviews are characters (bytes of length 1), not numbers.
    _CHARACTERS: _Scalar(_CHARACTERS, bytes, lambda data: memoryview(data).cast("c")),
    _GENERAL: _Scalar(_GENERAL, bytes, load_value),
}


def _head_of_one(row: tuple[Any, ...]) -> bytes | None:
    """Return what `_encode_columns` would write before a single row as it is.

    Most results are one row, and what there is to say of it depends on little but the types.

    Returns:
        None where it would not write the row as it is, or values have to be looked at.
    """
    head, looked_at = _head_of_types(tuple(map(type, row)))
    for place in looked_at:
        value = row[place]
        zone = value.tzinfo
        if value.fold or not (zone is None or (zone is UTC and type(value) is datetime)):
            return None
    return head


@lru_cache(maxsize=1024)
def _head_of_types(kinds: tuple[type, ...]) -> tuple[bytes | None, tuple[int, ...]]:
    """Return the header of a single row of such types, and which values may need another."""
    codes = []
    for kind in kinds:
        scalar = _BY_CODE[_NONE] if kind is NoneType else _SCALARS.get(kind)
        if scalar is None or kind is memoryview:
            return None, ()
        codes.append([scalar.code, False])
    head = _pack_header(codes)
    if len(head) > _MAX_HEADER:
        return None, ()
    return head + b"\n", tuple(n for n, kind in enumerate(kinds) if kind in (datetime, time))


def _encode_columns(rows: Sequence[tuple[Any, ...]], *, careful: bool) -> bytes:
    try:
        columns: list[Column] = list(zip(*rows, strict=True))
    except ValueError as error:
        raise Unencodable(tuple, "rows of different lengths") from error
    header = []
    changed = False
    for number, column in enumerate(columns):
        code, wire = _describe(column, careful)
        header.append(code)
        if wire is not None:
            columns[number] = wire
            changed = True
    head = _pack_header(header)
    if len(head) > _MAX_HEADER:
        raise Unencodable(tuple, "too many columns")
    # msgspec writes the driver's own tuples when no column has changed.
    body = _pack(list(zip(*columns, strict=True)) if changed else rows)
    return b"%b\n%b" % (head, body)


def _describe(column: Column, careful: bool) -> tuple[list[Any], Column | None]:
    """Choose the code of a column, and what to write in its place where that differs."""
    kinds = {type(value) for value in column}
    if careful and not _packs(column, kinds):
        return _general(column)
    optional = NoneType in kinds
    if optional:
        if len(kinds) == 1:
            return [_NONE, False], None
        kinds.remove(NoneType)
    if len(kinds) > 1:
        return ([_MIXED, False], None) if kinds <= _FLAT else _general(column)
    kind = kinds.pop()
    scalar = _SCALARS.get(kind)
    if scalar is None:
        return _general(column)
    if kind is datetime:
        return _describe_datetimes(column, optional)
    if kind is time and any(t is not None and (t.tzinfo is not None or t.fold) for t in column):
        return _general(column)
    if kind is memoryview:
        return _describe_memoryviews(column, optional)
    return [scalar.code, optional], None


def _describe_memoryviews(column: Column, optional: bool) -> tuple[list[Any], Column | None]:
    wire = [None if value is None else plain_bytes(value) for value in column]
    formats = {value.format for value in column if value is not None}
    if len(formats) > 1:
        return _general(column)
    return [_CHARACTERS if "c" in formats else _SCALARS[memoryview].code, optional], wire


def _describe_datetimes(column: Column, optional: bool) -> tuple[list[Any], Column | None]:
    first = next(value for value in column if value is not None) if optional else column[0]
    zone = first.tzinfo
    for value in column:
        # Zones are compared as objects: those that are equal may still have different names.
        if value is not None and (value.tzinfo is not zone or value.fold):
            return _general(column)
    if zone is None or zone is UTC:
        return [_SCALARS[datetime].code, optional], None
    pairs = [None if value is None else (value.date(), value.time()) for value in column]
    return [_ZONED, optional, dump_zone(zone)], pairs


def _general(column: Column) -> tuple[list[Any], Column]:
    return [_GENERAL, False], [dump_value(value) for value in column]


def _packs(column: Column, kinds: set[type]) -> bool:
    """Whether no integer or text of the column is beyond MessagePack."""
    if not (int in kinds or str in kinds):
        return True
    try:
        _pack([value for value in column if type(value) in _FLAT])
    except (OverflowError, UnicodeEncodeError):
        return False
    return True


class _Plan(NamedTuple):
    """What a header means.

    Args:
        unpack: reads the rows as msgspec makes them.
        after: for each column that needs it, its place and what makes its values.
    """

    unpack: Callable[[bytes | memoryview], list[tuple[Any, ...]]]
    after: tuple[tuple[int, Callable[[Column], Iterable[Any]]], ...]


# A decoder takes some microseconds to build and every query has one shape of rows, so the headers
# of a project are few; a thousand of them are a few megabytes.
@lru_cache(maxsize=1024)
def _plan(header: bytes) -> _Plan:
    wires: list[Any] = []
    after: list[tuple[int, Callable[[Column], Iterable[Any]]]] = []
    for number, (code, optional, *rest) in enumerate(_unpack_header(header)):
        if code == _ZONED:
            (zone,) = rest
            wire: Any = tuple[date, time]
            make: Callable[[Any], Any] | None = partial(_combine, zone=load_zone(zone))
        else:
            _, wire, make = _BY_CODE[code]
        wires.append(wire | None if optional else wire)
        if make is not None:
            after.append((number, partial(_map_some if optional else map, make)))
    decoder = msgspec.msgpack.Decoder(list[tuple[tuple(wires)]])  # type: ignore[misc]
    return _Plan(decoder.decode, tuple(after))


def _combine(pair: tuple[date, time], *, zone: Any) -> datetime:
    return datetime.combine(*pair, tzinfo=zone)


def _map_some(make: Callable[[Any], Any], column: Column) -> list[Any]:
    return [None if value is None else make(value) for value in column]


def _decode_columns(data: bytes | memoryview) -> list[tuple[Any, ...]]:
    # JSON has no raw line feed but between its parts, and msgspec writes none there.
    header, _, body = bytes(data).partition(b"\n")
    if len(header) > _MAX_HEADER:
        raise Damaged("a header that is too long")
    plan = _plan(header)
    rows = plan.unpack(body)
    if plan.after:
        columns: list[Any] = list(zip(*rows, strict=True))
        for number, make in plan.after:
            columns[number] = make(columns[number])
        rows = list(zip(*columns, strict=True))
    return rows


def inflated_size(data: bytes | memoryview) -> int:
    """Return how many bytes what `encode` wrote had before it was compressed, if it was."""
    if data[0] != _DEFLATED:
        return len(data)
    return int.from_bytes(data[1 : 1 + _INFLATED_SIZE], "big")


def _deflate(data: bytes) -> bytes:
    packed = zlib.compress(data, _LEVEL)
    size = 1 + _INFLATED_SIZE + len(packed)
    if size >= len(data) or len(data) > MAX_INFLATED:
        return data
    return b"Z%b%b" % (len(data).to_bytes(_INFLATED_SIZE, "big"), packed)


def _inflate(data: bytes | memoryview) -> bytes:
    start = 1 + _INFLATED_SIZE
    size = inflated_size(data)
    if size > MAX_INFLATED:
        raise Damaged("a length that is never written")
    inflater = zlib.decompressobj()
    # The length is a limit, not an allocation: memory grows with what really comes out. It is one
    # byte more than promised, so that a longer stream is noticed and not cut.
    result = inflater.decompress(data[start:], size + 1)
    if len(result) != size or not inflater.eof or inflater.unused_data:
        raise Damaged("not the length that was promised")
    return result

"""How fast rows become bytes and come back, against pickle, marshal and others of MessagePack.

    python benchmarks/codec.py [--json] [--rounds N]

Every figure is a ratio to pickle (protocol 5) in the same round: 0.5 takes half of its time. The
contenders run in turn within each round and the median over all rounds counts, so that a machine
that slows down for a while slows all of them. Values are as drivers make them: no two rows share
an object, which pickle would otherwise write once only. Who does not give back the very rows of a
kind is left out there.
"""

from __future__ import annotations

import argparse
import json
import marshal
import pickle
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgpack  # type: ignore[import-untyped]
import msgspec
import ormsgpack

if __name__ == "__main__":  # run as a script from anywhere in a checkout
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from querycache import codec

Rows = list[tuple[Any, ...]]

SIZES = (1, 50, 1000)
SLICE_SECONDS = 0.002


def plain_rows(count: int, rng: random.Random) -> Rows:
    """A table of text and numbers, eleven columns."""
    return [
        (
            number + 1000,
            f"Name of {number}",
            rng.random() * 100,
            rng.random() < 0.5,
            None if number % 2 else number + 300,
            f"slug-{number}",
            rng.randrange(1 << 40),
            f"A description, {number} times longer. " * 3,
            rng.randrange(10),
            f"Größe Nº {number}",
            "".join(["ship", rng.choice(["ped", "ping"])]),
        )
        for number in range(count)
    ]


def shop_rows(count: int, rng: random.Random) -> Rows:
    """An order with its keys, amounts and times among plain columns, ten columns."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        (
            UUID(int=rng.getrandbits(128)),
            f"Order {number}",
            start + timedelta(seconds=number, microseconds=rng.randrange(10**6)),
            start + timedelta(days=rng.randrange(300), microseconds=rng.randrange(10**6)),
            Decimal(rng.randrange(10**6)) / 100,
            Decimal(rng.randrange(10**6)) / 100,
            date(2024, 1, 1) + timedelta(days=number % 300),
            rng.randrange(1 << 40),
            None if number % 3 else start + timedelta(minutes=number),
            f"note {number}",
        )
        for number in range(count)
    ]


def datetime_rows(count: int, rng: random.Random) -> Rows:
    """Nothing but five times in UTC."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        tuple(start + timedelta(microseconds=rng.randrange(10**14)) for _ in range(5))
        for _ in range(count)
    ]


def decimal_rows(count: int, rng: random.Random) -> Rows:
    """Nothing but five amounts."""
    return [tuple(Decimal(rng.randrange(10**8)) / 100 for _ in range(5)) for _ in range(count)]


def uuid_rows(count: int, rng: random.Random) -> Rows:
    """Nothing but five UUIDs."""
    return [tuple(UUID(int=rng.getrandbits(128)) for _ in range(5)) for _ in range(count)]


KINDS: dict[str, Callable[[int, random.Random], Rows]] = {
    "plain": plain_rows,
    "shop": shop_rows,
    "datetime": datetime_rows,
    "decimal": decimal_rows,
    "uuid": uuid_rows,
}


class Contender(NamedTuple):
    name: str
    encode: Callable[[Rows], bytes]
    decode: Callable[[bytes], Any]


def _extension(make: Callable[[int, bytes], Any]) -> Callable[[Any], Any]:
    """Return what writes the values that MessagePack has no type of, as extensions."""

    def write(value: Any) -> Any:
        if type(value) is datetime:
            return make(1, value.isoformat().encode())
        if type(value) is Decimal:
            return make(2, str(value).encode())
        if type(value) is UUID:
            return make(3, value.bytes)
        if type(value) is date:
            return make(4, value.isoformat().encode())
        raise TypeError(type(value))

    return write


def _read_extension(code: int, data: bytes) -> Any:
    if code == 1:
        return datetime.fromisoformat(data.decode())
    if code == 2:
        return Decimal(data.decode())
    if code == 3:
        return UUID(bytes=bytes(data))
    return date.fromisoformat(data.decode())


CONTENDERS = (
    Contender("pickle", lambda rows: pickle.dumps(rows, 5), pickle.loads),
    Contender("querycache", codec.encode, codec.decode),
    Contender(
        "msgpack",
        partial(msgpack.packb, default=_extension(msgpack.ExtType)),
        partial(msgpack.unpackb, ext_hook=_read_extension, use_list=False),
    ),
    Contender(
        "ormsgpack",
        partial(
            ormsgpack.packb,
            default=_extension(ormsgpack.Ext),
            option=ormsgpack.OPT_PASSTHROUGH_DATETIME | ormsgpack.OPT_PASSTHROUGH_UUID,
        ),
        # It has no tuples, which rows are.
        lambda data: [*map(tuple, ormsgpack.unpackb(data, ext_hook=_read_extension))],
    ),
    # Without the types of the columns it gives text for dates, decimals and UUIDs.
    Contender(
        "msgspec",
        msgspec.msgpack.Encoder().encode,
        msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode,
    ),
    # Knows no dates, decimals or UUIDs and is unsafe on damaged data; here because nothing in the
    # standard library is faster on plain rows.
    Contender("marshal", marshal.dumps, marshal.loads),
)


#: A contender, its bytes, how often each of its calls is repeated, the times of both.
Job = tuple[Contender, bytes, tuple[int, int], tuple[list[float], list[float]]]


class Figure(NamedTuple):
    """The result for one contender on one kind and number of rows; times are ratios to pickle."""

    kind: str
    rows: int
    contender: str
    encode: float
    decode: float
    both: float
    size: float
    encode_us: float
    decode_us: float


def _time(call: Callable[[Any], Any], argument: Any, number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        call(argument)
    return (time.perf_counter() - start) / number


def _repetitions(call: Callable[[Any], Any], argument: Any) -> int:
    number = 1
    while _time(call, argument, number) * number < SLICE_SECONDS:
        number *= 2
    return number


def measure(kind: str, count: int, rounds: int) -> list[Figure]:
    """Run all contenders in turn on rows of one kind."""
    rows = KINDS[kind](count, random.Random(count))
    jobs: list[Job] = []
    for contender in CONTENDERS:
        try:
            data = contender.encode(rows)
        except (ValueError, TypeError):  # marshal knows no rich types
            continue
        if list(contender.decode(data)) != rows:
            if contender.name == "querycache":
                raise SystemExit(f"{contender.name} does not give back {kind} rows")
            continue
        repeat = _repetitions(contender.encode, rows), _repetitions(contender.decode, data)
        jobs.append((contender, data, repeat, ([], [])))
    for _ in range(rounds):
        for contender, data, (encodes, decodes), (encoding, decoding) in jobs:
            encoding.append(_time(contender.encode, rows, encodes))
            decoding.append(_time(contender.decode, data, decodes))
    _, base_data, _, (base_encode, base_decode) = jobs[0]

    def ratio(times: list[float], base: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(times, base, strict=True))

    return [
        Figure(
            kind,
            count,
            contender.name,
            ratio(encoding, base_encode),
            ratio(decoding, base_decode),
            ratio(
                [sum(pair) for pair in zip(encoding, decoding, strict=True)],
                [sum(pair) for pair in zip(base_encode, base_decode, strict=True)],
            ),
            len(data) / len(base_data),
            statistics.median(encoding) * 1e6,
            statistics.median(decoding) * 1e6,
        )
        for contender, data, _, (encoding, decoding) in jobs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--rounds", type=int, default=31, help="rounds for each kind of rows")
    options = parser.parse_args()
    figures = [
        figure
        for kind in KINDS
        for count in SIZES
        for figure in measure(kind, count, options.rounds)
    ]
    if options.json:
        print(json.dumps([figure._asdict() for figure in figures], indent=2))
        return
    print("Times and sizes as ratios to pickle, protocol 5 (less is better); µs are absolute.\n")
    print(f"{'rows':<14}{'codec':<12}{'encode':>8}{'decode':>8}{'both':>8}{'size':>8}", end="")
    print(f"{'encode µs':>12}{'decode µs':>12}")
    for f in figures:
        print(f"{f'{f.rows} {f.kind}':<14}{f.contender:<12}", end="")
        print(f"{f.encode:>8.2f}{f.decode:>8.2f}{f.both:>8.2f}{f.size:>8.2f}", end="")
        print(f"{f.encode_us:>12.2f}{f.decode_us:>12.2f}")


if __name__ == "__main__":
    main()

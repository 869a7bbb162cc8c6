"""Keys: equal for the same question only, in every process."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import os
import subprocess
import sys
import uuid
import zoneinfo
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.gis.db.backends.base.adapter import WKTAdapter
from django.db import models
from django.db.backends.postgresql.psycopg_any import Jsonb, NumericRange
from django.db.models.expressions import RawSQL
from django.utils.safestring import SafeString
from hypothesis import given
from hypothesis import strategies as st

import querycache
from querycache.cache import QueryCache
from querycache.keys import (
    Unkeyable,
    companion_key,
    digest,
    dump_parameters,
    entry_key,
    stamp_key,
)
from tests.environment import configure
from tests.shapes.dataset import Library, populate

UTC = datetime.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Colour(models.TextChoices):
    RED = "red"


class Shade(enum.StrEnum):
    RED = "red"


class Size(models.IntegerChoices):
    ONE = 1


class Text(str):
    """Shows and compares as it likes; its own bytes are what a driver sends."""

    def __str__(self) -> str:
        return "red"


class OtherJson(Jsonb):  # type: ignore[misc]
    """Not the driver's own."""


def geometry(wkt: str, srid: int) -> WKTAdapter:
    """Make what SpatiaLite, MariaDB and Oracle are sent of a geometry, without its library."""
    return WKTAdapter(SimpleNamespace(wkt=wkt, srid=srid))


#: Values of which no two may share a key, many of them equal.
DISTINCT: list[Any] = [
    *(None, 1, True, 1.0, decimal.Decimal(1), decimal.Decimal("1.0"), "1", b"1", Size.ONE),
    *(0, False, 0.0, -0.0, "", b"", (), [], {}, "0"),
    *(float("nan"), float("inf"), decimal.Decimal("NaN"), decimal.Decimal("Infinity")),
    *(2**31, 2**63, 2**64, -(2**64), float(2**64), "18446744073709551616"),
    *("red", Colour.RED, Shade.RED, SafeString("red"), Text("red"), Text("blue"), b"red"),
    *(bytearray(b"red"), memoryview(b"red"), ["red"], ("red",), [["red"]], [("red",)]),
    *(["a", "b"], ["ab"], ["a", ["b"]], [["a"], "b"], ["a,b"], {"a": "b"}, {"a": ["b"]}),
    *({"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {1: "a"}, {"1": "a"}, [("a", 1)]),
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), "2020-01-01"),
    datetime.datetime(2020, 1, 1, tzinfo=UTC),
    datetime.datetime(2020, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    datetime.datetime(2020, 1, 1, 1, tzinfo=BERLIN),
    datetime.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    *(datetime.time(1, 2), datetime.time(1, 2, tzinfo=UTC), datetime.time(1, 2, fold=1)),
    *(datetime.timedelta(days=1), datetime.timedelta(seconds=86401), 86400),
    *(uuid.UUID(int=1), str(uuid.UUID(int=1)), uuid.UUID(int=1).bytes, uuid.UUID(int=1).hex),
    *(ipaddress.ip_address("::1"), ipaddress.ip_interface("::1/128"), "::1"),
    *(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("10.0.0.0/8")),
    *(Jsonb({"a": 1}), OtherJson({"a": 1}), Jsonb({"a": 1.0}), Jsonb({"a": "1"}), '{"a": 1}'),
    *(Jsonb(["x" * 100, 1]), Jsonb(["x" * 100, 2])),
    *(NumericRange(1, 2), NumericRange(1, 2, "[]"), NumericRange(1, 2, "()")),
    *(NumericRange(1.0, 2), NumericRange(None, 2), NumericRange(1, None)),
    *(NumericRange(empty=True), [1, 2], "[1,2)"),
    *(geometry("POINT (1 2)", 4326), geometry("POINT (1 2)", 3857), geometry("POINT (2 1)", 4326)),
    *("POINT (1 2)", b"POINT (1 2)"),
    *(("str", "red"), ("sub", "builtins.str", "red"), ("list", "red"), ("Decimal", "1")),
]


def test_parameters_that_differ_have_different_keys() -> None:
    for wrap in (lambda v: (v,), lambda v: (v, v), lambda v: ([v],), lambda v: (1, {"a": v})):
        written: dict[bytes, Any] = {}
        for value in DISTINCT:
            dumped = dump_parameters(wrap(value))
            assert dumped not in written, (value, written[dumped])
            written[dumped] = value


def test_a_shortened_repr_is_not_what_is_keyed() -> None:
    pytest.importorskip("psycopg")
    long, other = (Jsonb({"text": "x" * 500, "n": n}) for n in (1, 2))
    assert repr(long) == repr(other)
    assert dump_parameters((long,)) != dump_parameters((other,))


def test_a_json_parameter_is_keyed_as_it_will_be_dumped() -> None:
    upper = Jsonb({"a": 1}, dumps=lambda value: '{"A": 1}')
    assert dump_parameters((upper,)) == dump_parameters((Jsonb({"A": 1}),))
    assert dump_parameters((upper,)) != dump_parameters((Jsonb({"a": 1}),))


def test_the_same_value_always_has_the_same_key() -> None:
    fresh = b"not interned".decode()
    assert dump_parameters((fresh, fresh)) == dump_parameters(
        (sys.intern("not interned"), sys.intern("not interned"))
    )
    big = int("123456789012345678901234567890")
    assert dump_parameters((big, big)) == dump_parameters((big, big + 0))
    shared = [1, 2]
    assert dump_parameters(([shared, shared],)) == dump_parameters(([[1, 2], [1, 2]],))
    assert dump_parameters([1, "a"]) == dump_parameters((1, "a"))


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1j, range(3), [object()], {"a": object()}, ..., array("b", [-1])]
)
def test_what_cannot_be_written_whole_has_no_key(value: Any) -> None:
    with pytest.raises(Unkeyable):
        dump_parameters(("a", value))


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.binary(max_size=8).map(bytearray),
    st.decimals(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.just(BERLIN)),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.sampled_from([Colour.RED, Size.ONE, SafeString("red"), "red", 1]),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def identity(value: Any) -> Any:
    """Describe a value so that equal descriptions mean the same type and value, at any depth."""
    kind = type(value)
    if isinstance(value, list | tuple):
        return (kind, tuple(map(identity, value)))
    if isinstance(value, dict):
        return (kind, tuple((identity(k), identity(v)) for k, v in value.items()))
    if isinstance(value, float):
        # Every NaN is sent as the same, minus zero as another than zero.
        return (kind, "nan" if value != value else value.hex())
    if isinstance(value, datetime.datetime | datetime.time):
        return (kind, value.isoformat(), value.fold, str(value.tzinfo))
    return (kind, str.__str__(value) if isinstance(value, str) else str(value))


@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3))
def test_dumps_are_equal_exactly_for_the_same_values(one: list[Any], other: list[Any]) -> None:
    assert (dump_parameters(one) == dump_parameters(other)) == (identity(one) == identity(other))


@given(VALUES, VALUES)
def test_dumps_of_two_values_never_run_together(one: Any, other: Any) -> None:
    assert dump_parameters((one, other)) != dump_parameters(((one, other),))
    if identity(one) != identity(other):
        assert dump_parameters((one, other)) != dump_parameters((other, one))


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_digests_tell_where_parts_end(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_keys_are_the_same_in_every_process() -> None:
    script = """
import datetime, decimal, uuid
from querycache.keys import *
params = ("a", "ab" * 40, 1, True, 1.5, None, b"x", decimal.Decimal("1.10"), uuid.UUID(int=7),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), ["x", {"k": (1, 2)}], 1 << 70)
print(dump_parameters(params).hex(), dump_parameters(params[:7]).hex(), digest("a", "b").hex(),
    entry_key("p:e:", b"fingerprint"), stamp_key("p", "db", "table"))
"""
    outputs = set()
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, env=environment, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 5


def test_keys_of_stores_are_short_and_plain() -> None:
    """Memcached allows 250 bytes without spaces or control characters."""
    entry = entry_key("p" * 32 + ":e:", b"any" * 1000)
    stamp = stamp_key("p" * 32, "a database / with spaces", "ta\nble")
    for key in (entry, stamp, companion_key(stamp, "ta\nble\0250")):
        assert len(key) < 100
        assert all(33 <= byte <= 126 for byte in key)


# -- in queries --------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_equal_parameters_of_other_types_are_other_queries(database: str) -> None:
    """SQLite tells them apart: typeof() depends on what was bound."""
    configure(STORE="memory://")
    m = Library(database)
    populate(m)
    seen = []
    before = querycache.stats().hits
    for value in (1, 1.0, "1", b"1", True, None):
        kind = RawSQL("typeof(%s)", (value,))
        seen.extend(m.Genre.filter(pk=1).values_list(kind, flat=True))
    assert seen == ["integer", "real", "text", "blob", "integer", "null"]
    assert querycache.stats().hits == before


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_long_json_parameters_on_postgresql(database: str, cache: QueryCache) -> None:
    """psycopg shortens what it shows of a Jsonb."""
    m = Library(database)
    populate(m)
    long = {"text": "x" * 500}
    m.Book.filter(pk=1).update(extra={**long, "n": 1})
    m.Book.filter(pk=2).update(extra={**long, "n": 2})
    before = querycache.stats().hits
    for n in (1, 2):
        for _ in range(2):
            assert [b.pk for b in m.Book.filter(extra={**long, "n": n})] == [n]
            assert [b.pk for b in m.Book.filter(extra__contains={**long, "n": n})] == [n]
    assert querycache.stats().hits == before + 4


def test_one_text_with_two_result_types_is_two_entries(database: str, cache: QueryCache) -> None:
    """SINGLE takes the first row, MULTI all of them."""
    from django.db.models.sql.constants import MULTI, SINGLE

    m = Library(database)
    populate(m)

    def run(result_type: str) -> Any:
        query = m.Author.order_by("pk").values_list("pk").query
        found = query.get_compiler(using=database).execute_sql(result_type)
        return found if result_type == SINGLE else [tuple(row) for rows in found for row in rows]

    before = querycache.stats().hits
    for _ in range(2):
        assert run(SINGLE) == (1,)
        assert run(MULTI) == [(1,), (2,), (3,), (4,), (5,)]
    assert querycache.stats().hits == before + 2

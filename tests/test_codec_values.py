"""Every value and every table comes back from the codec equal and of its type."""

from __future__ import annotations

import random
import threading
from datetime import UTC, timedelta, timezone
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querycache.codec import decode, encode
from tests.codecs import (
    BERLIN,
    DATETIMES,
    DECIMALS,
    FLOATS,
    INTEGERS,
    TEXTS,
    TIMES,
    UTC_NOW,
    VALUES,
    ZONES,
    assert_round_trip,
    same,
)


def label(value: Any) -> str:
    number = next(i for i, other in enumerate(VALUES) if other is value)
    return f"{type(value).__name__}-{number}"


@pytest.mark.parametrize("value", VALUES, ids=label)
def test_every_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    assert_round_trip([(value,)])
    assert_round_trip([(1, value, "a")])


@pytest.mark.parametrize("value", VALUES, ids=label)
def test_one_row_is_written_as_many_are(value: Any) -> None:
    row = (value, UTC_NOW, None)
    one, two = (encode([row] * number).partition(b"\n")[0] for number in (1, 2))
    assert one == two
    # In a column of its own type that may be None, in one of many types, and in a list.
    assert_round_trip([(None,), (value,), (value,)])
    assert_round_trip([(value, 1), (b"bytes", 2), (1.5, 3), ([], 4)])
    assert_round_trip([([value],), ({"key": value},)])


def test_all_values_in_one_column_and_in_one_row() -> None:
    assert_round_trip([(value, 1) for value in VALUES])
    assert_round_trip([tuple(VALUES), tuple(VALUES)])


@pytest.mark.parametrize("values", [DECIMALS, DATETIMES, TIMES, FLOATS, INTEGERS, TEXTS])
def test_every_pair_of_one_type_shares_a_column(values: list[Any]) -> None:
    for left in values:
        for right in values:
            rows = [(left, "a"), (None, "b"), (right, "c")]
            assert same(decode(encode(rows)), rows)


def test_rows_of_no_columns_and_no_rows() -> None:
    assert_round_trip([])
    assert_round_trip([()])
    assert_round_trip([(), ()])


@pytest.mark.parametrize("count", [15, 16, 17, 255, 256, 65_535, 65_536])
def test_any_number_of_rows_and_columns(count: int) -> None:
    assert_round_trip([(1, "a")] * count)
    assert_round_trip([(1, UTC_NOW)] * count)
    if count < 2000:
        assert_round_trip([(1,) * count])
        assert_round_trip([(UTC_NOW,) * count])


def test_rows_may_be_any_sequence() -> None:
    rows = [(1, "a"), (2, Decimal("1.0"))]
    assert decode(encode(tuple(rows))) == rows


def test_a_decoded_utc_is_the_one_utc_and_named_zones_keep_their_names() -> None:
    named = timezone(timedelta(0), "Zulu")
    rows = [(UTC_NOW, UTC_NOW.replace(tzinfo=named), UTC_NOW.replace(tzinfo=BERLIN))]
    ((utc, zulu, berlin),) = decode(encode(rows))
    assert utc.tzinfo is UTC
    assert zulu.tzname() == "Zulu"
    assert berlin.tzinfo is BERLIN
    # Equal zones with different names in one column.
    mixed = [(UTC_NOW,), (UTC_NOW.replace(tzinfo=named),)]
    assert [row[0].tzname() for row in decode(encode(mixed))] == ["UTC", "Zulu"]


def test_the_decimal_context_changes_nothing() -> None:
    rows = [(value, [value]) for value in DECIMALS]
    data = encode(rows)
    with localcontext(Context(prec=2, Emax=3, Emin=-3, capitals=0, traps=[])):
        assert same(decode(data), rows)
        assert same(decode(encode(rows)), rows)


def test_rows_with_one_strange_value_keep_it_and_all_others() -> None:
    for strange in (2**70, "\udc80"):
        rows: list[tuple[Any, ...]] = [(n, f"n{n}", Decimal(n), b"b") for n in range(100)]
        rows[50] = (strange, "n50", Decimal(50), b"b")
        assert_round_trip(rows)
        plain = [(n, f"n{n}") for n in range(100)]
        plain[99] = (99, strange)  # type: ignore[assignment]
        assert_round_trip(plain)


def test_threads_share_the_codec() -> None:
    failures: list[object] = []
    barrier = threading.Barrier(4)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        barrier.wait()
        for _ in range(200):
            rows = [tuple(rng.choices(VALUES, k=3)) for _ in range(3)]
            if not same(decode(encode(rows)), rows):
                failures.append(rows)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# Whatever Hypothesis thinks of

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.sampled_from(ZONES))
    | st.times(timezones=st.none() | st.sampled_from(ZONES))
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
)
hashable = scalars.filter(
    lambda value: type(value) is not bytearray and not (type(value) is Decimal and value.is_snan())
)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | hashable, inner, max_size=4)
        | st.frozensets(hashable, max_size=3)
    ),
    max_leaves=8,
)
one_type = st.sampled_from(
    [
        st.integers(),
        st.floats(),
        st.text(),
        st.decimals(),
        st.binary(),
        st.datetimes(timezones=st.just(UTC)),
        st.datetimes(timezones=st.just(BERLIN)),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
        nested,
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    count = draw(st.integers(0, 5))
    columns = [
        draw(
            st.lists(
                kind if draw(st.booleans()) else st.none() | kind, min_size=count, max_size=count
            )
        )
        for kind in draw(st.lists(one_type, min_size=1, max_size=4))
    ]
    return list(zip(*columns, strict=True))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_tables_come_back(rows: list[tuple[Any, ...]]) -> None:
    assert_round_trip(rows)

"""Rows as the drivers of the databases give them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from querycache import codec
from querycache.codec import encode
from tests.codecs import assert_round_trip
from tests.servers import PostgresServer, required

if TYPE_CHECKING:
    import psycopg

_WITHOUT_DRIVER = """
import sys
from querycache.codec import Damaged, decode, encode
data = bytes.fromhex(sys.argv[1])
try:
    decode(data)
except Damaged:
    assert not [name for name in sys.modules if name.startswith("psycopg")]
    import psycopg.types.range
    assert decode(data) == [(psycopg.types.range.Range(1, 2),)]
    print("late")
"""


def test_a_driver_is_never_imported_and_its_types_are_known_once_it_is() -> None:
    Range = pytest.importorskip("psycopg.types.range").Range
    data = encode([(Range(1, 2),)])
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_DRIVER, data.hex()],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(codec.__file__).parents[1],
    )
    assert done.stdout == "late\n"


def test_bytes_of_psycopg2(server: PostgresServer) -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    address = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    connection = psycopg2.connect(address)
    with connection.cursor() as cursor:
        cursor.execute("SELECT '\\x00ff'::bytea, 1 UNION ALL SELECT NULL, 2 ORDER BY 2")
        rows = cursor.fetchall()
    connection.close()
    assert list(rows[0][0]) == [b"\0", b"\xff"]
    assert_round_trip(rows)


def test_rows_of_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    rows = connection.execute(
        "SELECT 1, -9223372036854775808, 1.5, 9e999, 'text', X'00FF', NULL, '' UNION ALL "
        "SELECT 'a', 2, NULL, 0.0, 5, 'b', X'', 1 ORDER BY 2"
    ).fetchall()
    connection.close()
    assert_round_trip(rows)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with required():
        started = PostgresServer().start()
    with started:
        yield started


@pytest.fixture(scope="module")
def postgres(server: PostgresServer) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    psycopg = pytest.importorskip("psycopg")
    address = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    with psycopg.connect(address) as connection:
        yield connection


POSTGRES_VALUES = """
    true, 1::int2, 2::int8, 1.5::float8, 'NaN'::float8, '-Infinity'::float8, 1.50::numeric,
    'NaN'::numeric, 1e40::numeric, 'text', ''::text, '\\x00ff'::bytea, '2024-02-29'::date,
    '2024-10-27 02:30'::timestamp, '2024-10-27 00:30+00'::timestamptz,
    '2024-10-27 01:30+00'::timestamptz, '12:30:15.5'::time, '12:30+05:30'::timetz,
    '1 day -2 hours'::interval, '00000000-0000-4000-8000-000000000001'::uuid,
    '{"b": [1, 2.5, null, "x"], "a": {"$": true}}'::jsonb, '[1]'::json, '192.0.2.1/24'::inet,
    '192.0.2.1'::inet, '2001:db8::/32'::cidr, ARRAY[1, NULL, 3], ARRAY[['a', 'b'], ['c', 'd']],
    ARRAY[1.50, 2]::numeric[], int4range(1, 10), 'empty'::int4range, numrange(NULL, 1.5),
    tstzrange('2024-01-01 00:00+00', NULL), daterange('2024-01-01', '2024-02-01'),
    '{[1,3),[5,)}'::int4multirange, ROW(1, 'a'), NULL
"""


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30", "America/New_York"])
def test_rows_of_postgresql(postgres: psycopg.Connection[tuple[Any, ...]], zone: str) -> None:
    postgres.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    for binary in (False, True):
        with postgres.cursor(binary=binary) as cursor:
            cursor.execute(f"SELECT {POSTGRES_VALUES} FROM generate_series(1, 3)")
            assert_round_trip(cursor.fetchall())

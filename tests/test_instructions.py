"""What a query takes with the library and without it, in instructions: no more than it must.

Unlike times these figures are nearly the same on each run, so limits can be held as tests. Where
memory happens to lie makes a difference of up to a hundredth, which the limits leave room for.
"""

from __future__ import annotations

import pytest

from benchmarks.environment import open_environment
from benchmarks.instructions import measure
from tests.servers import required

#: Case → what the instructions may be, over those of the ORM alone (hits) or without the library,
#: on SQLite and in memory.
MOST = {
    "hit:get": 0.56,
    "miss:get": 0.75,
    # What is left alone gets its text from us as well.
    "off:excluded": 0.74,
    "off:disabled": 0.64,
}


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    with required(), open_environment() as environment:
        counted = measure(environment, "sqlite", ["querycache-memory"], tuple(MOST), turns=(5, 25))
    return {one.case: one.over for one in counted if one.contender == "querycache-memory"}


@pytest.mark.slow
@pytest.mark.parametrize("case", MOST)
def test_what_a_query_takes(found: dict[str, float], case: str) -> None:
    assert 0 < found[case] <= MOST[case]

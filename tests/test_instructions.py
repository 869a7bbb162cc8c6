"""What the library executes beside Django, counted by the instruction: no more than it must.

Unlike times these figures are nearly the same on each run, so limits can be held as tests. Where
memory happens to lie makes a difference of up to a hundredth, which the limits leave room for.
"""

from __future__ import annotations

import pytest

from benchmarks.environment import Unavailable, open_environment
from benchmarks.instructions import measure
from tests.servers import require

#: Case → how much of Django's own instructions the library may add, on SQLite and in memory.
MOST = {
    "hit:get": 1.10,
    "miss:get": 1.12,
    # What is left alone costs next to nothing.
    "off:excluded": 1.03,
    "off:disabled": 1.03,
}


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    try:
        with open_environment() as environment:
            counted = measure(
                environment, "sqlite", ["querycache-memory"], tuple(MOST), turns=(20, 100)
            )
    except Unavailable as reason:
        require(reason)
    return {one.case: one.over for one in counted if one.contender == "querycache-memory"}


@pytest.mark.slow
@pytest.mark.parametrize("case", MOST)
def test_what_the_library_adds(found: dict[str, float], case: str) -> None:
    assert 1 < found[case] <= MOST[case]

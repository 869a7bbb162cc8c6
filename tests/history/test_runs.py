"""Short runs: querycache has no fault, and the checker sees those of others.

`python -m tests.history --long` runs the same for longer, and everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.environment import Environment
from tests.history import report
from tests.history.checker import BACKWARD, STALE
from tests.history.faults import FAULTS
from tests.history.mishaps import WRITER_STEPS
from tests.history.places import Places
from tests.history.plan import SIZES, histories
from tests.history.scenario import Outcome, Scenario, run
from tests.servers import required

#: A run ends when it has seen enough; this only keeps one that hangs from going on for ever.
SECONDS = 90.0


@pytest.fixture(scope="module")
def places(environment: Environment) -> Iterator[Places]:
    databases: dict[str, Callable[[], Any]] = {
        "postgresql": lambda: environment.postgres,
        "mariadb": lambda: environment.mariadb,
    }
    with Places(databases) as opened:
        yield opened


def made(scenario: Scenario, places: Places) -> Outcome:
    with required():
        return run(replace(scenario, seconds=SECONDS), places)


def made_until(sees: Callable[[Outcome], object], scenario: Scenario, places: Places) -> Outcome:
    """Run a scenario until something is seen: a race that one run may miss by luck."""
    for _ in range(5):
        outcome = made(scenario, places)
        if sees(outcome):
            return outcome
    raise AssertionError(f"never seen: {scenario}")


def is_late(outcome: Outcome) -> bool:
    return outcome.verdict.faults[STALE] + outcome.verdict.faults[BACKWARD] > 0


@pytest.mark.parametrize(
    ("database", "store", "how"),
    [
        ("sqlite", "memory", "as it is"),
        ("sqlite", "lmdb", "slow commits"),
        ("postgresql", "redis", "as it is"),
        ("postgresql", "redis", "near cache (checked)"),
        ("mariadb", "memcached", "slow commits"),
    ],
)
def test_no_read_is_older_than_it_may_be(
    places: Places, database: str, store: str, how: str
) -> None:
    (planned,) = histories(SIZES["short"], [how], ["querycache"], [database], [store])
    outcome = made(replace(planned.scenario, reads=1500), places)
    assert report.broken(outcome) == []
    verdict = outcome.verdict
    # How many there are depends on how busy the machine is.
    assert verdict.hits > 0
    assert verdict.compared > 50
    assert verdict.writes["committed"] > 10
    assert verdict.writes["rolled back"] > 1


#: Writers a little way from the store, as on another machine.
APART: dict[str, Any] = {"delays": {"writer": (0.005, 0.02)}, "reads": 3000, "lease": 3}


def test_querycache_with_writers_far_from_the_store_has_no_stale_read(places: Places) -> None:
    # What the store has no time to acknowledge on a busy machine is refused.
    options = {"ON_STORE_FAILURE": "raise"}
    scenario = Scenario(database="postgresql", store="redis", options=options, **APART)
    outcome = made(scenario, places)
    assert report.broken(outcome) == []
    assert outcome.verdict.hits > 0


def test_checker_finds_the_stale_reads_of_cachalot_in_the_same_run(places: Places) -> None:
    pytest.importorskip("cachalot")
    scenario = Scenario(database="postgresql", store="redis", cache="cachalot", **APART)
    outcome = made_until(lambda one: one.verdict.faults[STALE] > 0, scenario, places)
    assert is_late(outcome)
    assert any(each.hit and each.kind == STALE for each in outcome.verdict.examples)


def test_checker_finds_nothing_where_there_is_no_cache(places: Places) -> None:
    scenario = Scenario(database="postgresql", store="redis", cache="none", reads=1000)
    outcome = made(scenario, places)
    assert outcome.verdict.clean
    assert outcome.verdict.hits == 0


@pytest.mark.parametrize("mutant", ["begin", "end", "stamps before the query"])
def test_checker_finds_querycache_without_a_mechanism(places: Places, mutant: str) -> None:
    # LMDB puts nothing in quarantine, which would hide most of the damage.
    scenario = Scenario(store="lmdb", slow=0.01, reads=1500, mutant=mutant)
    assert not made_until(is_late, scenario, places).verdict.clean


@pytest.mark.parametrize(
    ("fault", "database", "store"),
    [
        ("writer killed at random", "postgresql", "redis"),
        (f"writer killed at each step ({', '.join(WRITER_STEPS)})",
         "sqlite", "lmdb"),
        ("store killed, restarted from an old dump (raise)", "sqlite", "redis"),
        ("keys removed at random", "sqlite", "memcached"),
        ("one writer cut off from the store (raise)", "sqlite", "redis"),
        ("one writer cut off from the store (journal)", "postgresql", "redis"),
        ("connection lost with COMMIT (it is run, the answer is lost)", "postgresql", "redis"),
    ],
)  # fmt: skip
def test_promise_holds_while_things_break(
    places: Places, fault: str, database: str, store: str
) -> None:
    chosen = FAULTS[fault]
    scenario = Scenario(database=database, store=store, reads=800, tries=2, lease=3, fault=chosen)
    outcome = made(replace(scenario, **chosen.changes), places)
    assert report.broken(outcome) == []
    assert outcome.tried >= 2
    assert outcome.verdict.compared > 0


def test_checker_finds_a_promise_that_is_broken_while_things_break(places: Places) -> None:
    """Readers that never look at the journal are late."""
    chosen = FAULTS["one writer cut off from the store (journal)"]
    scenario = Scenario(
        store="redis", reads=1500, tries=4, lease=3, fault=chosen, mutant="looks at the journal"
    )
    outcome = made_until(report.broken, replace(scenario, **chosen.changes), places)
    assert is_late(outcome)

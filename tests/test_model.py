"""The model checker's quick part: `nox -s model` explores everything."""

from __future__ import annotations

import pytest

from model import run
from model.run import LIMITS, MUTANTS, PROTOCOL, Variant, check, main, undefined
from tests.servers import Unavailable, require

SMALLEST = Variant("smallest", "W=1 R=1", True)


@pytest.fixture(autouse=True, scope="module")
def programs() -> None:
    if absent := run.missing():
        require(Unavailable(f"{' and '.join(absent)} not installed"))


def named(name: str) -> Variant:
    return next(variant for variant in MUTANTS if variant.name == name)


def test_the_protocol_holds() -> None:
    result = check(SMALLEST)
    assert result.verdict == "verified"
    assert result.passed
    assert result.states > 100
    assert not result.story


@pytest.mark.parametrize(
    "name", ["without begin before the commit", "without quarantine by readers"]
)
def test_a_stale_read_is_found_without_a_mechanism(name: str) -> None:
    result = check(named(name))
    assert result.verdict == "refuted"
    assert result.passed
    # The commit comes before the hit that misses it.
    commit = result.story.index("writer 0: commit")
    assert any(": hit, " in step for step in result.story[commit:])


def test_a_mutant_that_survives_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    survivor = Variant("survivor", SMALLEST.defines, False)
    monkeypatch.setattr(run, "PROTOCOL", ())
    monkeypatch.setattr(run, "MUTANTS", (survivor,))
    monkeypatch.setattr(run, "LIMITS", ())
    assert main([]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_a_protocol_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Variant("broken", named("without begin before the commit").defines, True)
    monkeypatch.setattr(run, "PROTOCOL", (broken,))
    assert main(["--only", "broken"]) == 1


def test_statements_that_are_never_reached_are_told() -> None:
    # Without transactions no writer ever does anything.
    result = check(Variant("idle", "W=1 R=1 TX=0", True))
    assert result.verdict.startswith("never comes to line")
    assert not result.passed


def test_every_variant_is_known_to_the_model() -> None:
    assert undefined([*PROTOCOL, *MUTANTS, *LIMITS]) == []
    assert undefined([Variant("slip", "W=1 NO_SUCH_THING", False)]) == ["NO_SUCH_THING"]

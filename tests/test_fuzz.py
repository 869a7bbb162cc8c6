"""The fuzzer in short (`nox -s fuzz` is the long form), and that it can see."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from querycache import codec, stamps
from querycache.entries import Sealer
from tests.fuzz.__main__ import TARGETS, Failed, run
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import Entries, Rows, Stamps, Statements, Target

by_target = pytest.mark.parametrize("kind", TARGETS, ids=[target.name for target in TARGETS])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is refused is logged as well."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@by_target
def test_no_input_breaks_a_promise(kind: type[Target]) -> None:
    target = kind()
    for data in target.corpus:
        target.check(data)
    assert 0 < run(target, 500, seed=3) < 500


@pytest.mark.parametrize("kind", [Rows, Entries, Stamps, Statements])
def test_no_bytes_break_a_promise(kind: type[Target]) -> None:
    target = kind()

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace"))))
    def check(data: bytes) -> None:
        target.check(data)

    check()


@by_target
def test_the_same_seed_makes_the_same_inputs(kind: type[Target]) -> None:
    def inputs(seed: int) -> list[bytes]:
        target, mutator = kind(), Mutator(seed)
        return [target.make(mutator) for _ in range(50)]

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def test_shares_are_all_of_it() -> None:
    assert sum(target.share for target in TARGETS) == 100


# -- planted faults are found --------------------------------------------------------------------


def test_it_finds_a_decoder_that_raises_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = codec.decode

    def faulty(data: bytes) -> object:
        try:
            return decode(data)
        except codec.Damaged as error:
            raise (error.__cause__ or error) from None

    monkeypatch.setattr(codec, "decode", faulty)
    with pytest.raises(Failed, match="codec fails"):
        run(Rows(), 2000, seed=1)


def test_it_finds_a_decoder_that_changes_values(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = codec.encode
    target = Rows()
    monkeypatch.setattr(
        codec, "encode", lambda rows: encode([tuple(v or None for v in row) for row in rows])
    )
    with pytest.raises(Failed, match="codec fails"):
        run(target, 2000, seed=1)


def test_it_finds_a_seal_that_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Entries()
    monkeypatch.setattr(Sealer, "_mac", lambda self, fingerprint, rest: b"")
    monkeypatch.setattr("querycache.entries.compare_digest", lambda left, right: True)
    with pytest.raises(Failed, match="entries fails"):
        run(target, 2000, seed=1)


def test_it_finds_a_step_that_keeps_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = stamps.settle

    def faulty(stamp: bytes | None, step: stamps.Step) -> bytes:
        return stamp or settle(stamp, step)

    monkeypatch.setattr(stamps, "settle", faulty)
    with pytest.raises(Failed, match="stamps fails"):
        run(Stamps(), 2000, seed=1)


@pytest.mark.parametrize("kind", [target for target in TARGETS if target.share == 5])
def test_it_finds_errors_of_others_that_pass_through(
    kind: type[Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    from querycache.stores import memcached_wire, redis_links

    monkeypatch.setattr(redis_links, "GARBLED", ())
    monkeypatch.setattr(memcached_wire, "_GARBLED", ())
    monkeypatch.setattr("querycache.stores.memory.split", urlsplit)
    with pytest.raises(Failed):
        run(kind(), 5000, seed=1)

"""What is found under an entry's key is served only where it is ours, whole and for this query."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

import querycache
from querycache import codec, keys
from querycache.changes import dependencies_on
from querycache.entries import MAC_BYTES, Forged, Sealer, created
from querycache.state import transaction_of
from tests.environment import STORES, configure
from tests.explaining import cache_of
from tests.library.models import Author
from tests.shapes.dataset import Library, populate
from tests.shapes.portrait import portrait
from tests.stages import columns_of

STAMPS = b"s" * 25


# -- sealing -----------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=200))
def test_what_was_sealed_opens_under_the_same_stamps_only(
    fingerprint: bytes, stamps: bytes, body: bytes
) -> None:
    sealer = Sealer("secret")
    entry = sealer.seal(fingerprint, stamps, body)
    assert sealer.open(fingerprint, stamps, entry) == body
    with pytest.raises(Forged):
        sealer.open(fingerprint + b"x", stamps, entry)
    with pytest.raises(Forged):
        Sealer("other").open(fingerprint, stamps, entry)
    if stamps:
        assert sealer.open(fingerprint, bytes([stamps[0] ^ 1]) + stamps[1:], entry) is None


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_flipped_bit_shows(body: bytes, data: st.DataObject) -> None:
    sealer = Sealer("secret")
    entry = bytearray(sealer.seal(b"fingerprint", STAMPS, body))
    at = data.draw(st.integers(0, len(entry) * 8 - 1))
    entry[at // 8] ^= 1 << at % 8
    assert _opens(sealer, bytes(entry)) is None


@given(st.binary(max_size=200))
def test_random_bytes_never_open(entry: bytes) -> None:
    assert _opens(Sealer("secret"), entry) is None
    assert _opens(Sealer("secret"), entry[:MAC_BYTES] + STAMPS + entry[MAC_BYTES:]) is None


def _opens(sealer: Sealer, entry: bytes) -> bytes | None:
    try:
        return sealer.open(b"fingerprint", STAMPS, entry)
    except Forged:
        return None


def test_a_fingerprint_and_what_follows_cannot_change_places() -> None:
    """The length of the fingerprint is sealed too."""
    sealer = Sealer("secret")
    assert sealer._mac(b"ab", b"cd") != sealer._mac(b"abc", b"d")


def test_a_secret_may_be_text_or_bytes() -> None:
    entry = Sealer("secret").seal(b"f", STAMPS, b"body")
    assert Sealer(b"secret").open(b"f", STAMPS, entry) == b"body"


def test_the_moment_is_part_of_what_is_sealed() -> None:
    sealer = Sealer("secret")
    entry = sealer.seal(b"fingerprint", STAMPS, b"body")
    at = MAC_BYTES + len(STAMPS)
    older = entry[:at] + (1).to_bytes(8, "big") + entry[at + 8 :]
    assert created(older, STAMPS) == 0.001
    assert _opens(sealer, older) is None


# -- in the store ------------------------------------------------------------------------------


@pytest.fixture
def m(database: str, store_url: str) -> Library:
    # A stamp is quarantined for a lease on the stores that can lose it.
    configure(STORE=store_url, KEY_PREFIX=f"e{random.getrandbits(40)}", LEASE=0.2)
    library = Library(database)
    populate(library)
    return library


def key_of(queryset: Any) -> bytes:
    """Return the key of the entry of a queryset, once it has one."""
    import time

    deadline = time.monotonic() + 30
    while True:
        list(queryset.all())
        explanation = querycache.explain(queryset)
        if explanation.hit:
            assert explanation.key is not None
            return explanation.key.encode()
        assert time.monotonic() < deadline, explanation.reason


def _forged_body(entry: bytes, other: bytes) -> bytes:
    return entry[:-1] + bytes([entry[-1] ^ 1])


TAMPERED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "a bit of the MAC": lambda entry, other: bytes([entry[0] ^ 1]) + entry[1:],
    "a bit of the moment": lambda entry, other: _flip(entry, MAC_BYTES + _stamps_length() + 3),
    "a bit of the body": _forged_body,
    "cut at the end": lambda entry, other: entry[:-1],
    "cut after the stamps": lambda entry, other: entry[: MAC_BYTES + _stamps_length()],
    "longer": lambda entry, other: entry + b"\x00",
    "of another query": lambda entry, other: other,
    "body of another query": lambda entry, other: (
        entry[: MAC_BYTES + _stamps_length() + 8] + other[MAC_BYTES + _stamps_length() + 8 :]
    ),
    "random behind the stamps": lambda entry, other: (
        entry[: MAC_BYTES + _stamps_length()] + random.Random(7).randbytes(64)
    ),
    "MAC of zeros": lambda entry, other: bytes(MAC_BYTES) + entry[MAC_BYTES:],
}


def _flip(entry: bytes, at: int) -> bytes:
    return entry[:at] + bytes([entry[at] ^ 1]) + entry[at + 1 :]


def _stamps_length() -> int:
    """The length of the stamps of a query on one table."""
    cache = cache_of()
    m = Library("sqlite")
    plan_keys = [
        transaction_of(connections[m.alias]).database.stamp_key(name)
        for name in (keys.EVERYTHING, *dependencies_on("library_author", columns_of(Author)))
    ]
    found = cache.store.stamps(plan_keys)
    return len(b"".join(stamp or b"" for stamp in found))


@pytest.mark.parametrize("store_url", STORES, indirect=True)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_whatever_lies_under_a_key_is_a_miss(m: Library, caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_of()
    one, other = m.Author.filter(pk__lt=2), m.Author.filter(pk__gt=2)
    expected = portrait(one.all())
    one_key, other_key = key_of(one), key_of(other)
    entry, theirs = (cache.store.read(key, ())[0] for key in (one_key, other_key))
    assert entry is not None
    assert theirs is not None
    caplog.set_level(logging.ERROR, "querycache.cache")
    for name, tamper in TAMPERED.items():
        bad = tamper(entry, theirs)
        assert bad != entry
        cache.store.write(one_key, bad, 60)
        assert querycache.explain(one).reason == "the entry is damaged or not ours", name
        before = querycache.stats()
        assert portrait(one.all()) == expected, name
        after = querycache.stats()
        assert (after.damaged, after.misses, after.hits) == (
            before.damaged + 1,
            before.misses + 1,
            before.hits,
        ), name
        # The miss put a right entry in its place.
        assert portrait(one.all()) == expected
        assert querycache.stats().hits == before.hits + 1, name
    # Once, not once per read.
    assert len(caplog.records) == 1
    assert "damaged or not ours" in caplog.text


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("bad", [b"", b"x", b"x" * 15, b"x" * 16, b"\x00" * 400], ids=len)
def test_what_holds_other_stamps_is_a_plain_miss(m: Library, bad: bytes) -> None:
    """Entries from before a write look like this, so nothing is reported."""
    cache = cache_of()
    authors = m.Author.order_by("pk")
    expected = portrait(authors.all())
    cache.store.write(key_of(authors), bad, 60)
    before = querycache.stats()
    assert portrait(authors.all()) == expected
    after = querycache.stats()
    assert (after.misses, after.damaged) == (before.misses + 1, before.damaged)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_sealed_body_that_the_codec_refuses_is_a_miss(m: Library) -> None:
    """A key that is right and a body of another version, say."""
    cache = cache_of()
    authors = m.Author.order_by("pk")
    expected = portrait(authors.all())
    key_of(authors)
    sealed: list[tuple[bytes, bytes]] = []
    keep = cache.sealer.seal

    class Spy:
        open = cache.sealer.open

        def seal(self, fingerprint: bytes, stamps: bytes, body: bytes) -> bytes:
            sealed.append((fingerprint, stamps))
            return keep(fingerprint, stamps, b"\xc1 no layout of ours" + body)

    real, cache.sealer = cache.sealer, Spy()  # type: ignore[assignment]
    try:
        querycache.invalidate("library.Author")
        list(authors.all())
    finally:
        cache.sealer = real
    assert sealed
    before = querycache.stats()
    assert portrait(authors.all()) == expected
    assert querycache.stats().damaged == before.damaged + 1


@pytest.mark.parametrize("store_url", ["lmdb", "redis"], indirect=True)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_entries_of_another_secret_key_are_not_served(m: Library, database: str) -> None:
    authors = m.Author.order_by("pk")
    cache = cache_of()
    ours = cache.store.read(key_of(authors), ())[0]
    assert ours is not None
    shared: dict[str, Any] = getattr(settings, "QUERYCACHE")  # noqa: B009
    with override_settings(SECRET_KEY="another project's"):
        configure(**shared)
        theirs = key_of(authors)
        before = querycache.stats()
        # Under their key, our entry is forged.
        cache_of().store.write(theirs, ours, 60)
        assert len(list(authors.all())) == 5
        after = querycache.stats()
        assert (after.damaged, after.hits) == (before.damaged + 1, before.hits)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_hash_that_collides_always_serves_nobody_elses_rows(
    m: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who chooses parameters can make xxHash collide; here every name is the same."""
    monkeypatch.setattr(keys, "xxh3_128_hexdigest", lambda data: "0" * 32)
    assert keys.entry_key("p:e:", b"a") == keys.entry_key("p:e:", b"b")
    querysets = [
        m.Author.filter(pk=1),
        m.Author.filter(pk=2),
        m.Author.filter(pk=True),
        m.Book.filter(pk=1),
        m.Author.values_list("name"),
        m.Author.values_list("born"),
        m.Author.filter(name="Ann"),
        m.Author.filter(name="Bob"),
    ]
    with querycache.disabled():
        expected = [portrait(queryset.all()) for queryset in querysets]
    for _ in range(3):
        assert [portrait(queryset.all()) for queryset in querysets] == expected
    for queryset, right in zip(querysets, expected, strict=True):
        portrait(queryset.all())
        before = querycache.stats().hits
        # Alone, a query still finds its own.
        assert portrait(queryset.all()) == right
        assert querycache.stats().hits == before + 1
    assert querycache.stats().damaged > 0


def test_the_codec_names_its_failures_alike() -> None:
    """What `lookup` takes for damage is all that `decode` raises."""
    for data in (b"", b"\xc1", b"[", b"[[]", b"Z", b"Z" + bytes(8) + b"x", b"\xdd\xff\xff\xff\xff"):
        with pytest.raises(codec.Damaged):
            codec.decode(data)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from querycache.stores import SCHEMES, open_store, parse_size
from querycache.stores.base import StoreOptions, StoreUnusable
from querycache.stores.lmdb import LmdbStore
from querycache.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = StoreOptions(prefix="o", lease=1234)


def test_schemes_open_their_stores(tmp_path: Path) -> None:
    memory = open_store("memory://?size=2mb", OPTIONS)
    assert isinstance(memory, MemoryStore)
    assert memory.size == 2 * 1024 * 1024
    embedded = open_store(f"LMDB://{tmp_path}/store?size=8MB", OPTIONS)
    assert isinstance(embedded, LmdbStore)
    assert embedded.options is OPTIONS


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://localhost:1/0", "RedisStore"),
        ("rediss://localhost:1/0", "RedisStore"),
        ("unix:///nowhere/redis.sock", "RedisStore"),
        ("valkey://localhost:1/0", "RedisStore"),
        ("memcached://localhost:1,127.0.0.1:2", "MemcachedStore"),
    ],
)
def test_opening_connects_to_nothing(url: str, name: str) -> None:
    assert type(open_store(url, OPTIONS)).__name__ == name


@pytest.mark.parametrize("url", ["", "memory", "http://host", "locmem://", "redis:/host"])
def test_unknown_scheme_names_what_is_allowed(url: str) -> None:
    with pytest.raises(StoreUnusable) as caught:
        open_store(url, OPTIONS)
    assert all(f"{scheme}://" in str(caught.value) for scheme in SCHEMES)


def test_a_password_is_never_in_the_error() -> None:
    with pytest.raises(StoreUnusable) as caught:
        open_store("postgres://user:secret@host/db", OPTIONS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sise=1mb", "'sise'.*allowed: size"),
        ("size", "malformed"),
        ("size=1mb&size=2mb", "twice"),
        ("size=", "is not a size"),
        ("size=0", "at least one byte"),
        ("size=1parsec", "is not a size"),
    ],
)
def test_malformed_query_says_what_is_wrong(query: str, complaint: str) -> None:
    with pytest.raises(StoreUnusable, match=complaint):
        open_store(f"memory://?{query}", OPTIONS)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("512b", 512),
        ("3KB", 3072),
        (" 256 mb ", 256 * 1024**2),
        ("1.5gb", 3 * 1024**3 // 2),
        ("1tb", 1024**4),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "mb", "-1mb", "1 m b", "1e3", "0.2b", "1kib", "\u0661mb"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(StoreUnusable):
        parse_size(text)

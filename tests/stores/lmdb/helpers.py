"""What the tests of the LMDB store share."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from querycache.stores.base import StoreOptions
from querycache.testing import LONG, StoreContract

if TYPE_CHECKING:
    from collections.abc import Callable


OPTIONS = StoreOptions(prefix="l", lease=LONG)
MB = 1024 * 1024


def in_child(work: Callable[[], None]) -> None:
    StoreContract()._in_child(work)


def until(condition: Callable[[], bool], complaint: str) -> None:
    StoreContract()._until(condition, complaint)


def value_of(entry: bytes, size: int) -> bytes:
    """A value that tells by itself whether it is whole and belongs to the entry."""
    body = random.Random(entry + b"%d" % size).randbytes(size)
    return hashlib.blake2b(entry + body, digest_size=16).digest() + body


def is_value_of(entry: bytes, value: bytes) -> bool:
    return hashlib.blake2b(entry + value[16:], digest_size=16).digest() == value[:16]

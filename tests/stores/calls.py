"""What the tests of stores with a server share: names, and every call that a store takes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from querycache.stores.base import Store, StoreError

ENTRY, STAMP, OTHER = b"qc:e:entry", b"qc:s:stamp", b"qc:s:other"
LONG = 600_000


def every_call(store: Store) -> list[Callable[[], Any]]:
    token = secrets.token_bytes(16)
    return [
        lambda: store.read(ENTRY, [STAMP]),
        lambda: store.stamps([STAMP]),
        lambda: store.write(ENTRY, b"v", None),
        lambda: store.delete(ENTRY),
        lambda: store.begin([STAMP], token),
        lambda: store.end([STAMP], token),
        lambda: store.touch([STAMP]),
        lambda: store.settle([STAMP]),
        store.clear,
        store.info,
    ]


def answers(store: Store) -> bool:
    try:
        store.info()
    except StoreError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < over

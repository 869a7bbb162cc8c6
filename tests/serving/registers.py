"""What every process of a site does: read all registers, and write one of them."""

from __future__ import annotations

import os
from typing import Any

import querycache
from tests.library.models import Thing


def read() -> dict[str, Any]:
    """Return the registers' values, and whether they came from the cache."""
    before = querycache.stats().hits
    values = [*Thing.objects.order_by("pk").values_list("number", flat=True)]
    return {"values": values, "hit": querycache.stats().hits > before, "process": os.getpid()}


def write(register: int, value: int) -> None:
    """Write a register."""
    Thing.objects.filter(pk=register + 1).update(number=value)


async def aread() -> dict[str, Any]:
    """Read within an event loop."""
    before = querycache.stats().hits
    rows = Thing.objects.order_by("pk").values_list("number", flat=True)
    values = [value async for value in rows]
    return {"values": values, "hit": querycache.stats().hits > before, "process": os.getpid()}


async def awrite(register: int, value: int) -> None:
    """Write within an event loop."""
    await Thing.objects.filter(pk=register + 1).aupdate(number=value)

"""What the URLs of stores have in common: sizes and checked query parameters."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, urlsplit

from querycache.stores.base import StoreUnusable

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_HOST = re.compile(r"(\[[^\]]+\]|[^:/?#\s\[\]]+)(?::(\d{1,5}))?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([a-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Return the number of bytes that a size such as ``"256mb"`` stands for.

    Args:
        text: a number and a unit: none or b, kb, mb, gb, tb (powers of 1024), in any case.

    Raises:
        StoreUnusable: the text is not a size, or stands for less than one byte.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    unit = _UNITS.get(match[2]) if match else None
    if match is None or unit is None:
        raise StoreUnusable(f"{text!r} is not a size: write a number and b, kb, mb, gb or tb")
    size = int(float(match[1]) * unit)
    if size < 1:
        raise StoreUnusable(f"{text!r} is not a size: it must be at least one byte")
    return size


def hosts(url: str, default_port: int) -> list[tuple[str, int]]:
    """Return the hosts and ports that a URL lists, joined by commas.

    Args:
        url: such as ``"redis+cluster://user:password@a:7000,[::1]:7001,c"``.
        default_port: of a host without one.

    Raises:
        StoreUnusable: there is none, or one cannot be read.
    """
    netloc = split(url).netloc.rpartition("@")[2]
    found: list[tuple[str, int]] = []
    for place in netloc.split(","):
        match = _HOST.fullmatch(place)
        port = int(match[2] or default_port) if match else 0
        if match is None or not 0 < port < 65536:
            # Not repeated: it may be the beginning of a password with a mark in it.
            raise StoreUnusable("a place in the store's URL is no host; write host:port,host:port")
        found.append((match[1].strip("[]"), port))
    return found


def split(url: str) -> SplitResult:
    """Take a store's URL apart.

    Raises:
        StoreUnusable: it is malformed.
    """
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:
        raise StoreUnusable("the store's URL is malformed") from None
    if parts.fragment:
        # What stands before it would be taken for the whole, be it a half of a password.
        raise StoreUnusable("a '#' in the store's URL is written %23")
    return parts


def query_of(url: str, allowed: Collection[str]) -> dict[str, str]:
    """Return the query parameters of a store's URL.

    Args:
        url: such as ``"lmdb:///path?size=256mb"``.
        allowed: the names that this kind of store knows.

    Raises:
        StoreUnusable: a parameter is unknown, malformed or there twice.
    """
    query = split(url).query
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise StoreUnusable("the query of the store's URL is malformed: ?name=value&…") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise StoreUnusable(f"unknown parameter {name!r} in the store's URL; allowed: {known}")
        if name in found:
            raise StoreUnusable(f"the parameter {name!r} is there twice in the store's URL")
        found[name] = value
    return found

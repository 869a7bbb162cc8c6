"""Puts slow proxies between contenders and their stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from benchmarks.contenders import Contender
from benchmarks.processes import Place
from benchmarks.proxy import SlowProxy


@contextmanager
def behind_proxies(
    places: Mapping[Contender, Place],
) -> Iterator[tuple[dict[Contender, Place], list[SlowProxy]]]:
    """Give the places as seen through proxies, one for each server, and the proxies."""
    with ExitStack() as stack:
        proxies: dict[str, SlowProxy] = {}
        moved = {}
        for contender, place in places.items():
            if place.store:
                url = urlsplit(place.store)
                if contender.store not in proxies:
                    proxy = SlowProxy(str(url.hostname), int(url.port or 0))
                    proxies[contender.store] = stack.enter_context(proxy)
                port = proxies[contender.store].port
                url = url._replace(netloc=f"127.0.0.1:{port}")
                place = place._replace(store=url.geturl())
            moved[contender] = place
        yield moved, list(proxies.values())

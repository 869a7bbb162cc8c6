"""Puts the history checker's proxy between contenders and their stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.contenders import Contender
from benchmarks.processes import Place
from tests.history.lanes import Lanes
from tests.history.proxy import DOWN


class Distance:
    """How far all servers of stores are.

    Args:
        lanes: one to each server.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def delay(self, seconds: float) -> None:
        """Let every answer be late."""
        for lane in self._lanes.names():
            self._lanes.delay(lane, seconds, seconds, DOWN)

    def hold(self, on: bool) -> None:
        """Let no answer through, or all that were kept, without closing a connection."""
        for lane in self._lanes.names():
            self._lanes.hold(lane, on, DOWN)


@contextmanager
def behind_proxy(
    places: Mapping[Contender, Place],
) -> Iterator[tuple[dict[Contender, Place], Distance]]:
    """Give the places as seen through a proxy, and how far it makes their stores."""
    with Lanes() as lanes:
        moved = {}
        for contender, place in places.items():
            if place.store:
                url = urlsplit(place.store)
                port = lanes.port(contender.store, (str(url.hostname), int(url.port or 0)))
                place = place._replace(store=url._replace(netloc=f"127.0.0.1:{port}").geturl())
            moved[contender] = place
        yield moved, Distance(lanes)

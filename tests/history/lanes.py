"""The proxy from outside: a lane for each worker, and what can be done to it."""

from __future__ import annotations

from tests.history.pipes import Program
from tests.history.proxy import DOWN, UP

Address = tuple[str, int]


class Lanes(Program):
    """A proxy process whose lanes are named."""

    def __init__(self) -> None:
        super().__init__("proxy")
        self._ports: dict[str, int] = {}

    def port(self, lane: str, target: Address) -> int:
        """Return the port of a lane, which is opened when it is first asked for."""
        if lane not in self._ports:
            host, port = target
            self._ports[lane] = self.ask("open", lane=lane, host=host, port=port)["port"]
        return self._ports[lane]

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of open lanes."""
        return [lane for lane in self._ports if lane.startswith(prefix)]

    def delay(self, lane: str, least: float, most: float, *directions: str) -> None:
        """Have bytes arrive later.

        Args:
            lane: whose.
            least: seconds, at the least.
            most: seconds, at the most.
            directions: `UP`, `DOWN`; none: both.
        """
        for direction in directions or (UP, DOWN):
            self.ask("delay", lane=lane, direction=direction, least=least, most=most)

    def hold(self, lane: str, on: bool, *directions: str) -> None:
        """Keep bytes back, or let go of those that were kept."""
        for direction in directions or (UP, DOWN):
            self.ask("hold", lane=lane, direction=direction, on=on)

    def cut(self, lane: str, on: bool) -> None:
        """End all connections and refuse new ones, or let them through again."""
        self.ask("cut", lane=lane, on=on)

    def trap(self, lane: str, text: str, *, mute: bool) -> int:
        """Cut the next connection that says this; return how often a trap has sprung so far."""
        return int(self.ask("set_trap", lane=lane, text=text, mute=mute)["sprung"])

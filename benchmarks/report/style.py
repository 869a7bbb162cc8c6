"""How plots look: one colour for a library, one marker for a store, so that no colour is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator


class Look(NamedTuple):
    """How a contender is drawn.

    Args:
        color: from the palette of Okabe and Ito, which colour-blind people can tell apart
            (https://jfly.uni-koeln.de/color/); stores of one library differ in lightness.
        marker: its form.
        line: its style.
    """

    color: str
    marker: str
    line: str


LOOKS = {
    "none": Look("#7a7a7a", "X", "-"),
    "floor": Look("#000000", "|", "-"),
    "limit-lmdb": Look("#444444", "s", ":"),
    "limit-redis": Look("#444444", "D", ":"),
    "querycache-memory": Look("#56b4e9", "o", "-"),
    "querycache-lmdb": Look("#0072b2", "s", "-"),
    "querycache-redis": Look("#00456b", "D", "--"),
    "querycache-near": Look("#5b5fc7", "P", "--"),
    "querycache-push": Look("#a48be0", "v", "--"),
    "querycache-memcached": Look("#2a9bd8", "^", "-."),
    "cachalot-redis": Look("#d55e00", "D", "--"),
    "cachalot-locmem": Look("#e69f00", "o", "-"),
    "cacheops-redis": Look("#009e73", "D", "--"),
    "cachex-redis": Look("#cc79a7", "D", "--"),
}
_OTHER = Look("#999999", "v", ":")

#: What every figure is drawn with.
SETTINGS: Any = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "querycache",
}


def look(name: str) -> Look:
    """Return how a contender is drawn, known or not."""
    return LOOKS.get(name, _OTHER)


def times(value: float, _place: int = 0) -> str:
    """Return a ratio as people read it."""
    return f"{value:g}\N{MULTIPLICATION SIGN}"


def log_ticks(
    axes: Axes, which: str, low: float, high: float, show: Callable[[float, int], str]
) -> None:
    """Give a logarithmic axis ticks at 1, 1.5, 2, 3, 5, 7 and their tenfolds, as there is room.

    Args:
        axes: whose.
        which: ``"x"`` or ``"y"``.
        low: the least value.
        high: the greatest value.
        show: makes the text of a tick.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    steps = (1, 1.5, 2, 3, 5, 7) if high / low < 12 else (1, 2, 5) if high / low < 200 else (1,)
    ticks = [step * 10**power for power in range(-3, 8) for step in steps]
    axis.set_ticks([tick for tick in ticks if low <= tick <= high])
    axis.set_major_formatter(FuncFormatter(show))
    axis.set_minor_locator(NullLocator())

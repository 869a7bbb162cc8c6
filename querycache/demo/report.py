"""Showing people what happens and what came out, in a terminal or in a pipe."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Final, TextIO

from querycache.demo.results import Phase, Results

_BAR: Final = 30

SETTINGS: Final = """\
In your own project:

    pip install querycache

    # settings.py
    INSTALLED_APPS = [
        ...,
        "querycache",
    ]

That is all. With a Redis or Memcached in CACHES["default"] it uses that server; else
an embedded store, which all processes of one machine share. To choose for yourself:

    QUERYCACHE = {"STORE": "redis://localhost:6379/0"}   # several machines
    QUERYCACHE = {"STORE": "lmdb:///var/cache/site?size=256mb"}   # one machine
    QUERYCACHE = {"MODE": "shadow"}   # serves nothing, compares, counts differences

Then: manage.py check, and manage.py querycache status."""


class Progress:
    """A bar in a terminal; in a pipe only its last line.

    Args:
        out: where to show it; None for nowhere.
        label: what goes on.
    """

    def __init__(self, out: TextIO | None, label: str) -> None:
        self._out = out
        self._label = label
        self._live = out is not None and out.isatty()
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        now = monotonic()
        if self._out is None or not self._live or (now - self._shown < 0.05 and done < total):
            return
        self._shown = now
        full = _BAR * done // total if total else _BAR
        self._out.write(
            f"\r{self._label} [{'#' * full}{'.' * (_BAR - full)}] {done:,} of {total:,}"
        )
        self._out.flush()

    def end(self, text: str) -> None:
        """Replace the bar by a line."""
        if self._out is not None:
            self._out.write(("\r\x1b[K" if self._live else "") + text + "\n")
            self._out.flush()


def say(out: TextIO | None, text: str = "") -> None:
    """Write a line at once, also into a pipe."""
    if out is not None:
        out.write(text + "\n")
        out.flush()


def show(out: TextIO, results: Results) -> None:
    """Show all figures."""
    for line in (
        *_queries(results),
        "",
        *_phases(list(results.phases.values())),
        "",
        *_verdict(results),
    ):
        say(out, line)


def show_differences(out: TextIO, results: Results) -> None:
    """Show the first wrong answers."""
    say(out, f"WRONG: {len(results.differences):,} of {results.checked:,} answers differ.")
    for difference in results.differences[:5]:
        say(out, f"  {difference.question}")
        say(out, f"    cached:   {difference.cached}")
        say(out, f"    database: {difference.database}")
    say(out, "This is a bug in querycache; please report it with this output.")


def _queries(results: Results) -> list[str]:
    samples = results.samples()
    header = f"{'milliseconds, medians of this run':<36}{'without':>9}{'miss':>9}{'hit':>9}  faster"
    lines = [header, "-" * len(header)]
    for question, kinds in results.medians().items():
        lines.append(_line(question, kinds))
    lines += ["-" * len(header), _line(f"the page, {len(lines) - 2} queries", results.page())]
    return [
        *lines,
        "",
        f"without: plain Django on SQLite, querycache not installed ({samples['plain']:,} times)",
        f"miss:    run on the database and stored by querycache ({samples['miss']:,} times)",
        f"hit:     served from the embedded store ({samples['hit']:,} times)",
        "",
        "SQLite runs inside the process and its file is in memory: no database is harder to",
        "beat. A server costs a round trip more per query without the cache, a hit stays the",
        "same. The cheapest queries here are not worth caching; what Django itself does to",
        "build the SQL and the objects is in all three columns.",
    ]


def _line(name: str, kinds: dict[str, float | None]) -> str:
    plain, hit = kinds["plain"], kinds["hit"]
    times = "".join(
        f"{'-' if seconds is None else format(seconds * 1000, '.3f'):>9}"
        for seconds in (kinds["plain"], kinds["miss"], kinds["hit"])
    )
    ratio = "-" if plain is None or not hit else f"{plain / hit:.1f} x"
    return f"{name:<36}{times}{ratio:>8}"


def _phases(phases: list[Phase]) -> list[str]:
    header = (
        f"{'all processes together':<28}{'hits':>8}{'misses':>8}{'bypassed':>9}"
        f"{'writes':>8}{'checked':>9}"
    )
    lines = [header, "-" * len(header)]
    lines += [
        f"{phase.name:<28}{phase.hits:>8,}{phase.misses:>8,}{phase.bypassed:>9,}"
        f"{sum(phase.writes.values()):>8,}{phase.checked:>9,}"
        for phase in phases
        if phase.checked
    ]
    for phase in phases:
        if phase.writes:
            kinds = ", ".join(f"{number} {name}" for name, number in sorted(phase.writes.items()))
            again = f"{phase.repeated:,} answers were asked for again, as others committed"
            lines += [
                "",
                f"Writes: {kinds}; {phase.invalidations:,} invalidations.",
                f"{again} before the comparison.",
            ]
    return lines


def _verdict(results: Results) -> list[str]:
    wrong = len(results.differences)
    return [f"{results.checked:,} answers compared with the database: {wrong:,} differences."]


def stdout() -> TextIO:
    """Return standard output, made to take every character that data may hold."""
    out = sys.stdout
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return out

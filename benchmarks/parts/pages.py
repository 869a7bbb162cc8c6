"""Real pages over HTTP: an admin change list and a catalogue page of thirty queries."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environment import ROOT
from benchmarks.figures import figures
from benchmarks.parts.base import Run
from benchmarks.processes import SAME_HASHES, Failed, Place
from benchmarks.rounds import Found
from benchmarks.shop.login import SESSION
from benchmarks.site.middleware import HEADER
from tests.servers.programs import free_port

PATHS = {
    "changelist": "/admin/shop/product/?category__id__exact={}",
    "catalogue": "/catalogue/{}/",
}
#: Queries that are new each time: sessions are asked for that have not expired by now.
NEW_EACH_TIME = {"changelist": 1, "catalogue": 0}
#: Different pages of each kind, all of them cached before.
WARM = 4
#: Requests of one go; the fastest counts.
BATCH = 3
START_SECONDS = 60.0
#: A store that has just been started keeps readers out for a lease (5 s).
SETTLING_SECONDS = 7.0
LEAST_WARMING = 3


class Site:
    """One contender's gunicorn, with a connection that stays open.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self._client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> tuple[float, int]:
        """Fetch a page; return the seconds it took and the queries that reached the database.

        Raises:
            Failed: it is no page.
        """
        start = time.perf_counter()
        try:
            self._client.request("GET", path, headers={"Cookie": f"sessionid={SESSION}"})
            response = self._client.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._client.close()
            raise Failed(f"{path}: {type(error).__name__}: {error}") from None
        spent = time.perf_counter() - start
        if response.status != 200:
            raise Failed(f"{path} answers {response.status}: {body[:200]!r}")
        return spent, int(response.headers[HEADER])

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def run_part(run: Run, database: str) -> dict[str, Any]:
    """Measure both pages.

    Args:
        run: which run.
        database: on which.
    """
    places = run.places(database, "pages", lambda contender: "page" in contender.kinds)
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        failed: dict[str, str] = {}
        sites = {}
        for contender, place in places.items():
            site = stack.enter_context(_served(contender, place))
            try:
                _wait(site)
            except Failed as reason:
                failed[contender.name] = str(reason)
            else:
                sites[contender] = site
        for page in PATHS:
            found[page] = _measure(run, page, sites, failed)
            run.progress.step(page)
    return found


@contextmanager
def _served(contender: Contender, place: Place) -> Iterator[Site]:
    port = free_port()
    environment = {
        **os.environ,
        **SAME_HASHES,
        "BENCHMARKS_PLACE": json.dumps(place.described(contender)),
    }
    log = place.folder / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "benchmarks.site.wsgi"),
                *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--no-control-socket"),
                # This kind of worker keeps connections open.
                *("--worker-class", "gthread", "--threads", "2", "--keep-alive", "600"),
                *("--timeout", "120", "--log-level", "warning"),
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    site = Site(port)
    try:
        yield site
    finally:
        site.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(site: Site) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            site.get(PATHS["catalogue"].format(1))
        except Failed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _measure(
    run: Run, page: str, sites: Mapping[Contender, Site], failed: Mapping[str, str]
) -> dict[str, Any]:
    broken = dict(failed)
    queries = _warm(page, sites, broken)
    times: dict[str, list[float]] = {name: [] for name in queries}
    able = [contender for contender in sites if contender.name in times]
    for turn in range(run.size.pages):
        start = turn % max(1, len(able))
        for contender in (*able[start:], *able[:start]):
            with suppress(KeyError):
                try:
                    goes = [
                        sites[contender].get(PATHS[page].format((turn + go) % WARM + 1))[0]
                        for go in range(BATCH)
                    ]
                    times[contender.name].append(min(goes))
                except Failed as reason:
                    broken[contender.name] = str(reason)
                    times.pop(contender.name)
    result = figures(Found(times, broken))
    for name in times:
        result[name]["queries"] = queries[name]
    return result


def _warm(page: str, sites: Mapping[Contender, Site], broken: dict[str, str]) -> dict[str, int]:
    """Fetch every page until it needs no query, or for so long; return how many each needs."""
    deadline = time.monotonic() + SETTLING_SECONDS
    needed: dict[str, int] = {}
    rounds = 0
    while True:
        for contender, site in sites.items():
            if contender.name in broken:
                continue
            try:
                needed[contender.name] = max(
                    site.get(PATHS[page].format(number + 1))[1] for number in range(WARM)
                )
            except Failed as reason:
                broken[contender.name] = str(reason)
                needed.pop(contender.name, None)
        rounds += 1
        least = NEW_EACH_TIME[page]
        waiting = [one for one in sites if one.settles and needed.get(one.name, 0) > least]
        if rounds >= LEAST_WARMING and (not waiting or time.monotonic() > deadline):
            return needed
        time.sleep(0.05)

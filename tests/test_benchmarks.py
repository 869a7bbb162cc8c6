"""The benchmarks run, measure what they say, and their reports can be made of what they write."""

from __future__ import annotations

import copy
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from benchmarks.contenders import CONTENDERS
from benchmarks.environment import open_environment
from benchmarks.figures import figures
from benchmarks.parts import stale
from benchmarks.parts.base import Run
from benchmarks.plan import SIZES
from benchmarks.processes import started
from benchmarks.progress import Progress
from benchmarks.rounds import measure
from tests.servers import PostgresServer, RedisServer, required

ROOT = Path(__file__).resolve().parents[1]
SITES = {"none", "querycache-lmdb", "cachalot-locmem"}
QUERIES = {
    "hit": SITES | {"floor", "limit-lmdb"},
    "miss": SITES | {"limit-lmdb"},
    "write": SITES | {"limit-lmdb"},
    "off": SITES,
}


def benchmarks(*arguments: str, code: int = 0) -> str:
    """Run the program; return what it prints, or complains about where it must fail."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def smoke(folder: Path, *arguments: str) -> dict[str, Any]:
    file = folder / "result.json"
    benchmarks("--smoke", "--databases", "sqlite", "--json", str(file), *arguments)
    text = file.read_text()
    assert str(folder) not in text
    assert str(ROOT) not in text
    result: dict[str, Any] = json.loads(text)
    return result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the smallest run of all parts gives; one for all processes of this test run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file = folder / "benchmarks.json"
    with (folder / "benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            chosen = ("--contenders", "limit-lmdb,querycache-lmdb,cachalot-locmem")
            file.write_text(json.dumps(smoke(tmp_path_factory.mktemp("benchmarks"), *chosen)))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.mark.slow
class TestTheSmallestRun:
    def test_every_case_has_figures_of_everybody(self, result: dict[str, Any]) -> None:
        cases = result["databases"]["sqlite"]["queries"]
        assert len(cases) == 7
        for case, found in cases.items():
            assert set(found) == QUERIES[case.partition(":")[0]]
            assert all(figure["us"]["median"] > 0 for figure in found.values()), found

    def test_traffic_tells_which_reads_reach_the_database(self, result: dict[str, Any]) -> None:
        traffic = result["databases"]["sqlite"]["traffic"]["5"]
        assert set(traffic) == SITES
        assert traffic["none"]["reached_of_1000"] == 1000
        assert traffic["querycache-lmdb"]["reached_of_1000"] < 1000
        assert traffic["querycache-lmdb"]["stale_of_1000"] == 0

    def test_pages_need_no_query_when_they_were_fetched_before(
        self, result: dict[str, Any]
    ) -> None:
        pages = result["pages"]["found"]
        assert pages["catalogue"]["none"]["queries"] == 30
        assert pages["changelist"]["none"]["queries"] > 3
        assert pages["catalogue"]["querycache-lmdb"]["queries"] == 0
        # Sessions are asked for that have not expired by now: never the same query again.
        assert pages["changelist"]["querycache-lmdb"]["queries"] == 1

    def test_threads_and_processes_do_their_work(self, result: dict[str, Any]) -> None:
        load = result["load"]["found"]
        for crew in (load["threads"]["2"], load["processes"]["2"]):
            assert crew["none"]["reached_of_1000"] == 1000
            assert crew["querycache-lmdb"]["per_second"]["median"] > 0
        # A cache of one process would be wrong beside another.
        assert "cachalot-locmem" in load["threads"]["2"]
        assert "cachalot-locmem" not in load["processes"]["2"]

    def test_no_read_is_stale(self, result: dict[str, Any]) -> None:
        found = result["stale"]["found"]
        assert set(found) == {"none", "querycache-lmdb"}
        for figure in found.values():
            assert figure["reads"] > 0
            assert figure["writes"] > 0
            assert (figure["stale"], figure["back"]) == (0, 0)

    def test_entries_take_memory_and_writes_do_not(self, result: dict[str, Any]) -> None:
        memory = result["memory"]["found"]["querycache-lmdb"]
        assert 0 < memory["row"] < memory["page"]
        assert [writes for writes, _ in memory["used"]] == [20, 100, 200]

    def test_a_fresh_process_of_everybody_is_started(self, result: dict[str, Any]) -> None:
        found = result["startup"]["found"]
        assert set(found) == SITES
        assert all(figure["ms"]["median"] > 0 for figure in found.values())

    def test_budgets_stand_beside_what_was_measured(self, result: dict[str, Any]) -> None:
        case = result["databases"]["sqlite"]["queries"]["write:save"]
        assert case["querycache-lmdb"]["over_limit"]["median"] > 0
        assert "over_limit" not in case["cachalot-locmem"]
        whats = {row["what"] for row in result["budgets"]}
        assert "hit on lmdb, `get`, over the floor" in whats
        assert "traffic, 5 % writes, lmdb, over no cache" in whats
        assert all(row["measured"]["median"] > 0 for row in result["budgets"])

    def test_it_tells_the_machine_and_how_busy_it_was(self, result: dict[str, Any]) -> None:
        assert set(result["machine"]) == {"cpu", "cores", "memory_gb", "system", "python"}
        assert result["busy"] in (True, False)
        assert {"Django", "SQLite", "django-cachalot", "lmdb"} <= set(result["versions"])

    def test_the_html_needs_nothing_else_and_holds_every_plot(
        self, result: dict[str, Any], tmp_path: Path
    ) -> None:
        file = tmp_path / "result.json"
        file.write_text(json.dumps(result))
        plots = tmp_path / "plots"
        output = tmp_path / "report.html"
        benchmarks("report", str(file), "-o", str(output), "--plots", str(plots))
        text = output.read_text()
        page = Tags()
        page.feed(text)
        names = {plot.stem for plot in plots.glob("*.svg")}
        assert {"sqlite-hits", "sqlite-traffic", "pages", "load-threads", "budgets"} <= names
        assert {plot.stem for plot in plots.glob("*.png")} == names
        assert page.count["svg"] == len(names)
        assert page.count["table"] > 10
        assert page.twice == set()
        assert not re.search(r'(?:src|href)="(?!#|data:)', text)

    def test_a_result_compares_with_itself_and_with_a_slower_one(
        self, result: dict[str, Any], tmp_path: Path
    ) -> None:
        slower = copy.deepcopy(result)
        case = slower["databases"]["sqlite"]["queries"]["hit:get"]["querycache-lmdb"]
        case["over_floor"] = {key: 10 * value for key, value in case["over_floor"].items()}
        before, after = tmp_path / "before.json", tmp_path / "after.json"
        before.write_text(json.dumps(result))
        after.write_text(json.dumps(slower))
        assert " 0 better, 0 worse" in benchmarks("compare", str(before), str(before))
        worse = benchmarks("compare", str(before), str(after))
        assert " 0 better, 1 worse" in worse
        assert "10.00" in worse
        assert " 1 better, 0 worse" in benchmarks("compare", str(after), str(before))


@pytest.mark.slow
def test_servers_are_started_and_a_slow_store_is_felt(tmp_path: Path) -> None:
    result = smoke(
        tmp_path,
        *("--parts", "slow", "--contenders", "querycache-redis,cacheops-redis"),
    )
    if "redis" in " ".join(result["left_out"].values()):
        pytest.skip("no Redis here")
    slow = result["slow"]["found"]
    late = slow["delays"]["2"]["hit:get"]
    # Not how fast it is, but that the two milliseconds of the proxy are in there.
    assert late["querycache-redis"]["p50"] > 2
    assert late["cacheops-redis"]["p50"] > 2
    assert slow["hangs"]["found"]["querycache-redis"]["done"] > 0


@pytest.fixture
def run() -> Iterator[Run]:
    """A run of the smallest size, without the command line."""
    with open_environment() as environment:
        yield Run(environment, SIZES["smoke"], [], Progress(1))


def figures_of(*arguments: str) -> Any:
    """What a program of its own prints as JSON; skips where a server is missing."""
    for start in (PostgresServer, RedisServer):
        with required():
            start().start().close()
    return json.loads(benchmarks(*arguments, "--json"))


@pytest.mark.slow
def test_no_read_is_stale_when_a_killed_store_comes_back() -> None:
    arguments = ("--outages", "1", "--rounds", "2", "--seconds", "0.5", "--readers", "1")
    result = figures_of("outage", *arguments)["found"]
    assert set(result) == {"killed", "frozen"}
    for found in result.values():
        for state in ("up", "down"):
            assert found["get"][state]["querycache"]["over_none"]["median"] > 0
        assert found["serves_again_ms"]["median"] > 0
        seen = found["witnessed"]
        assert seen["reads"] > 0
        assert seen["writes"] > seen["writes_in_outage"] > 0
    # A frozen store has its memory: readers who are back before the writer may lag by a second.
    assert result["killed"]["witnessed"]["stale"] == 0


@pytest.mark.slow
def test_pages_in_transactions_that_see_one_state_have_hits() -> None:
    found = {
        (figure["database"], figure["contender"]): figure["hits"]
        for figure in figures_of("snapshots", "--rounds", "1")
    }
    assert {database for database, _ in found} == {"sqlite", "postgresql"}
    for (_, contender), hits in found.items():
        assert (hits > 0.5) is (contender != "no cache")


@pytest.mark.slow
def test_one_that_fails_is_told_and_hides_nothing_else(run: Run) -> None:
    run.contenders = [CONTENDERS["none"], CONTENDERS["querycache-lmdb"]]
    places = run.places("sqlite", "test", lambda contender: True)
    with started(places.items()) as (good, bad):
        assert run.open([good, bad]) == {}
        bad.kill()
        found = figures(measure([good, bad], "miss:get", run.size))
        assert found["none"]["us"]["median"] > 0
        assert found["querycache-lmdb"] == {"failed": "querycache-lmdb has ended"}


@pytest.mark.slow
def test_witnesses_see_the_stale_reads_of_a_cache_that_is_not_shared(run: Run) -> None:
    contender = CONTENDERS["cachalot-locmem"]
    run.contenders = [contender]
    (place,) = run.places("sqlite", "test", lambda contender: True).values()
    found = stale.watch(run, contender, place, place)
    assert found["stale"] > 0
    assert found["reached_of_1000"] < 1000


@pytest.mark.slow
def test_a_limit_asks_its_store_for_as_much_as_it_says(run: Run) -> None:
    contender = CONTENDERS["limit-redis"]
    run.contenders = [contender]
    (place,) = run.places("sqlite", "test", lambda contender: True).values()

    def calls() -> dict[str, int]:
        found: dict[str, Any] = redis.info("commandstats")
        return {name: found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names}

    names = ("mget", "set", "mset")
    with (
        Redis.from_url(place.store) as redis,
        started([(contender, place)]) as (process,),
    ):
        assert run.open([process]) == {}
        for case, wanted in (
            ("hit:get", {"mget": 1}),
            ("hit:prefetch", {"mget": 2}),
            ("miss:get", {"mget": 1, "set": 1}),
            ("write:save", {"mset": 2}),
            ("write:atomic", {"mset": 2}),
        ):
            if case.startswith("hit:"):
                process.ask("queries.warm", case=case)
            before = calls()
            process.ask("queries.run", case=case, number=16)
            # An eighth more turns come before those that count.
            done = {name: (count - before[name]) / 19 for name, count in calls().items()}
            assert {name: count for name, count in done.items() if count} == wanted


class Tags(HTMLParser):
    """Counts tags, and ids that are there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.twice: set[str] = set()
        self._ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id" and value is not None:
                (self.twice if value in self._ids else self._ids).add(value)


def test_a_contender_that_does_not_exist_is_refused() -> None:
    assert "'johnny' is none of" in benchmarks("--contenders", "johnny", code=2)


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text('{"schema": 1}')
    assert "has schema 1" in benchmarks("compare", str(file), str(file), code=2)
    file.write_text("nonsense")
    assert "holds no result" in benchmarks("report", str(file), code=2)


def test_the_page_is_made_of_the_committed_result() -> None:
    page = (ROOT / "docs" / "reference" / "performance.md").read_text()
    result = page.partition("python -m benchmarks page ")[2].partition("`")[0]
    assert benchmarks("page", result) == page


def test_figures_in_texts_are_those_of_the_committed_result() -> None:
    page = (ROOT / "docs" / "reference" / "performance.md").read_text()
    file = page.partition("python -m benchmarks page ")[2].partition("`")[0]
    result = json.loads((ROOT / file).read_text())
    decisions = (ROOT / "docs" / "explanation" / "decisions.md").read_text()
    kept = [one["measured"]["median"] <= one["budget"] for one in result["budgets"]]
    assert f"{sum(kept)} of {len(kept)} are\nkept" in decisions
    queries = result["databases"]["postgresql"]["queries"]
    contenders = ("querycache-redis", "cachalot-redis", "cacheops-redis")
    lines = (ROOT / "README.md").read_text().splitlines()
    for start, shape in (
        ("| `get(pk=…)` that hits on Redis", "get"),
        ("| 50 rows with related ones", "page"),
        ("| 1000 rows", "thousand"),
    ):
        row = next(line for line in lines if line.startswith(start))
        found = [float(figure) for figure in re.findall(r"(\d\.\d\d) times", row)]
        hits = queries[f"hit:{shape}"]
        assert found == [round(hits[one]["over_none"]["median"], 2) for one in contenders]

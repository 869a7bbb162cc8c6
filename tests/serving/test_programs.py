"""Programs beside a web server: Celery's workers, and a shell."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.environment import Environment
from tests.serving.site import PATIENCE, REGISTERS, Site, Visitors
from tests.serving.test_web import SERVERS, Pages

SERVER = SERVERS["gunicorn gthread"]


def test_celery(site: Site, environment: Environment, tmp_path: Path) -> None:
    """What workers write, pages show, and the other way round."""
    pytest.importorskip("celery")
    from tests.serving.tasks import celery

    # A database of the server of its own: the tests' store has the first.
    broker = environment.redis.url.replace("/0", "/7")
    results = f"file://{tmp_path}"
    site = replace(site, variables={"SITE_BROKER": broker, "SITE_RESULTS": results})
    worker = ("-m", "celery", "-A", "tests.serving.tasks", "worker", "-P", "prefork", "-c", "2")
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "warning")
    with site.served(tmp_path, *SERVER) as server, site.process(tmp_path, *worker, *options):
        pages = Pages(server, "sync")
        app = celery(broker, results)

        def told(name: str, *args: Any) -> Any:
            return app.send_task(name, args).get(timeout=PATIENCE, interval=0.02)

        told("read")  # the workers are up
        Visitors(pages.read, lambda *args: told("write", *args)).come(15, writes=0.3)
        workers = Visitors(lambda: told("read")["values"], pages.write)
        workers.least = pages.read()
        workers.come(15, writes=0.3)


def test_a_shell(site: Site, tmp_path: Path) -> None:
    """`manage.py shell` beside a running server."""
    with site.served(tmp_path, *SERVER) as server, shell(site, tmp_path) as ask:
        pages = Pages(server, "sync")
        for value in range(1, 8):
            pages.write(0, value)
            assert ask("registers.read()['values']") == [value] + [0] * (REGISTERS - 1)
            assert ask(f"registers.write(0, {value * 100})") is None
            assert pages.read()[0] == value * 100
        while not ask("registers.read()['hit']"):
            pass


@contextlib.contextmanager
def shell(site: Site, folder: Path) -> Iterator[Any]:
    """Type into a shell; yields what asks it for the value of an expression."""
    ours, theirs = pty.openpty()
    command = ("-m", "django", "shell", "--interface", "python", "--no-startup", "--no-imports")
    with site.process(folder, *command, stdin=theirs, stdout=theirs):
        os.close(theirs)
        typed = os.fdopen(ours, "r+b", buffering=0)
        asked = 0

        def ask(expression: str) -> Any:
            nonlocal asked
            asked += 1
            # The terminal echoes what is typed, in which the answer's mark is in two pieces.
            typed.write(f"print('answer' + '{asked}:', json.dumps({expression}), 'end')\r".encode())
            said = b""
            while not (found := re.search(rb"answer%d: (.*) end" % asked, said)):
                said += typed.read(4096)
            return json.loads(found[1])

        typed.write(b"import json; from tests.serving import registers\r")
        yield ask
        typed.close()

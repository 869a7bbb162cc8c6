"""A site that is served by real processes, and visitors who notice whatever is out of order."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
REGISTERS = 4
PATIENCE = 60.0


@dataclass(frozen=True)
class Site:
    """Where a site's processes find its database and its store.

    Args:
        database: an alias of ``DATABASES``.
        querycache: ``QUERYCACHE``.
        settings: the module of its settings.
        variables: more of the environment of its processes.
    """

    database: Mapping[str, Any]
    querycache: Mapping[str, Any]
    settings: str = "tests.serving.settings"
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": self.settings,
            "SITE_DATABASE": json.dumps(self.database),
            "SITE_QUERYCACHE": json.dumps(self.querycache),
            **self.variables,
        }

    def run(self, *command: str) -> str:
        """Run a program of the site to its end and return its output."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def process(
        self, folder: Path, *command: str, **options: Any
    ) -> Iterator[subprocess.Popen[str]]:
        """Have a program of the site run for the length of a block, with all that it starts.

        Args:
            folder: where its output goes.
            command: the arguments of Python.
            options: of `subprocess.Popen`.
        """
        with (folder / "output").open("a+") as output:
            options.setdefault("stdout", output)
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment(),
                stderr=output,
                text=True,
                start_new_session=True,
                **options,
            )
            try:
                yield process
            except BaseException:
                output.seek(0)
                sys.stderr.write(output.read()[-4000:])
                raise
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()

    @contextlib.contextmanager
    def served(self, folder: Path, *command: str, answers: str = "/sync/read/") -> Iterator[Server]:
        """Have a web server run for the length of a block.

        Args:
            folder: where its output goes.
            command: the arguments of Python, with ``{port}`` in the place of the port.
            answers: the page that it serves when it is up.
        """
        server = Server(free_port())
        told = [part.replace("{port}", str(server.port)) for part in command]
        with self.process(folder, *told) as process:
            server.wait(process, answers)
            yield server


@dataclass
class Server:
    """A web server of a site, as a visitor sees it.

    Args:
        port: on 127.0.0.1.
    """

    port: int

    def wait(self, process: subprocess.Popen[str], page: str) -> None:
        """Wait until it serves a page."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._request(page)
                return
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.05)

    def get(self, path: str) -> Any:
        """Return what a page says; None for a page that says nothing."""
        body = self._request(path)
        return json.loads(body) if body else None

    def _request(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status in (200, 204), (path, response.status, body[:500])
            return body
        finally:
            connection.close()


@dataclass
class Visitors:
    """Threads that read and write registers, and keep account of what a read must at least show.

    Each register has one writer, who writes 1, 2, 3…: so a read that began after a write had ended,
    or after another read had shown it, must not show less.

    Args:
        read: returns the values of all registers.
        write: writes a value to a register.
    """

    read: Callable[[], Sequence[int]]
    write: Callable[[int, int], Any]
    least: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def come(self, operations: int, *, writes: float = 0.15) -> None:
        """Run a thread for each register, and let each do so many operations.

        Raises:
            AssertionError: a read was stale, or something failed.
        """
        threads = [
            threading.Thread(target=self._visit, args=(number, operations, writes))
            for number in range(REGISTERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 2)
            assert not thread.is_alive(), "a visitor waits for ever"
        assert not self.wrong, self.wrong[:3]
        assert list(self.read()) == self.least

    def _visit(self, register: int, operations: int, writes: float) -> None:
        choose = random.Random(register)
        value = self.least[register]
        try:
            for _ in range(operations):
                if choose.random() < writes:
                    value += 1
                    self.write(register, value)
                    self._note({register: value})
                else:
                    self._look()
        except BaseException as error:  # noqa: BLE001 - told by `come`
            self.wrong.append(repr(error))

    def _look(self) -> None:
        with self._lock:
            least = list(self.least)
        found = self.read()
        if any(seen < known for seen, known in zip(found, least, strict=True)):
            self.wrong.append(f"{found} was read after {least}")
        self._note(dict(enumerate(found)))

    def _note(self, values: Mapping[int, int]) -> None:
        with self._lock:
            for register, value in values.items():
                self.least[register] = max(self.least[register], value)

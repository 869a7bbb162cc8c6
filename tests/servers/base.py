"""One private server process: its start, its end, and its end when the tests die."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.servers.programs import Unavailable, free_port

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_ATTEMPTS = 3

# The watchdog waits for the end of its standard input: the test process holds the other end, so
# the kernel closes it however that process dies. (A parent-death signal would come too early when
# the thread that started the server ends, and leave the folder behind.)
_WATCHDOG = """
read _
kill -s "$1" "$2" 2>/dev/null; kill -s CONT "$2" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$2" 2>/dev/null || break; sleep 0.2; done
kill -s KILL "$2" 2>/dev/null
rm -rf "$3"
"""


class Server(ABC):
    """One private server process and its folder."""

    #: The account that the server runs under when the tests run as root; None: root will do.
    account: ClassVar[str | None] = None
    #: What the watchdog sends; SIGKILL follows after two seconds.
    last_signal: ClassVar[signal.Signals] = signal.SIGKILL
    #: How far above its port the server listens on another one; 0: it does not.
    second_port: int = 0
    #: What `stop` sends.
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._paused = False

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether the server serves clients; OSError counts as no."""

    def prepare(self) -> None:  # noqa: B027
        """Fill the new folder; most servers need nothing in it."""

    @property
    def running(self) -> bool:
        """Whether the server's process is there (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start the server, the first time in a new folder, and wait until it answers.

        Raises:
            Unavailable: its program is missing.
            RuntimeError: it does not come up; the message holds the end of its output.
        """
        if self.running:
            return self
        first = not self.port
        try:
            if first:
                self._make_folder()
                self.prepare()
            for attempt in range(_ATTEMPTS):
                # Another process may take the port between the choice and the start. Once
                # clients know the port it must stay what it is.
                if first:
                    self.port = free_port(beside=self.second_port)
                if self._launch(last=attempt == _ATTEMPTS - 1):
                    break
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        """End the server as its administrator would; data that it keeps on disk stays."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it again on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        if self._paused:
            return
        os.kill(self.pid, signal.SIGSTOP)
        # The signal takes a moment, in which a thread of the server may still answer.
        os.waitpid(self.pid, os.WUNTRACED)
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._paused and self.running:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def close(self) -> None:
        """End the server and remove its folder; does nothing in a child of the test process."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.close)
        self._end(self.last_signal)
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = Path()
        self.port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def log(self) -> str:
        """Return what the server has written to its output."""
        try:
            return (self.folder / "server.log").read_text(errors="replace")
        except OSError:
            return ""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end under the server's account.

        Args:
            command: the program and its arguments.

        Raises:
            RuntimeError: it failed; the message holds its output.
        """
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, **self._user()
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def _user(self) -> dict[str, Any]:
        if self.account is None or os.geteuid() != 0:
            return {}
        try:
            entry = pwd.getpwnam(self.account)
        except KeyError:
            raise Unavailable(f"no account {self.account!r} to run the server under") from None
        groups = os.getgrouplist(self.account, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}

    def _make_folder(self) -> None:
        user = self._user()
        # The path of a unix socket must stay below some 100 bytes.
        base = tempfile.gettempdir()
        self.folder = Path(tempfile.mkdtemp(prefix="qc-", dir=base if len(base) < 60 else "/tmp"))
        atexit.register(self.close)
        if user:
            os.chown(self.folder, user["user"], user["group"])
            # Clients under other accounts reach the sockets in it.
            self.folder.chmod(0o711)

    def _launch(self, *, last: bool) -> bool:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # An interrupt at the keyboard is for the tests, which then end the server.
                start_new_session=True,
                **self._user(),
            )
        self._watchdog = subprocess.Popen(
            [
                *("/bin/sh", "-c", _WATCHDOG, "watchdog"),
                *(self.last_signal.name[3:], str(self._process.pid), str(self.folder)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.answers():
                    return True
            time.sleep(0.005)
        log_end = self.log()[-2000:]
        self.kill()
        if last:
            raise RuntimeError(f"{self.command()[0]} does not come up: {log_end}")
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()
            if watchdog.stdin is not None:
                watchdog.stdin.close()
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        self._paused = False
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, question: bytes, *, path: Path | None = None) -> bytes:
        """Send bytes to the server and return the beginning of its answer."""
        family = socket.AF_UNIX if path else socket.AF_INET
        with socket.socket(family) as client:
            client.settimeout(2)
            client.connect(str(path) if path else ("127.0.0.1", self.port))
            if question:
                client.sendall(question)
            return client.recv(4096)

"""Private servers for tests: started on a free port in a temporary folder, gone afterwards.

Each class is a context manager. A server ends with its ``with`` block, at the exit of the
interpreter, and, through a small watchdog process, when the test process is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn, Self

import pytest

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


class Unavailable(Exception):
    """The server cannot run here: its program or its account is not there."""


def require(reason: Unavailable) -> NoReturn:
    """Skip the test, or fail it where ``QUERYCACHE_REQUIRE_SERVERS=1`` says that servers must run.

    Args:
        reason: what the start of the server raised.
    """
    if os.environ.get("QUERYCACHE_REQUIRE_SERVERS") == "1":
        pytest.fail(f"a server is required here: {reason}")
    pytest.skip(str(reason))


def find_program(*names: str) -> str:
    """Return the path of the first program that is installed.

    Args:
        names: file names, looked up in PATH and where servers live that are not in it.

    Raises:
        Unavailable: none of them is installed.
    """
    folders = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"]
    versions = list(Path("/usr/lib/postgresql").glob("[0-9]*/bin"))
    # The newest first; "9.6" sorts below "15" this way.
    versions.sort(key=lambda path: float(path.parent.name), reverse=True)
    folders += map(str, versions)
    path = os.pathsep.join([os.environ.get("PATH", ""), *folders])
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise Unavailable(f"{' or '.join(names)} is not installed")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    It lies below the range that systems take ports of outgoing connections from, so that a server
    that was stopped finds its port free when it starts again.
    """
    for _ in range(200):
        port = random.randint(15000, 31000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port")


class Server(ABC):
    """One private server process and its folder."""

    #: The account that the server runs under when the tests run as root; None: root will do.
    account: ClassVar[str | None] = None
    #: What the watchdog sends; SIGKILL follows after two seconds.
    last_signal: ClassVar[signal.Signals] = signal.SIGKILL
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
                    self.port = free_port()
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
        os.kill(self.pid, signal.SIGSTOP)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


class RedisServer(Server):
    """A Redis (or Valkey) that keeps nothing on disk unless told so.

    Args:
        password: what clients must authenticate with; None: nothing.
        tcp: whether it listens on 127.0.0.1 too, besides its unix socket.
        options: directives of the configuration file, such as ``{"maxmemory": "2mb"}``.
        program: names of the program to run.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        tcp: bool = True,
        options: Mapping[str, str] | None = None,
        program: Sequence[str] = ("redis-server", "valkey-server"),
    ) -> None:
        super().__init__()
        self.password = password
        self.options = {"save": "", "appendonly": "no", **(options or {})}
        self._tcp = tcp
        self._names = program

    @property
    def socket(self) -> Path:
        """The path of its unix socket."""
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        """The URL of database 0 over TCP (over the unix socket where TCP is off)."""
        if not self._tcp:
            return self.socket_url
        return f"redis://{self._login}127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The URL of database 0 over the unix socket."""
        return f"unix://{self._login}{self.socket}?db=0"

    @property
    def _login(self) -> str:
        return f":{self.password}@" if self.password else ""

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return an alias for ``CACHES`` with Django's own Redis backend.

        Args:
            changes: keys that are replaced or added.
        """
        backend = "django.core.cache.backends.redis.RedisCache"
        return {"BACKEND": backend, "LOCATION": self.url, **changes}

    def command(self) -> Sequence[str]:
        command = [find_program(*self._names), "--bind", "127.0.0.1", "--unixsocketperm", "777"]
        command += ["--port", str(self.port if self._tcp else 0)]
        command += ["--unixsocket", str(self.socket), "--dir", str(self.folder)]
        if self.password:
            command += ["--requirepass", self.password]
        for name, value in self.options.items():
            command += [f"--{name}", value]
        return command

    def answers(self) -> bool:
        reply = self._ask(b"PING\r\n", path=None if self._tcp else self.socket)
        return reply.startswith((b"+PONG", b"-NOAUTH"))


class MemcachedServer(Server):
    """A memcached on 127.0.0.1.

    Args:
        options: command line arguments, such as ``["-m", "2"]``.
    """

    # It takes a second over SIGTERM and has nothing to put in order.
    stop_signal = signal.SIGKILL

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.options = list(options)

    @property
    def address(self) -> str:
        """Host and port, as ``LOCATION`` of ``CACHES`` wants them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL that querycache takes."""
        return f"memcached://{self.address}"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return an alias for ``CACHES`` with Django's pymemcache backend.

        Args:
            changes: keys that are replaced or added.
        """
        backend = "django.core.cache.backends.memcached.PyMemcacheCache"
        return {"BACKEND": backend, "LOCATION": self.address, **changes}

    def command(self) -> Sequence[str]:
        command = [find_program("memcached"), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        return command + self.options

    def answers(self) -> bool:
        return self._ask(b"version\r\n").startswith(b"VERSION")


class PostgresServer(Server):
    """A PostgreSQL whose user ``postgres`` needs no password, on a unix socket and 127.0.0.1.

    Args:
        options: settings of ``postgresql.conf``.
    """

    account = "postgres"
    # Immediate shutdown: the server's own children end too and its shared memory is removed.
    last_signal = signal.SIGQUIT
    stop_signal = signal.SIGINT

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.options = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "60",
            "shared_buffers": "32MB",
            "autovacuum": "off",
            **(options or {}),
        }

    def prepare(self) -> None:
        self.run(
            *(find_program("initdb"), "-D", str(self.folder / "data"), "-A", "trust"),
            *("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
        )

    def command(self) -> Sequence[str]:
        command = [find_program("postgres"), "-D", str(self.folder / "data"), "-h", "127.0.0.1"]
        command += ["-p", str(self.port), "-k", str(self.folder)]
        for name, value in self.options.items():
            command += ["-c", f"{name}={value}"]
        return command

    def answers(self) -> bool:
        names = b"user\0postgres\0database\0postgres\0\0"
        hello = (8 + len(names)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + names
        return self._ask(hello).startswith(b"R")

    def create_database(self, name: str) -> None:
        """Create an empty database.

        Args:
            name: its name.
        """
        self.run(*self._admin("createdb"), name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, whoever is connected to it.

        Args:
            name: its name.
        """
        self.run(*self._admin("dropdb"), "--if-exists", "--force", name)

    def _admin(self, program: str) -> list[str]:
        login = ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres"]
        return [find_program(program), *login]

    def django_database(self, name: str = "postgres", **changes: Any) -> dict[str, Any]:
        """Return an alias for ``DATABASES``.

        Args:
            name: the database, which must exist (``postgres`` does).
            changes: keys that are replaced or added, such as ``OPTIONS``.
        """
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            **changes,
        }


class MariaDBServer(Server):
    """A MariaDB whose user ``root`` needs no password, on a unix socket and 127.0.0.1.

    Args:
        options: options of the server, such as ``{"transaction-isolation": "READ-COMMITTED"}``.
    """

    account = "mysql"

    def __init__(self, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.options = {
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_general_ci",
            "innodb-flush-log-at-trx-commit": "0",
            "innodb-doublewrite": "0",
            "innodb-flush-method": "nosync",
            "innodb-buffer-pool-size": "32M",
            "innodb-log-file-size": "16M",
            "innodb-fast-shutdown": "2",
            "performance-schema": "OFF",
            "skip-log-bin": "",
            "skip-name-resolve": "",
            **(options or {}),
        }

    @property
    def socket(self) -> Path:
        """The path of its unix socket."""
        return self.folder / "mariadb.sock"

    def prepare(self) -> None:
        self.run(
            *(find_program("mariadb-install-db", "mysql_install_db"), "--no-defaults"),
            *(f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}", "--skip-test-db"),
            *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            *("--innodb-flush-method=nosync", "--innodb-log-file-size=16M"),
        )

    def command(self) -> Sequence[str]:
        command = [find_program("mariadbd", "mysqld"), "--no-defaults", f"--port={self.port}"]
        command += [f"--datadir={self.folder / 'data'}", f"--socket={self.socket}"]
        command += [f"--tmpdir={self.folder}", f"--pid-file={self.folder / 'pid'}"]
        command += ["--bind-address=127.0.0.1"]
        for name, value in self.options.items():
            command.append(f"--{name}={value}" if value else f"--{name}")
        return command

    def answers(self) -> bool:
        # The greeting: three bytes of length, a sequence number, protocol version 10.
        return self._ask(b"", path=self.socket)[4:5] == b"\x0a"

    def create_database(self, name: str) -> None:
        """Create an empty database.

        Args:
            name: its name.
        """
        self._execute(f"CREATE DATABASE `{name}`")

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there.

        Args:
            name: its name.
        """
        self._execute(f"DROP DATABASE IF EXISTS `{name}`")

    def _execute(self, sql: str) -> None:
        client = find_program("mariadb", "mysql")
        self.run(client, "--no-defaults", f"--socket={self.socket}", "-uroot", "-e", sql)

    def django_database(self, name: str = "mysql", **changes: Any) -> dict[str, Any]:
        """Return an alias for ``DATABASES``.

        Args:
            name: the database, which must exist.
            changes: keys that are replaced or added, such as ``OPTIONS``.
        """
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "USER": "root",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "OPTIONS": {"charset": "utf8mb4"},
            **changes,
        }

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.servers import (
    MariaDBServer,
    MemcachedServer,
    PostgresServer,
    RedisServer,
    Server,
    Unavailable,
    find_program,
    require,
    required,
)

KINDS = [RedisServer, MemcachedServer, PostgresServer, MariaDBServer]


def start(kind: Callable[[], Server]) -> Server:
    with required():
        return kind().start()


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead and not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    over = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < over


@pytest.mark.parametrize("kind", KINDS)
def test_life_of_a_server(kind: Callable[[], Server]) -> None:
    server = start(kind)
    with server:
        folder, pid, port = server.folder, server.pid, server.port
        assert server.answers()
        server.kill()
        assert not alive(pid)
        assert not server.running
        with pytest.raises(OSError, match="refused"), socket.socket() as client:
            client.connect(("127.0.0.1", port))
        server.start()
        assert (server.port, server.folder) == (port, folder)
        assert server.answers()
        server.restart()
        assert server.answers()
        pid = server.pid
        server.pause()
    assert not alive(pid)
    assert not folder.exists()


@pytest.mark.parametrize("kind", [PostgresServer, MariaDBServer])
def test_databases(kind: type[PostgresServer] | type[MariaDBServer]) -> None:
    server = start(kind)
    assert isinstance(server, (PostgresServer, MariaDBServer))
    with server:
        server.create_database("one")
        with pytest.raises(RuntimeError, match="one"):
            server.create_database("one")
        server.restart()
        server.drop_database("one")
        server.drop_database("one")
        server.create_database("one")
        settings = server.django_database("one", CONN_MAX_AGE=7)
        assert settings["NAME"] == "one"
        assert settings["CONN_MAX_AGE"] == 7


def test_exception_ends_the_server() -> None:
    server = start(RedisServer)
    pid, folder = server.pid, server.folder
    with pytest.raises(ZeroDivisionError), server:
        raise ZeroDivisionError
    assert not alive(pid)
    assert not folder.exists()


_SCRIPT = """
import os, sys
from tests.servers import *
servers = [RedisServer().start(), MemcachedServer().start()]
if {postgres}:
    servers.append(PostgresServer().start())
for server in servers:
    print(server.pid, server.folder, flush=True)
servers[0].pause()
{end}
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os._exit(3)", 3),
        ("sys.exit(4)", 4),
        ("raise ValueError", 1),
    ],
)
def test_no_orphans(end: str, status: int) -> None:
    with required():
        for name in ("redis-server", "memcached"):
            find_program(name)
    postgres = status == -signal.SIGKILL
    try:
        find_program("postgres")
    except Unavailable:
        postgres = False
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(end=end, postgres=postgres)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == status, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 + postgres
    for pid, folder in lines:
        until(lambda pid=pid: not alive(int(pid)))  # type: ignore[misc]
        until(lambda folder=folder: not Path(folder).exists())  # type: ignore[misc]


def test_child_of_a_fork_leaves_the_server_alone() -> None:
    with start(RedisServer) as server:
        pid = os.fork()
        if pid == 0:
            try:
                server.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert server.answers()


def test_redis_with_options() -> None:
    with required():
        server = RedisServer(password="x y", tcp=False, options={"maxmemory": "7mb"}).start()
    with server, redis.Redis(unix_socket_path=str(server.socket), password="x y") as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(7 * 1024 * 1024)}
        assert client.config_get("save") == {"save": ""}
        client.set("a", "1")
        server.pause()
        impatient = redis.Redis(unix_socket_path=str(server.socket), socket_timeout=0.05)
        with impatient, pytest.raises(redis.RedisError):
            impatient.ping()
        server.resume()
        assert client.get("a") == b"1"


def test_server_that_does_not_come_up_is_a_failure() -> None:
    start(RedisServer).close()
    with pytest.raises(RuntimeError, match="no-such-option"):
        RedisServer(options={"no-such-option": "1"}).start()


def test_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="no-such-program") as caught:
        RedisServer(program=["no-such-program"]).start()
    monkeypatch.setenv("QUERYCACHE_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception):
        require(caught.value)
    monkeypatch.delenv("QUERYCACHE_REQUIRE_SERVERS")
    with pytest.raises(pytest.skip.Exception):
        require(caught.value)

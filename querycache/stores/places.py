"""Where a store is: text that people read, and that two places have only if they are one."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@cache
def machine() -> str:
    """Name this machine, or the container that takes itself for one."""
    identifier = ""
    with suppress(OSError):
        identifier = Path("/etc/machine-id").read_text("ascii", "replace").strip()[:12]
    return f"{socket.gethostname()} {identifier}".strip()


def process() -> str:
    """Name this process; no other had, has or will have the name while the machine runs."""
    return f"process {os.getpid()} of {_started(os.getpid())} on {machine()} {_namespace()}".strip()


def is_over(name: str) -> bool:
    """Tell whether a process of this machine that `process` named is there no more.

    Args:
        name: what `process` returned in it, with anything before it.
    """
    words = name.partition("process ")[2].split(maxsplit=4)
    if len(words) < 5 or f"on {machine()} {_namespace()}".strip() != f"on {words[4]}":
        return False
    return not words[0].isdigit() or _started(int(words[0])) not in (words[2], "?")


def reached(address: str) -> str:
    """Name the place that an address leads to, which for some is another on each machine.

    Args:
        address: ``host:port``, or the path of a socket; or text with several of them.
    """
    local = any(map(_is_local, address.replace(",", " ").split()))
    return f"{address} on {machine()}" if local else address


def _is_local(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]") if ":" in address else address
    return address.startswith("/") or host.casefold() in _LOOPBACK


def _started(pid: int) -> str:
    """Return when a process was started, in ticks since the boot; "?" where nobody tells."""
    if not Path("/proc/self/stat").exists():
        return "?"
    try:
        # Its name, in brackets, may hold anything.
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "over"


def _namespace() -> str:
    # Numbers of processes mean something within one namespace of them.
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""

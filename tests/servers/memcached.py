"""A private memcached."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

from tests.servers.base import Server
from tests.servers.programs import find_program


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

"""URLs of stores: a store, or `StoreUnusable` that says nothing of the password."""

from __future__ import annotations

import traceback

from querycache.stores import open_store
from querycache.stores.base import StoreOptions, StoreUnusable
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import Target

SECRET = "hunter2hunter2"
OPTIONS = StoreOptions()

_PASSWORDS = ("", "#", "?", "/", "@", ":", "%", "%zz", "[", "]", "é", " ", ";", ",", "\\", "&x=")


class Urls(Target):
    """The readers of URLs."""

    name = "urls"
    share = 5

    def __init__(self) -> None:
        schemes = (
            "redis", "rediss", "valkey", "unix", "memcached", "redi", "redis+cluster",
            "redis+sentinel", "memory", "lmdb",
        )  # fmt: skip
        places = (
            "host:6379/0",
            "host:port/0",
            "/run/redis.sock?db=1",
            "[::1:1/0",
            "h:1/x",
            "h/a?b",
        )
        self.corpus = [
            f"{scheme}://{user}:{mark}{SECRET}{mark}@{place}".encode()
            for scheme in schemes
            for user in ("", "user")
            for mark in _PASSWORDS
            for place in places
        ]
        self.corpus += [
            f"{scheme}://host:1/0?{name}={SECRET}".encode()
            for scheme in schemes
            for name in ("password", "username", "socket_timeout", "db", "size", "x")
        ]

    def make(self, mutator: Mutator) -> bytes:
        return mutator.pick(self.corpus)[:500]

    def check(self, data: bytes) -> bool:
        url = data.decode("utf-8", "surrogateescape")
        if url.lower().startswith("lmdb:///") or url.lower().startswith("lmdb:?"):
            # It would look at folders of this machine.
            return False
        try:
            open_store(url, OPTIONS)
        except StoreUnusable as error:
            # A part of a password is one too; tracebacks also show what the error came from.
            told = "".join(traceback.format_exception(error))
            assert SECRET[:7] not in told, told
            return False
        return True

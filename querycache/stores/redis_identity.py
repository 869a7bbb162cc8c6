"""Who the server behind a new link is, and whether the stamps that it holds may be believed.

A server that was started or promoted since may hold old stamps, which entries of their time match.
So its identity is kept beside the stamps, and when it is another one all stamps go: what is absent
is always safe.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from querycache.stores.base import StoreError, StoreOptions, StoreUnusable
from querycache.stores.redis_links import TRUSTED
from querycache.stores.redis_wire import Link, errors, pack, parse_info

logger = logging.getLogger("querycache.redis")

_OLDEST = (6, 0)
_SCAN_STEP = b"1000"

# What INFO shows as the former replication id of a server that was never promoted.
_NEVER = "0" * 40


class NotPrimary(StoreError):
    """The server is a replica."""


class Identity:
    """The check of new links to the servers of one store.

    Args:
        prefix: of the keys of the stamps, the counter and the identity.
        options: of the store.
    """

    def __init__(self, prefix: bytes, options: StoreOptions) -> None:
        self.key = prefix + b":epoch"
        self.counter = prefix + b":sequence"
        self._stamps = literal(prefix) + b":s:*"
        self._questions = (
            pack(b"INFO", b"server"),
            pack(b"INFO", b"replication"),
            # Not GET, to which a foreign value under the key would be an error.
            pack(b"MGET", self.key),
            pack(b"TIME"),
        )
        # As long as another process may still read from the server that was the primary before:
        # until it asks again, and until that last answer has come.
        self._complained = False
        self._fence = int((TRUSTED * 1.25 + options.timeout) * 1000)

    def check(self, link: Link, place: str) -> None:
        """Look at the server behind a link.

        Args:
            link: the link.
            place: where it leads, for people.

        Raises:
            NotPrimary: it is a replica.
            StoreError: it was promoted a moment ago, and others may not know that yet.
            StoreUnusable: it is too old.
        """
        server, replication, epoch, time = link.ask_all(self._questions)
        for reply in (server, replication):
            if isinstance(reply, errors.ResponseError):
                self._complain(place, reply)
                return
        info = parse_info(server) | parse_info(replication)
        _check_version(info, place)
        if info.get("role", "master") != "master":
            raise NotPrimary(f"Redis at {place} is a replica")
        if isinstance(epoch, errors.MovedError):
            # A node of a cluster that holds no stamps.
            return
        if isinstance(epoch, errors.AskError):
            # They are on their way to another node; what is still here has nobody to vouch for it.
            epoch = [None]
        for reply in (epoch, time):
            if isinstance(reply, errors.ResponseError):
                raise reply
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        mine = f"{info.get('run_id')}:{info.get('master_replid')}".encode()
        known, _, since = (epoch[0] or b"").rpartition(b"@")
        if known != mine:
            promoted = info.get("master_replid2", _NEVER) != _NEVER
            # Who has used this server since before it lost its keys need not wait for it.
            since = b"%d" % (now if promoted and link.identity != mine else 0)
            remove(link, self._stamps)
            # The counter may be an old one as well, and this server's clock behind the other's.
            # The identity is set last: whoever comes in between removes them too.
            changed = b"%b@%b" % (mine, since)
            for answer in link.ask_all(
                [pack(b"UNLINK", self.counter), pack(b"SET", self.key, changed)]
            ):
                _refuse_errors(answer)
        if since.isdigit() and int(since) <= now < int(since) + self._fence:
            raise StoreError(
                f"Redis at {place} was promoted a moment ago; it is used when nobody can be "
                "reading from the former primary any more"
            )
        link.identity = mine

    def _complain(self, place: str, reply: errors.ResponseError) -> None:
        if self._complained:
            return
        self._complained = True
        logger.warning(
            "Redis at %s does not tell who it is (%s): a restart from a dump or a failover "
            "cannot be noticed",
            place,
            reply,
        )


def remove(link: Link, pattern: bytes) -> None:
    """Remove all keys of a pattern from the server behind a link."""
    cursor = b"0"
    while True:
        reply = link.ask(pack(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _SCAN_STEP))
        match reply:
            case [bytes() as cursor, list() as keys] if {type(key) for key in keys} <= {bytes}:
                pass
            case _:
                raise errors.InvalidResponse("not what was asked for")
        if keys:
            # One by one: on a node of a cluster they may lie in different slots.
            for answer in link.ask_all([pack(b"UNLINK", key) for key in keys]):
                _refuse_errors(answer)
        if cursor == b"0":
            return


def _refuse_errors(answer: Any) -> None:
    # What has moved to another node is none of this one's any more.
    if isinstance(answer, errors.ResponseError) and not isinstance(answer, errors.AskError):
        raise answer


def literal(prefix: bytes) -> bytes:
    """Return the pattern that matches a prefix and nothing else."""
    return re.sub(rb"([\\*?\[\]^])", rb"\\\1", prefix)


def _check_version(info: dict[str, str], place: str) -> None:
    # An unknown version is taken for a new one.
    version = info.get("redis_version", "")
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts and parts < _OLDEST:
        raise StoreUnusable(f"Redis at {place} is {version}; 6.0 or newer is needed")

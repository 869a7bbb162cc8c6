"""Links to one Redis server: those that rest, new ones, and when they are looked at again."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from querycache.stores.base import StoreError
from querycache.stores.redis_wire import GARBLED, Link, errors

#: How long a server is trusted to be the primary without being asked again, in seconds.
TRUSTED = 1.0


class Place(Protocol):
    """Where links lead."""

    @property
    def name(self) -> str:
        """The place as people may see it; never a password."""

    def connection(self) -> Any:
        """Return a new connection of redis-py, which is not connected yet.

        Raises:
            StoreError: nobody tells where the server is.
        """

    def is_left(self, connection: Any) -> bool:
        """Tell whether a connection leads where the place is no more.

        Raises:
            StoreError: nobody tells where the server is.
        """

    def close(self) -> None:
        """Let go of what the place itself has open."""


class Links:
    """The links of one store to one server; safe between threads and after a fork.

    Links that rest are a stack. A server may lose its role while links to it stay open: it is made
    a replica by hand, or another was promoted while it did not answer. So no link is used that was
    not looked at within the last second.

    Args:
        place: where they lead.
        check: looks at a link, before it is first used and then once in a while.
    """

    def __init__(self, place: Place, check: Callable[[Link], None]) -> None:
        self.place = place
        self._check = check
        self._idle: deque[Link] = deque()
        self._pid = os.getpid()

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        """Return ``work(link, *args)``.

        A link that rested may have been closed by the server or by something between, which is no
        outage: the work is done once more on a new link. Everything that a store does may be
        repeated: reads change nothing, an entry is stored again as it was, `begin` renews its own
        lease, `touch` and `settle` change the stamp once more, and an `end` that had already been
        applied finds its lease gone and puts the stamp in quarantine, which costs hits and is safe.

        Raises:
            StoreError: the server does not answer or refuses.
        """
        if self._pid != os.getpid():
            self._forget()
        try:
            link = self._idle.pop()
        except IndexError:
            return self._call_new(work, args)
        if monotonic() >= link.good_until and not self._is_still_good(link):
            return self._call_new(work, args)
        try:
            reply = work(link, *args)
        except (errors.ConnectionError, errors.ReadOnlyError, OSError) as error:
            self._drop(link)
            if isinstance(error, (errors.BusyLoadingError, errors.AuthenticationError)):
                raise self._error(error) from error
            # The others were closed along with it, most likely; or the server is a replica now.
            self.close()
            return self._call_new(work, args)
        except (errors.RedisError, *GARBLED) as error:
            raise self._failed(link, error) from error
        except BaseException:
            # The reply may still be on its way: the link must not be used again.
            self._drop(link)
            raise
        self._idle.append(link)
        return reply

    def _call_new(self, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        link = self._open()
        try:
            reply = work(link, *args)
        except (errors.RedisError, OSError, *GARBLED) as error:
            raise self._failed(link, error) from error
        except BaseException:
            self._drop(link)
            raise
        self._idle.append(link)
        return reply

    def start(self, command: bytes) -> Link | None:
        """Send a command ahead of the time when its reply is needed, on a link that rests.

        Returns:
            What `finish` takes; None where nothing was sent.
        """
        if self._pid != os.getpid():
            return None
        try:
            link = self._idle.pop()
        except IndexError:
            return None
        if monotonic() >= link.good_until:
            self._idle.append(link)
            return None
        try:
            link.start(command)
        except (errors.RedisError, OSError, *GARBLED):
            self._drop(link)
            return None
        except BaseException:
            self._drop(link)
            raise
        return link

    def finish(self, link: Link) -> bool:
        """Wait for the reply to what was started on a link, once; tells whether it was no error."""
        if self._pid != os.getpid():
            # The reply is the parent's.
            self._drop(link)
            return False
        try:
            link.finish()
        except errors.ReadOnlyError:
            self._drop(link)
            self.close()
            return False
        except errors.ResponseError:
            self._idle.append(link)
            return False
        except (errors.RedisError, OSError, *GARBLED):
            self._drop(link)
            return False
        except BaseException:
            self._drop(link)
            raise
        self._idle.append(link)
        return True

    def look_again(self) -> None:
        """Have every link that rests looked at before it is used again."""
        for link in list(self._idle):
            link.good_until = 0.0

    def close(self) -> None:
        """Close the links that rest."""
        if self._pid != os.getpid():
            self._forget()
        answers = True
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread took it
                return
            # A socket that is closed with replies unread may take commands along that the server
            # has not read yet.
            try:
                if answers:
                    link.settle_debts()
            except errors.ResponseError:
                pass
            except (errors.RedisError, OSError, *GARBLED):
                # One is waited for, and not each in turn.
                answers = False
            self._drop(link)

    def connect(self) -> Any:
        """Return a connection of redis-py for somebody's own use, looked at as every other.

        Raises:
            StoreError: the server does not answer or refuses.
        """
        return self._open().connection

    def _open(self) -> Link:
        now = monotonic()
        link = Link(self.place.connection())
        try:
            link.connection.connect()
            self._check(link)
        except (errors.RedisError, OSError, *GARBLED) as error:
            self._drop(link)
            raise self._error(error) from error
        except BaseException:
            self._drop(link)
            raise
        # Counted from before it was looked at.
        link.good_until = now + TRUSTED
        return link

    def _is_still_good(self, link: Link) -> bool:
        """Look at a link again; it is closed when a new one must be opened instead of it."""
        now = monotonic()
        try:
            left = self.place.is_left(link.connection)
            if not left:
                self._check(link)
        except (errors.ConnectionError, OSError):
            left = True
        except (errors.RedisError, *GARBLED) as error:
            raise self._failed(link, error) from error
        except StoreError:
            self._drop(link)
            self.close()
            raise
        except BaseException:
            self._drop(link)
            raise
        if left:
            self._drop(link)
            self.close()
            return False
        link.good_until = now + TRUSTED
        return True

    def _error(self, error: Exception) -> StoreError:
        return StoreError(f"Redis at {self.place.name}: {error}")

    def _failed(self, link: Link, error: Exception) -> StoreError:
        if isinstance(error, errors.ReadOnlyError):
            # The server is a replica now: each link must find the new primary.
            self._drop(link)
            self.close()
        elif isinstance(error, errors.ResponseError):
            # The server has answered; the link is in order.
            self._idle.append(link)
        else:
            self._drop(link)
        return self._error(error)

    def _drop(self, link: Link) -> None:
        with contextlib.suppress(errors.RedisError, OSError):
            link.close()

    def _forget(self) -> None:
        # In the child of a fork: the sockets are the parent's; redis-py closes this process's copy
        # without ending the connection.
        idle, self._idle = self._idle, deque()
        self._pid = os.getpid()
        for link in idle:
            self._drop(link)

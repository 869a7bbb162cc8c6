"""What is installed in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querycache.state import Installed


class Runtime:
    """What is installed in this process; the only state of the library that is global."""

    __slots__ = ("_lock", "_make", "current", "refusal")

    def __init__(self) -> None:
        #: None while querycache leaves every query alone.
        self.current: Installed | None = None
        #: What is wrong with the settings, for the first query to say.
        self.refusal: str | None = None
        self._make: Callable[[], Installed | None] | None = None
        self.after_fork()

    def postpone(self, make: Callable[[], Installed | None]) -> None:
        """Have the first who asks for `current` make it; nobody pays for that before, or again."""
        with self._lock:
            self._make = make
            self.__class__ = _Postponed
            del self.current

    def ready(self) -> Installed | None:
        """Return `current`, made now where that was postponed."""
        return self.current

    def clear(self) -> Installed | None:
        """Install nothing, and return what was installed; what nobody has asked for never was."""
        with self._lock:
            installed = self.current if self._make is None else None
            self._put(None)
            return installed

    def after_fork(self) -> None:
        """Forget who is making `current`: that thread was not forked."""
        # An object that is collected while it is made may ask for it, too.
        self._lock = threading.RLock()

    def _put(self, installed: Installed | None) -> None:
        self.current = installed
        self._make = None
        self.__class__ = Runtime


class _Postponed(Runtime):
    """A class of its own: `__getattr__` makes reads of all attributes slower on Python 3.11."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Installed | None:
        # Python asks only for what is not there.
        if name != "current":
            raise AttributeError(name)
        with self._lock:
            if self._make is not None:
                self._put(self._make())
            return self.current


runtime = Runtime()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=runtime.after_fork)

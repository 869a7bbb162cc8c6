"""What a forked child must forget: one hook for all objects that a process keeps for itself."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that holds what only the process that made it may use."""

    def after_fork(self) -> None:
        """Forget it; called in the child, where no other thread runs yet."""


# The interpreter keeps at-fork hooks for ever, so there is one for the module and not one for each
# object; weak, so that it keeps nothing alive.
_watched: WeakSet[Forkable] = WeakSet()


def watch_forks(thing: Forkable) -> None:
    """Have `thing.after_fork()` called in every child that this process forks."""
    _watched.add(thing)


def _in_child() -> None:
    for thing in list(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)

"""What happens to a process at a named step of its writes or reads: it dies or it stands still."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

#: Steps at which a writer or a reader can be met, in their order.
WRITER_STEPS = ("before begin", "after begin", "before commit", "before end", "after end")
READER_STEPS = ("before read", "after read", "before write", "after write")

_SIGNALS = {"dies": signal.SIGKILL, "freezes": signal.SIGSTOP}


def arm(mishap: str, where: str) -> None:
    """Let something happen to this process the next time that it comes to a step.

    Args:
        mishap: "dies" or "freezes".
        where: one of `WRITER_STEPS` or `READER_STEPS`.
    """
    from querycache.runtime import runtime

    assert runtime.current is not None
    cache = runtime.current.cache
    when, name = where.split()
    owner: Any = cache.store
    if where == "before commit":
        # The last thing that is done before a commit is sent: the keeper looks at its lease.
        owner, when, name = cache.keeper, "after", "hold"
    step: Callable[..., Any] = getattr(owner, name)
    ahead: Callable[..., Any] | None = getattr(owner, "begin_ahead", None)

    def met(*args: Any) -> Any:
        owner.__dict__.pop(name, None)
        owner.__dict__.pop("begin_ahead", None)
        if when == "before":
            os.kill(os.getpid(), _SIGNALS[mishap])
            return step(*args)
        result = step(*args)
        os.kill(os.getpid(), _SIGNALS[mishap])
        return result

    def met_ahead(*args: Any) -> Any:
        """The same step, where it is made in two parts."""
        assert ahead is not None
        acknowledged = ahead(*args)
        if acknowledged is None:
            return None

        def acknowledge() -> Any:
            nonlocal step
            step = acknowledged
            return met()

        return acknowledge

    owner.__dict__[name] = met
    if name == "begin":
        owner.__dict__["begin_ahead"] = met_ahead

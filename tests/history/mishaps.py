"""What happens to a worker at a named step of its store: it dies or it stands still."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

#: Steps at which a writer or a reader can be met, in their order.
WRITER_STEPS = ("before begin", "after begin", "before end", "after end")
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
    store: Any = runtime.current.cache.store
    when, name = where.split()
    step: Callable[..., Any] = getattr(store, name)

    def met(*args: Any) -> Any:
        del store.__dict__[name]
        if when == "before":
            os.kill(os.getpid(), _SIGNALS[mishap])
            return step(*args)
        result = step(*args)
        os.kill(os.getpid(), _SIGNALS[mishap])
        return result

    store.__dict__[name] = met

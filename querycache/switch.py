"""`disabled()` and `enabled()`: leaving the cache out for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

_enabled: ContextVar[bool] = ContextVar("querycache_enabled", default=True)

#: Asked by every query; a bare C method.
reads_enabled = _enabled.get

_F = TypeVar("_F")


class Switch(ContextDecorator):
    """Serves, or does not serve, reads from the cache within a block or a function.

    Writes invalidate all the same. The state before comes back at the end, after an exception too.
    It belongs to the current context: other threads and tasks are not touched, and what a block
    starts through asyncio or `sync_to_async` inherits it.

    Args:
        on: whether reads are served from the cache.
    """

    def __init__(self, on: bool) -> None:
        self._on = on
        self._block: Any = None

    def __call__(self, func: _F) -> _F:
        # One object decorates calls that overlap, so each call gets a block of its own.
        on = self._on
        if iscoroutinefunction(func):

            @wraps(func)
            async def switched_async(*args: Any, **kwargs: Any) -> Any:
                with _switched(on):
                    return await func(*args, **kwargs)

            return switched_async  # type: ignore[return-value]

        @wraps(func)  # type: ignore[arg-type]
        def switched(*args: Any, **kwargs: Any) -> Any:
            with _switched(on):
                return func(*args, **kwargs)  # type: ignore[operator]

        return switched  # type: ignore[return-value]

    def __enter__(self) -> Switch:
        self._block = _switched(self._on)
        self._block.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._block.__exit__(*exc_info)

    async def __aenter__(self) -> Switch:
        return self.__enter__()

    async def __aexit__(self, *exc_info: Any) -> None:
        self.__exit__(*exc_info)


@contextmanager
def _switched(on: bool) -> Iterator[None]:
    token = _enabled.set(on)
    try:
        yield
    finally:
        _enabled.reset(token)


def disabled() -> Switch:
    """Run every read of a block or function on the database; a context manager and a decorator."""
    return Switch(on=False)


def enabled() -> Switch:
    """Serve reads from the cache again within `disabled()`; a context manager and a decorator."""
    return Switch(on=True)

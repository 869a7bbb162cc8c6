"""`disabled()` and `enabled()`: leaving the cache out for a while."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction

#: The blocks that the current context is in, the innermost last.
_blocks: ContextVar[tuple[Switch, ...]] = ContextVar("querycache_blocks", default=())
_enabled: ContextVar[bool] = ContextVar("querycache_enabled", default=True)

#: Asked by every query; a bare C method.
reads_enabled = _enabled.get

_F = TypeVar("_F")


class Switch(ContextDecorator):
    """Serves, or does not serve, reads from the cache within a block or a function.

    Writes invalidate all the same. The state before comes back at the end, after an exception too.
    It belongs to the current context: other threads and tasks are not touched, and what a block
    starts through asyncio or `sync_to_async` inherits it. A decorated generator is switched while
    it runs, and its caller is not.

    Args:
        on: whether reads are served from the cache.
    """

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, func: _F) -> _F:
        # One object decorates calls that overlap, so each call gets a block of its own.
        on = self._on
        switched: Any
        if iscoroutinefunction(func):

            @wraps(func)
            async def switched(*args: Any, **kwargs: Any) -> Any:
                with Switch(on):
                    return await func(*args, **kwargs)

        elif isgeneratorfunction(func):

            @wraps(func)
            def switched(*args: Any, **kwargs: Any) -> Any:
                return _drive(on, func(*args, **kwargs))

        elif isasyncgenfunction(func):

            @wraps(func)
            def switched(*args: Any, **kwargs: Any) -> Any:
                return _drive_async(on, func(*args, **kwargs))

        else:

            @wraps(func)  # type: ignore[arg-type]
            def switched(*args: Any, **kwargs: Any) -> Any:
                with Switch(on):
                    return func(*args, **kwargs)  # type: ignore[operator]

        return switched  # type: ignore[no-any-return]

    def __enter__(self) -> Switch:
        _put((*_blocks.get(), self))
        return self

    def __exit__(self, *exc_info: Any) -> None:
        # Not a token of the ContextVar: blocks need not end in the order in which they began
        # (generators), one object may be entered several times, and a generator may be closed in
        # another context, which has nothing of this block.
        blocks = _blocks.get()
        for index in range(len(blocks) - 1, -1, -1):
            if blocks[index] is self:
                _put(blocks[:index] + blocks[index + 1 :])
                return

    async def __aenter__(self) -> Switch:
        return self.__enter__()

    async def __aexit__(self, *exc_info: Any) -> None:
        self.__exit__(*exc_info)


def _put(blocks: tuple[Switch, ...]) -> None:
    _blocks.set(blocks)
    _enabled.set(blocks[-1]._on if blocks else True)


def _drive(on: bool, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run each step of a generator in a block, and its caller's steps in none."""
    step: Callable[[Any], Any] = generator.send
    value: Any = None
    while True:
        try:
            with Switch(on):
                item = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield item
        except GeneratorExit:
            with Switch(on):
                generator.close()
            raise
        except BaseException as error:  # noqa: BLE001 - thrown into the generator
            step, value = generator.throw, error
        else:
            step = generator.send


async def _drive_async(on: bool, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    step: Callable[[Any], Any] = generator.asend
    value: Any = None
    while True:
        try:
            with Switch(on):
                item = await step(value)
        except StopAsyncIteration:
            return
        try:
            value = yield item
        except GeneratorExit:
            with Switch(on):
                await generator.aclose()
            raise
        except BaseException as error:  # noqa: BLE001 - thrown into the generator
            step, value = generator.athrow, error
        else:
            step = generator.asend


def disabled() -> Switch:
    """Run every read of a block or function on the database; a context manager and a decorator."""
    return Switch(on=False)


def enabled() -> Switch:
    """Serve reads from the cache again within `disabled()`; a context manager and a decorator."""
    return Switch(on=True)

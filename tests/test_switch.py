"""`disabled()` and `enabled()` in every place where a block can begin, end, overlap and leak."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction

import querycache
from querycache.cache import QueryCache
from querycache.switch import reads_enabled
from tests.environment import elsewhere
from tests.library.models import Publisher

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True)


@pytest.fixture
def served(database: str, cache: QueryCache) -> Callable[[], bool]:
    """Tells whether a query is served from the cache, by running it."""
    Publisher.objects.using(database).create(pk=1, name="old")
    rows = Publisher.objects.using(database).filter(pk=1)
    list(rows.all())
    list(rows.all())
    assert cache.counters.hits == 1
    one_at_a_time = threading.Lock()

    def served() -> bool:
        with one_at_a_time:
            before = cache.counters.hits
            assert [row.name for row in rows.all()] == ["old"]
            # What the switch says is what queries do.
            assert (cache.counters.hits > before) is reads_enabled()
            return cache.counters.hits > before

    return served


def test_block(served: Callable[[], bool]) -> None:
    assert served()
    with querycache.disabled():
        assert not served()
        with querycache.enabled():
            assert served()
            with querycache.disabled():
                assert not served()
            assert served()
        assert not served()
    assert served()


def test_state_comes_back_after_an_exception(served: Callable[[], bool]) -> None:
    def fail() -> None:
        with querycache.disabled(), querycache.enabled(), querycache.disabled():
            assert not served()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert served()
    with pytest.raises(LookupError):
        querycache.disabled()(fail)()
    assert served()


def test_decorator(served: Callable[[], bool]) -> None:
    @querycache.disabled()
    def without(argument: int, *, keyword: int) -> tuple[bool, int]:
        """Keeps its name."""
        return served(), argument + keyword

    assert without(1, keyword=2) == (False, 3)
    assert without.__name__ == "without"
    assert without.__doc__ == "Keeps its name."
    with querycache.disabled():
        assert querycache.enabled()(served)()
        assert without(1, keyword=2) == (False, 3)
    assert served()


def test_recursion_through_one_decorator(served: Callable[[], bool]) -> None:
    @querycache.disabled()
    def down(depth: int) -> list[bool]:
        return [served(), *(down(depth - 1) if depth else []), served()]

    assert down(3) == [False] * 8
    assert served()


def test_one_object_entered_again_within_itself(served: Callable[[], bool]) -> None:
    switch = querycache.disabled()
    with switch:
        with switch:
            assert not served()
        assert not served()
    assert served()


def test_one_object_in_several_threads_at_once(served: Callable[[], bool]) -> None:
    switch = querycache.disabled()
    inside, leave = threading.Barrier(5), threading.Event()

    def work() -> list[bool]:
        try:
            with switch:
                inside.wait(30)
                leave.wait(30)
                within = served()
            return [within, served()]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work) for _ in range(4)]
        inside.wait(30)
        assert served()
        leave.set()
        assert [future.result(30) for future in futures] == [[False, True]] * 4
    assert served()


def test_blocks_that_end_in_another_order(served: Callable[[], bool]) -> None:
    first, second = querycache.disabled(), querycache.disabled()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not served()
    second.__exit__(None, None, None)
    assert served()


def test_exit_in_another_context_changes_nothing_there(served: Callable[[], bool]) -> None:
    switch = querycache.disabled()
    other = contextvars.copy_context()
    other.run(switch.__enter__)
    assert served()
    with querycache.disabled():
        switch.__exit__(None, None, None)
        assert not served()
    assert served()
    assert not other.run(served)


def test_threads_that_a_block_starts_are_not_touched(served: Callable[[], bool]) -> None:
    with querycache.disabled():
        assert elsewhere(served)
        assert not served()


# -- generators ----------------------------------------------------------------------------------


def test_decorated_generator_switches_itself_and_not_its_caller(
    served: Callable[[], bool],
) -> None:
    closed: list[bool] = []

    @querycache.disabled()
    def steps() -> Generator[Any, Any, str]:
        try:
            got = yield served()
            assert got == "sent"
            try:
                yield served()
            except LookupError:
                yield served()
            return "returned"
        finally:
            closed.append(served())

    one, two = steps(), steps()
    assert next(one) is False
    assert served()
    assert next(two) is False
    assert one.send("sent") is False
    assert one.throw(LookupError()) is False
    assert served()
    with pytest.raises(StopIteration) as stop:
        next(one)
    assert stop.value.value == "returned"
    two.close()
    assert closed == [False, False]
    assert served()


def test_errors_leave_a_decorated_generator(served: Callable[[], bool]) -> None:
    @querycache.disabled()
    def steps() -> Iterator[bool]:
        yield served()
        raise LookupError

    generator = steps()
    assert next(generator) is False
    with pytest.raises(LookupError):
        next(generator)
    with pytest.raises(StopIteration):
        next(generator)
    assert served()


def test_decorated_async_generator(served: Callable[[], bool]) -> None:
    closed: list[bool] = []

    @querycache.disabled()
    async def steps() -> AsyncIterator[Any]:
        try:
            assert (yield reads_enabled()) == "sent"
            try:
                yield await sync_to_async(served)()
            except LookupError:
                yield "caught"
        finally:
            closed.append(reads_enabled())

    async def main() -> None:
        one, two, three = steps(), steps(), steps()
        assert await anext(one) is False
        assert reads_enabled()
        assert await anext(two) is False
        assert await one.asend("sent") is False  # type: ignore[attr-defined]
        assert await one.athrow(LookupError()) == "caught"  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(one)
        await two.aclose()  # type: ignore[attr-defined]
        assert [item async for item in _first(three)] == [False]
        await three.aclose()  # type: ignore[attr-defined]
        assert closed == [False, False, False]
        assert reads_enabled()

    async_to_sync(main)()
    assert served()


async def _first(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield await anext(items)


# -- asyncio -------------------------------------------------------------------------------------


def test_async_block_and_decorator(served: Callable[[], bool]) -> None:
    asked = sync_to_async(served)

    @querycache.disabled()
    async def without() -> bool:
        await asyncio.sleep(0)
        return await asked()

    async def main() -> None:
        async with querycache.disabled():
            assert not await asked()
            async with querycache.enabled():
                assert await asked()
            assert not await asked()
        with querycache.disabled():
            assert not await asked()
        assert not await without()
        assert await asked()
        with pytest.raises(LookupError):
            await fail()
        assert await asked()

    async def fail() -> None:
        async with querycache.disabled():
            raise LookupError

    async_to_sync(main)()
    assert served()


def test_tasks_do_not_see_the_blocks_of_others(served: Callable[[], bool]) -> None:
    one_object = querycache.disabled()

    @one_object
    async def decorated(started: asyncio.Event, go: asyncio.Event) -> bool:
        started.set()
        await go.wait()
        return reads_enabled()

    async def main() -> None:
        events = [(asyncio.Event(), asyncio.Event()) for _ in range(3)]
        tasks = [asyncio.create_task(decorated(*pair)) for pair in events]
        for started, _ in events:
            await started.wait()
        assert reads_enabled()
        # They end in another order than they began.
        for index in (1, 0, 2):
            events[index][1].set()
            assert await tasks[index] is False
            assert reads_enabled()

    async_to_sync(main)()
    assert served()


def test_task_inherits_the_block_that_starts_it(served: Callable[[], bool]) -> None:
    async def state() -> bool:
        await asyncio.sleep(0)
        return reads_enabled()

    async def main() -> None:
        async with querycache.disabled():
            inside = asyncio.create_task(state())
        outside = asyncio.create_task(state())
        # As a context variable does: the task goes on with what it was started under.
        assert (await inside, await outside) == (False, True)

    async_to_sync(main)()
    assert served()


def test_sync_to_async_and_back(served: Callable[[], bool]) -> None:
    def sync() -> tuple[bool, bool]:
        with querycache.enabled():
            within = served()
        return within, served()

    async def main() -> None:
        async with querycache.disabled():
            assert await sync_to_async(sync)() == (True, False)
            assert not reads_enabled()
        assert await sync_to_async(sync)() == (True, True)

    async_to_sync(main)()


def test_async_queries(database: str, cache: QueryCache, served: Callable[[], bool]) -> None:
    rows = Publisher.objects.using(database).filter(pk=1)

    async def hit() -> bool:
        before = cache.counters.hits
        assert [row.name async for row in rows.all()] == ["old"]
        return cache.counters.hits > before

    async def main() -> tuple[bool, bool]:
        async with querycache.disabled():
            without = await hit()
        return without, await hit()

    assert async_to_sync(main)() == (False, True)


# -- writes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_url", ["memory", "lmdb"], indirect=True)
@pytest.mark.parametrize("atomic", [False, True])
def test_writes_invalidate_all_the_same(
    database: str, cache: QueryCache, served: Callable[[], bool], atomic: bool
) -> None:
    assert served()
    with querycache.disabled():
        if atomic:
            with transaction.atomic(database):
                Publisher.objects.using(database).update(name="new")
        else:
            Publisher.objects.using(database).update(name="new")
    assert Publisher.objects.using(database).get(pk=1).name == "new"
    assert elsewhere(lambda: Publisher.objects.using(database).get(pk=1).name) == "new"


def test_reads_within_leave_nothing_in_the_store(database: str, cache: QueryCache) -> None:
    Publisher.objects.using(database).create(pk=1, name="old")
    rows = Publisher.objects.using(database).filter(pk=1)
    with querycache.disabled():
        list(rows.all())
        list(rows.all())
    assert cache.counters.stored == 0
    assert "disabled()" in _explained_within(rows)
    assert not querycache.explain(rows).hit


def _explained_within(rows: Any) -> str:
    with querycache.disabled():
        explanation = querycache.explain(rows)
    assert not explanation.cacheable
    return explanation.reason

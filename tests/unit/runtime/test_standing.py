"""Where tasks stand, when a process must end and wants to say what it waited for."""

from __future__ import annotations

import asyncio

from streams.runtime.standing import where_tasks_stand


async def outer(event: asyncio.Event) -> None:
    await inner(event)


async def inner(event: asyncio.Event) -> None:
    await event.wait()


def test_each_task_is_told_with_all_that_it_awaits() -> None:
    """From the outermost coroutine inwards, also by another thread."""

    async def scenario() -> list[str]:
        event = asyncio.Event()
        task = asyncio.create_task(outer(event), name="the waiter")
        await asyncio.sleep(0)
        lines = await asyncio.to_thread(where_tasks_stand, asyncio.get_running_loop())
        event.set()
        await task
        return lines

    (line,) = [each for each in asyncio.run(scenario()) if "the waiter" in each]

    names = [part.split(":")[0].strip() for part in line.split(">")]
    assert line.startswith("the waiter: outer:")
    assert names[1:3] == ["inner", "wait"]


def test_a_task_that_is_done_is_not_told() -> None:
    """A process that must end waits for nothing of it."""

    async def scenario() -> list[str]:
        task = asyncio.create_task(asyncio.sleep(0), name="the done one")
        await task
        return where_tasks_stand(asyncio.get_running_loop())

    assert not [each for each in asyncio.run(scenario()) if "the done one" in each]

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.runtime import exits


class Died(Exception):
    """What `die` does here instead of ending the process of the tests."""


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the process would have ended."""
    told: list[str] = []

    def die(reason: str, exc: BaseException | None = None) -> None:
        told.append(reason)
        raise Died(reason)

    monkeypatch.setattr(exits, "die", die)
    return told


async def fail() -> None:
    raise OSError("gone")


async def await_what_is_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await asyncio.wait_for(future, 5)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (fail, "the errand failed"),
        (await_what_is_cancelled, "the errand awaited what was cancelled"),
    ],
)
def test_a_background_task_does_not_end_silently(
    does: Callable[[], Awaitable[None]], reason: str, reasons: list[str]
) -> None:
    """Neither by an exception, nor by the cancellation of what it awaits."""

    async def scenario() -> None:
        async def errand() -> None:
            await does()

        task = exits.spawn("the errand", errand())
        with pytest.raises(Died):
            await task
        assert task.get_name() == "the errand"

    asyncio.run(scenario())
    assert reasons == [reason]


def test_a_background_task_may_be_cancelled(reasons: list[str]) -> None:
    """Whoever stops it has no reason to end the process."""

    async def scenario() -> None:
        task = exits.spawn("the errand", asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not reasons

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.runtime.client_tasks import dead_tasks


async def fail() -> None:
    raise OSError("gone")


def clients(task: Any) -> dict[str, Any]:
    """Stand-ins with aiokafka's attributes, one dead task in each."""
    return {
        "fetcher": SimpleNamespace(_fetcher=SimpleNamespace(_fetch_task=task)),
        "group membership": SimpleNamespace(
            _coordinator=SimpleNamespace(_coordination_task=task)
        ),
        "sender": SimpleNamespace(_sender=SimpleNamespace(_sender_task=task)),
        "metadata": SimpleNamespace(_client=SimpleNamespace(_sync_task=task)),
    }


@pytest.mark.parametrize("what", ["fetcher", "group membership", "sender", "metadata"])
def test_a_dead_task_of_a_client_is_found(what: str) -> None:
    """Aiokafka itself goes on without it: a consumer then answers "nothing new"."""

    async def scenario() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        (said,) = dead_tasks({"the consumer": clients(task)[what]})
        assert what in said
        assert "the consumer" in said
        assert "gone" in said

    asyncio.run(scenario())


def test_living_and_closed_clients_are_passed_over() -> None:
    """The tasks of a client that was stopped have ended by right."""

    async def scenario() -> None:
        alive = asyncio.create_task(asyncio.sleep(60))
        dead = asyncio.create_task(fail())
        await asyncio.wait([dead])
        for client in clients(alive).values():
            assert not dead_tasks({"it": client})
        for client in clients(dead).values():
            client._closed = True
            assert not dead_tasks({"it": client})
        alive.cancel()

    asyncio.run(scenario())

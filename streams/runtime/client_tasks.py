"""Finds background tasks of aiokafka's clients that have died.

aiokafka's consumer goes on as if nothing had happened when its fetcher dies:
`getmany` answers "nothing new" for ever. So do its metadata's and its group's tasks
as long as nobody happens to call what would raise their error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

_PATHS = {
    "fetcher": ("_fetcher", "_fetch_task"),
    "group membership": ("_coordinator", "_coordination_task"),
    "group's offsets": ("_coordinator", "_reset_committed_task"),
    "sender": ("_sender", "_sender_task"),
    "consumer's metadata": ("_client", "_sync_task"),
    "producer's metadata": ("client", "_sync_task"),
}
"""What a task does, and where it is. Heartbeats are watched by the membership's."""


def dead_tasks(clients: Mapping[str, Any]) -> list[str]:
    """Say of each client's dead task whose it was, and what it died of.

    Args:
        clients: started consumers and producers, by name; closed ones are passed over.
    """
    return [
        f"the {what} task of {name} has ended: {_reason(task)}"
        for name, client in clients.items()
        for what, task in _tasks(client)
        if task.done()
    ]


def _tasks(client: Any) -> Iterator[tuple[str, asyncio.Task[Any]]]:
    if getattr(client, "_closed", False):
        return
    for what, (owner, attribute) in _PATHS.items():
        task = getattr(getattr(client, owner, None), attribute, None)
        if task is not None:
            yield what, task


def _reason(task: asyncio.Task[Any]) -> str:
    if task.cancelled():
        return "cancelled"
    return repr(task.exception())
